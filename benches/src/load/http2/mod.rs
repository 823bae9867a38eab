//! HTTP/2 GET (RFC 9113) in clear text, with prior knowledge, by the library `h2`.
//!
//! `h2` is made of futures. The client polls them itself, after each request and whenever epoll reports
//! that the socket is ready. They need no runtime, since nothing else wakes them.

mod socket;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason as Code, RecvStream};
use hyper::body::Bytes;
use hyper::{Request, Response, header};

use super::body::Body;
use super::exchange::Refusal;
use super::plan::Plan;
use super::verdict::Reason;
use crate::outcome::Failure;
use socket::{Io, Socket};

/// What is asked for, on every connection.
#[derive(Debug)]
pub(super) struct Page {
    request: Request<()>,
    /// The body of the first answer.
    first: Arc<OnceLock<Vec<u8>>>,
}

impl Page {
    pub(super) fn new(plan: &Plan, path: &str) -> Result<Self, Failure> {
        let uri = format!("http://{}{path}", plan.host());
        let request = Request::get(&uri)
            .body(())
            .map_err(|error| Failure::Usage(format!("HTTP/2 cannot ask for {uri}: {error}")))?;
        Ok(Page { request, first: plan.first_body.clone() })
    }

    /// The body of the first answer, once there is one.
    pub(super) fn first_body(&self) -> &OnceLock<Vec<u8>> {
        &self.first
    }
}

/// One connection, and the streams on it.
pub(super) struct Session {
    socket: Rc<Socket>,
    state: State,
    page: Rc<Page>,
    /// When the requests were to start that no stream could be opened for yet.
    waiting: VecDeque<u64>,
    streams: Vec<Stream>,
    /// The server takes no more requests on this connection.
    is_closing: bool,
    /// It was answered at least once.
    has_answered: bool,
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<Opened, h2::Error>>>>),
    Open(Box<Opened>),
    Over,
}

type Opened = (SendRequest<Bytes>, Connection<Io, Bytes>);

/// A request that was sent.
struct Stream {
    /// When it was to start.
    start: u64,
    part: Part,
}

/// Which part of an answer comes next.
enum Part {
    Head(ResponseFuture),
    Body {
        stream: RecvStream,
        body: Body,
        /// Trailers may follow, and then the end.
        is_whole: bool,
    },
}

/// Why a session cannot go on.
#[derive(Debug)]
pub(super) enum Stopped {
    Refused(Refusal),
    Failed(io::Error),
    Closed,
}

/// A step of something that is polled.
enum Step {
    Pending,
    Moved,
    Answered,
    /// The server has not looked at the request, nor will it.
    Returned,
}

impl Session {
    /// A session on a socket that may still be connecting.
    pub(super) fn new(stream: &Rc<OwnedFd>, page: &Rc<Page>) -> Self {
        let socket = Rc::new(Socket::new(stream.clone()));
        let io = Io(socket.clone());
        let opening = async {
            Builder::new()
                .enable_push(false)
                // Until the server has told how many it takes.
                .initial_max_send_streams(1)
                .initial_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .handshake(io)
                .await
        };
        Session {
            socket,
            state: State::Opening(Box::pin(opening)),
            page: page.clone(),
            waiting: VecDeque::new(),
            streams: Vec::new(),
            is_closing: false,
            has_answered: false,
        }
    }

    /// The socket is ready for something; `is_over` if no more events will come after this one.
    pub(super) fn is_ready(&self, is_over: bool) {
        self.socket.is_ready(is_over);
    }

    /// Sends requests that were to start at these times, as far as the server allows. False if something
    /// may have arrived meanwhile, of which no event will tell.
    pub(super) fn send(&mut self, starts: impl Iterator<Item = u64>) -> Result<bool, Stopped> {
        self.waiting.extend(starts);
        let was_readable = self.socket.is_readable();
        if matches!(self.state, State::Opening(_)) {
            self.drive()?;
        }
        if self.open_streams()? {
            self.drive()?;
        }
        Ok(!was_readable && !self.is_closing)
    }

    /// Takes what has arrived, and appends to `answered` when the requests were to start whose answers
    /// are complete. True if the connection is of no use any more.
    pub(super) fn settle(&mut self, answered: &mut Vec<u64>) -> Result<bool, Stopped> {
        loop {
            self.drive()?;
            let has_moved = self.look(answered)?;
            if !self.open_streams()? && !has_moved {
                break;
            }
        }
        self.has_answered |= !answered.is_empty();
        let is_over = matches!(self.state, State::Over);
        if is_over && !self.streams.is_empty() {
            return Err(Stopped::Closed);
        }
        let is_last = is_over || self.is_closing && self.streams.is_empty();
        // Or else it would be asked again for ever.
        if is_last && !self.has_answered && !self.waiting.is_empty() {
            return Err(Stopped::Closed);
        }
        Ok(is_last)
    }

