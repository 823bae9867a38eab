//! One connection: requests in, answers out, until either side has had enough.
//!
//! Answers gather in a buffer and leave in one send when there is no further request to answer, so
//! that pipelined requests cost one send together, and a small file leaves with its head.

use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use corering::buf::IoBuf;
use corering::fs::File;
use corering::net::TcpStream;
use corering::time::timeout;
use futures_util::future::{Either, select};

use crate::answer::{Content, write_file_head};
use crate::body::{Body, BodySkip};
use crate::input::Input;
use crate::listing;
use crate::parts::Parts;
use crate::request::{Method, Request};
use crate::resource::Resource;
use crate::response::{Context, write_page, write_refusal};
use crate::root::{Found, Opened};
use crate::server::Server;
use crate::status::{Refusal, Status};

/// Bytes of a file up to which it is read into the buffer and leaves with its head. Also the bytes
/// of answers that gather before they are sent although more requests are there.
const GATHER_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of a file up to which it is copied behind its head and leaves with what others send. More
/// costs less where it is, by a call of its own.
const COPIED_BYTES_MAX: u64 = 4 * 1024;

/// Bytes of a large file for which a client has the write timeout: with the default of 30 seconds,
/// one that takes less than 9 KiB a second is cut off.
const TIMED_BYTES: u64 = 256 * 1024;

/// Bytes of a large file that are sent under one limit of time.
const PIECE_BYTES: u64 = 4 * TIMED_BYTES;

/// Capacity that the buffer of an idle connection may keep.
const IDLE_CAPACITY_MAX: usize = 4 * 1024;

/// How long, and for how many bytes, a connection that is done listens to what is still coming.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

struct Connection {
    stream: TcpStream,
    server: Rc<Server>,
    input: Input,
    /// Answers that are not sent yet.
    output: Vec<u8>,
}

/// Why a connection ends before its client asked for it.
enum End {
    /// There is nothing to say, or nobody to say it to.
    Silent,
    /// One last answer.
    Refused(Refusal),
}

/// Why there is no more input.
#[derive(PartialEq, Eq)]
enum NoInput {
    /// The client closed, or the server stops.
    Closed,
    TimedOut,
}

/// Serves one connection to its end. Whatever goes wrong in it concerns its client alone.
pub(crate) async fn serve(stream: TcpStream, server: Rc<Server>) {
    let (input, output) = (Input::default(), Vec::new());
    let mut connection = Connection { stream, server, input, output };
    let more_may_come = match connection.answer_requests().await {
        Ok(more_may_come) => more_may_come,
        Err(End::Refused(refusal)) => {
            let context = connection.context(false, false, false);
            write_refusal(&mut connection.output, &refusal, &context);
            true
        }
        Err(End::Silent) => return,
    };
    if connection.send_output().await.is_ok() && more_may_come {
        connection.linger().await;
    }
}

impl Connection {
    /// Answers requests until one is the last. True: its client may send more all the same.
    async fn answer_requests(&mut self) -> Result<bool, End> {
        let mut head = Vec::new();
        // A new connection is expected to speak at once; later ones may rest between requests.
        let mut rest = self.server.limits.header_timeout;
        loop {
            self.next_head(&mut head, rest).await?;
            rest = self.server.limits.idle_timeout;
            let request = Request::parse(&head)?;
            // The body of a client that waits for leave to send it is not wanted. It may send it
            // all the same, so the connection cannot be used again.
            let body_is_held_back = request.expects_continue && request.body != Body::Empty;
            if !body_is_held_back {
                self.skip_body(request.body).await?;
            }
            let keep_alive =
                request.keep_alive && !body_is_held_back && !self.server.stopping.is_cancelled();
            let context =
                self.context(keep_alive, request.is_http_1_0, request.method == Method::Head);
            self.answer(&request, &context).await?;
            if !keep_alive {
                return Ok(body_is_held_back || !self.input.unused().is_empty());
            }
        }
    }

    /// Moves the next head into `head`, receiving what is missing. `rest` is how long the client
    /// may stay silent before its first byte.
    async fn next_head(&mut self, head: &mut Vec<u8>, rest: Duration) -> Result<(), End> {
        let mut deadline = None;
        while !self.input.next_head(head)? {
            self.send_output().await?;
            if self.input.unused().is_empty() {
                self.input.shrink_for_idle();
                self.receive(rest).await.map_err(|_| End::Silent)?;
                continue;
            }
            let now = Instant::now();
            let deadline = *deadline.get_or_insert(now + self.server.limits.header_timeout);
            self.receive(deadline - now).await.map_err(NoInput::within_a_request)?;
        }
        Ok(())
    }

    async fn skip_body(&mut self, body: Body) -> Result<(), End> {
        let mut skip = BodySkip::new(body)?;
        let mut deadline = None;
        loop {
            let used = skip.skip(self.input.unused())?;
            self.input.consume(used);
            if skip.is_done() {
                return Ok(());
            }
            // The client may wait for earlier answers before it sends the rest.
            self.send_output().await?;
            let now = Instant::now();
            let deadline = *deadline.get_or_insert(now + self.server.limits.header_timeout);
            self.receive(deadline - now).await.map_err(NoInput::within_a_request)?;
        }
    }

    /// Receives something, within `limit`.
    async fn receive(&mut self, limit: Duration) -> Result<(), NoInput> {
        let stopped = self.server.stopping.cancelled();
        let received = pin!(self.stream.recv());
        match timeout(limit, select(received, stopped)).await {
            Ok(Either::Left((Ok(bytes), _))) if !bytes.is_empty() => {
                self.input.push(&bytes);
                Ok(())
            }
            Ok(_) => Err(NoInput::Closed),
            Err(_) => Err(NoInput::TimedOut),
        }
    }

    /// Appends the answer to one request to the output, or sends it if it is large.
    async fn answer(&mut self, request: &Request<'_>, context: &Context) -> Result<(), End> {
        let found = match find(&self.server, request).await {
            Ok(found) => found,
            Err(refusal) => {
                write_refusal(&mut self.output, &refusal, context);
                return Ok(());
            }
        };
        match found {
            (_, Found::File(document)) => {
                let start = self.output.len();
                let content =
                    write_file_head(&mut self.output, request, document.prepared(), context);
                match content {
                    Content::Bytes(range) => {
                        self.answer_content(start, &document.opened, range, context).await
                    }
                    Content::Parts(parts) => self.answer_parts(&document.opened, &parts).await,
                }
            }
            (resource, Found::FolderWithoutSlash) => {
                let query = request.target.find('?').map_or("", |at| &request.target[at..]);
                let location = resource.folder_target() + query;
                let fields = [("Location", &*location)];
                write_page(&mut self.output, Status::MovedPermanently, &fields, b"", context);
                Ok(())
            }
            (resource, Found::Listing(entries)) => {
                let page = listing::page(&resource.title(), entries);
                let fields = [("Content-Type", "text/html; charset=utf-8")];
                write_page(&mut self.output, Status::Ok, &fields, page.as_bytes(), context);
                self.send_output().await
            }
        }
    }

    /// Appends the bytes of the file to the output, whose head stands at `start`, or sends both.
    async fn answer_content(
        &mut self,
        start: usize,
        opened: &Opened,
        range: Range<u64>,
        context: &Context,
    ) -> Result<(), End> {
        if !self.append_or_send(opened, range).await? {
            // Nothing of this answer has left, so it can still become another one.
            self.output.truncate(start);
            let reason = "The file changed or failed while it was read.";
            let refusal = Refusal::new(Status::InternalServerError, reason);
            write_refusal(&mut self.output, &refusal, context);
        }
        self.send_if_much().await
    }

    /// The same for several parts of the file.
    async fn answer_parts(&mut self, opened: &Opened, parts: &Parts) -> Result<(), End> {
        for (head, range) in parts.iter() {
            self.output.extend_from_slice(head);
            if !self.append_or_send(opened, range).await? {
                // The head may have left, and has promised more.
                return Err(End::Silent);
            }
            self.send_if_much().await?;
        }
        self.output.extend_from_slice(parts.end().as_bytes());
        Ok(())
    }

    /// Appends bytes of the file to the output, or sends both if they are many. False: they could not
    /// be read, and nothing was sent.
    async fn append_or_send(&mut self, opened: &Opened, range: Range<u64>) -> Result<bool, End> {
        let bytes = range.end - range.start;
        let is_in_memory = opened.contents().is_some();
        if bytes > GATHER_BYTES_MAX
            || bytes > COPIED_BYTES_MAX && (is_in_memory || opened.is_in_page_cache())
        {
            return self.send_output_and_file(opened, range).await.map(|()| true);
        }
        if let Some(contents) = opened.contents() {
            let part = range.start as usize..range.end as usize;
            self.output.extend_from_slice(&contents[part]);
            return Ok(true);
        }
        Ok(bytes == 0 || self.append_file(opened.file(), range).await)
    }