    /// Bytes of answers that are not complete.
    pub(super) fn arrived(&self) -> usize {
        let bytes = self.streams.iter().map(|stream| match &stream.part {
            Part::Head(_) => 0,
            Part::Body { body, .. } => body.len(),
        });
        bytes.sum()
    }

    /// Receives and sends frames.
    fn drive(&mut self) -> Result<(), Stopped> {
        let mut context = Context::from_waker(Waker::noop());
        if let State::Opening(opening) = &mut self.state
            && let Poll::Ready(opened) = opening.as_mut().poll(&mut context)
        {
            let opened = opened.map_err(|error| self.socket.stopped(error))?;
            self.state = State::Open(Box::new(opened));
        }
        if let State::Open(opened) = &mut self.state
            && let Poll::Ready(ended) = Pin::new(&mut opened.1).poll(&mut context)
        {
            ended.map_err(|error| self.socket.stopped(error))?;
            self.state = State::Over;
            self.is_closing = true;
        }
        Ok(())
    }

    /// True if there is something new to send.
    fn open_streams(&mut self) -> Result<bool, Stopped> {
        let mut context = Context::from_waker(Waker::noop());
        let State::Open(opened) = &mut self.state else { return Ok(false) };
        let requests = &mut opened.0;
        let before = self.streams.len();
        while !self.is_closing
            && let Some(start) = self.waiting.front().copied()
            && let Poll::Ready(ready) = requests.poll_ready(&mut context)
        {
            let sent = ready.and_then(|()| requests.send_request(self.page.request.clone(), true));
            match sent {
                Ok((response, _)) => {
                    self.waiting.pop_front();
                    self.streams.push(Stream { start, part: Part::Head(response) });
                }
                Err(error) if is_farewell(&error) => self.is_closing = true,
                Err(error) => return Err(self.socket.stopped(error)),
            }
        }
        Ok(self.streams.len() > before)
    }

    /// Looks at all streams once; true if one of them has moved.
    fn look(&mut self, answered: &mut Vec<u64>) -> Result<bool, Stopped> {
        let mut has_moved = false;
        let mut index = 0;
        while let Some(stream) = self.streams.get_mut(index) {
            match stream.step(&self.page.first, &self.socket)? {
                Step::Pending => index += 1,
                Step::Moved => has_moved = true,
                Step::Answered => {
                    has_moved = true;
                    answered.push(self.streams.swap_remove(index).start);
                }
                Step::Returned => {
                    self.is_closing = true;
                    self.waiting.push_back(self.streams.swap_remove(index).start);
                }
            }
        }
        Ok(has_moved)
    }
}

impl Stream {
    fn step(&mut self, first: &OnceLock<Vec<u8>>, socket: &Socket) -> Result<Step, Stopped> {
        let mut context = Context::from_waker(Waker::noop());
        match &mut self.part {
            Part::Head(response) => match Pin::new(response).poll(&mut context) {
                Poll::Pending => return Ok(Step::Pending),
                Poll::Ready(Err(error)) if is_farewell(&error) => return Ok(Step::Returned),
                Poll::Ready(Err(error)) => return Err(socket.stopped(error)),
                Poll::Ready(Ok(response)) => self.part = Part::of(response, first)?,
            },
            Part::Body { stream, body, is_whole: is_whole @ false } => {
                match stream.poll_data(&mut context) {
                    Poll::Pending => return Ok(Step::Pending),
                    Poll::Ready(Some(Err(error))) => return Err(socket.stopped(error)),
                    Poll::Ready(Some(Ok(bytes))) => {
                        body.take(first, &bytes)?;
                        let released = stream.flow_control().release_capacity(bytes.len());
                        released.map_err(|error| socket.stopped(error))?;
                    }
                    Poll::Ready(None) => *is_whole = true,
                }
            }
            Part::Body { stream, body, is_whole: true } => {
                match stream.poll_trailers(&mut context) {
                    Poll::Pending => return Ok(Step::Pending),
                    Poll::Ready(Err(error)) => return Err(socket.stopped(error)),
                    Poll::Ready(Ok(_)) => body.finish(first)?,
                }
                return Ok(Step::Answered);
            }
        }
        Ok(Step::Moved)
    }
}

impl Part {
    /// What follows this head.
    fn of(head: Response<RecvStream>, first: &OnceLock<Vec<u8>>) -> Result<Self, Refusal> {
        let status = head.status();
        if !status.is_success() {
            return Err((Reason::ErrorStatus, format!("got the status {}", status.as_u16())));
        }
        let length = head.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let body = Body::begin(first, length)?;
        Ok(Part::Body { stream: head.into_body(), body, is_whole: false })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Stopped::Refused(refusal)
    }
}

/// The server says goodbye, and which requests it has not looked at: they can be asked again elsewhere
/// (RFC 9113, 6.8).
fn is_farewell(error: &h2::Error) -> bool {
    error.is_go_away() && error.is_remote() && error.reason() == Some(Code::NO_ERROR)
}

/// A flow-control window so large that waiting for updates of it does not distort the measurement.
const WINDOW_BYTES: u32 = 1 << 30;