    async fn send_if_much(&mut self) -> Result<(), End> {
        if self.output.len() as u64 > GATHER_BYTES_MAX { self.send_output().await } else { Ok(()) }
    }

    /// Appends bytes of the file to the output. False: they could not be read.
    async fn append_file(&mut self, file: &File, range: Range<u64>) -> bool {
        let start = self.output.len();
        let count = (range.end - range.start) as usize;
        let mut output = std::mem::take(&mut self.output);
        output.reserve_exact(count);
        let (is_read, output) =
            match file.read_exact_at(output.slice(start..), count, range.start).await {
                Ok(part) => (true, part.into_inner()),
                Err(error) => (false, error.into_parts().1.into_inner()),
            };
        self.output = output;
        is_read
    }

    /// Sends the output and bytes of the file after it, in pieces for each of which the client has
    /// the write timeout.
    async fn send_output_and_file(&mut self, file: &Opened, range: Range<u64>) -> Result<(), End> {
        let mut offset = range.start;
        while offset < range.end {
            let output = std::mem::take(&mut self.output);
            let piece = PIECE_BYTES.min(range.end - offset);
            let sent = self.stream.send_cached_after(output, file, offset, piece);
            let limit = self.server.limits.write_timeout * piece.div_ceil(TIMED_BYTES) as u32;
            match timeout(limit, sent).await {
                Ok(Ok((sent, output))) if sent > 0 => {
                    offset += sent;
                    self.reuse(output);
                }
                // The head has promised more than there is, or the client is gone or does not
                // read: closing is the only way left to say so.
                _ => return Err(End::Silent),
            }
        }
        Ok(())
    }

    /// Sends the output.
    async fn send_output(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        match timeout(self.server.limits.write_timeout, self.stream.write_all(output)).await {
            Ok(Ok(output)) => {
                self.reuse(output);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(End::Silent),
        }
    }

    /// Keeps the memory of an output that was sent, unless it is much.
    fn reuse(&mut self, mut output: Vec<u8>) {
        if output.capacity() <= IDLE_CAPACITY_MAX {
            output.clear();
            self.output = output;
        }
    }

    /// Ends the answers, and takes what still comes until the client ends too. Closing at once
    /// would send a reset, which discards what the client has not read yet.
    async fn linger(&mut self) {
        if self.stream.shutdown(std::net::Shutdown::Write).await.is_err() {
            return;
        }
        let drain = async {
            let mut bytes = 0;
            while bytes < LINGER_BYTES_MAX {
                match self.stream.recv().await {
                    Ok(received) if !received.is_empty() => bytes += received.len(),
                    _ => break,
                }
            }
        };
        // Late bytes mean nothing, however many there are.
        let _ = timeout(LINGER, drain).await;
    }

    fn context(&self, keep_alive: bool, is_http_1_0: bool, is_head: bool) -> Context {
        let date = self.server.clock.text(SystemTime::now());
        Context { date, keep_alive, is_http_1_0, is_head }
    }
}

/// What the request asks for, opened.
async fn find(server: &Server, request: &Request<'_>) -> Result<(Resource, Found), Refusal> {
    match request.method {
        Method::Get | Method::Head => {}
        Method::NotAllowed => {
            let reason = "Files are only read here, with GET and HEAD.";
            return Err(Refusal::new(Status::MethodNotAllowed, reason));
        }
        Method::Unknown => {
            return Err(Refusal::new(Status::NotImplemented, "This method is not known here."));
        }
    }
    let resource = Resource::decode(request.target)?;
    let found = server.root.find(&resource, &request.accepted).await?;
    Ok((resource, found))
}

impl NoInput {
    /// What it means after the first byte of a request.
    fn within_a_request(self) -> End {
        match self {
            NoInput::Closed => End::Silent,
            NoInput::TimedOut => End::Refused(Refusal::new(
                Status::RequestTimeout,
                "The request was not complete in time.",
            )),
        }
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        End::Refused(refusal)
    }
}
