//! A file to a socket.
//!
//! Nothing here waits for a disk. What the page cache has goes by `sendfile(2)` where the kernel tells
//! that it is all there, and else through the buffer that was used last, piece by piece, each read and
//! sent at once: read by a ring, the pieces of all clients would come before the first is sent, and
//! none of them would still be in the processor's cache. What the disk has goes through two buffers,
//! read by the ring or the pool, the read ahead of the send. A splice would hold a worker thread of the
//! kernel for each client that stalls, and the healthy ones would wait for it.
//!
//! A file that `sendfile(2)` refuses (of `/proc`, or a pipe) is copied. What cannot be sent at all fails
//! before a head leaves.
//!
//! A head leaves with the beginning of the file: by the same call if that is copied, else with
//! `MSG_MORE`, which lets the kernel hold it for so long.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::join;

use super::transmit::{Transmitter, WriteAll};
use crate::buf::{self, BufError, BufResult, IoBuf, Slice};
use crate::driver::{self, Driver, SharedFd, submit};
use crate::fs::File;
use crate::op::{self, position::Position};
use crate::sys;
use crate::sys::file::{can_be_read_at, is_socket};
use crate::util::budget;

/// Bytes of one piece: what is read ahead while the piece before it is sent.
const PIECE_BYTES: u64 = 64 * 1024;

/// Bytes of one `sendfile(2)`, for which the shard's other tasks wait.
const SENDFILE_BYTES: u64 = 1024 * 1024;

/// Bytes that cost a unit of the budget: a poll sends 2 MiB at most, some hundred microseconds. Less, and
/// clients by turns throw one another's files out of the processor's cache.
const UNIT_BYTES: u64 = 16 * 1024;

/// A longer head is not copied in front of the file.
const HEAD_COPIED_MAX: usize = 16 * 1024;

/// On a ring less than this costs less by the ring, together with what others read and send in the
/// round.
const AT_ONCE_MIN: u64 = 32 * 1024;

/// From here on it costs less to ask whether the page cache has it all than to copy it. Where a
/// [`FileCache`](crate::fs::FileCache) has asked, `sendfile(2)` costs less from 16 KiB on.
const SENDFILE_MIN: usize = 32 * 1024;

/// Sends `head` and up to `len` bytes of `file` from `offset` on; fewer only where the file ends.
pub(super) async fn send_file<B: IoBuf>(
    transmitter: &mut Transmitter,
    head: B,
    file: &File,
    offset: u64,
    len: u64,
) -> BufResult<u64, B> {
    if let Err(error) = transmitter.clear().await {
        return Err(BufError::new(error, head));
    }
    let driver = match driver::current() {
        Ok(driver) => driver,
        Err(error) => return Err(BufError::new(error, head)),
    };
    let at_once = len >= AT_ONCE_MIN || !driver.can().reads_files || file.was_in_cache();
    let cached = at_once && file.is_cached();
    let part = Part { file, offset, len, cached };
    transmitter.begin_parts();
    let mut sending = Sending::new(transmitter);
    let ((), head) = begin(&mut sending, &driver, head, &part).await?;
    let result = from_cache_and_disk(&mut sending, &driver, &part).await;
    sending.ended = result.is_ok();
    match result {
        Ok(()) => Ok((sending.sent, head)),
        Err(error) => Err(BufError::new(error, head)),
    }
}

/// What is to be sent of a file.
struct Part<'a> {
    file: &'a File,
    offset: u64,
    len: u64,
    /// The page cache may have some of it, and it is enough to be read at once.
    cached: bool,
}

impl Part<'_> {
    fn fd(&self) -> &SharedFd {
        self.file.shared()
    }

    /// Fails if it can never be sent. False: it has to be read where it stands, and may have to be
    /// waited for.
    fn check(&self) -> io::Result<bool> {
        let has_places = can_be_read_at(self.fd().as_fd(), self.offset)?;
        if has_places { Ok(true) } else { self.check_stream().map(|()| false) }
    }

    fn check_stream(&self) -> io::Result<()> {
        if is_socket(self.fd().as_fd()) {
            let text = "a socket cannot be sent as a file; receive from it, and write that";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(())
    }

    /// Where the byte after the first `done` stands in the file.
    fn at(&self, done: u64) -> u64 {
        self.offset.saturating_add(done)
    }

    /// Bytes of the piece after the first `done` bytes.
    fn piece(&self, done: u64) -> usize {
        (self.len - done).min(PIECE_BYTES) as usize
    }

    /// Reads that piece behind what the buffer holds.
    async fn read(&self, mut buf: Vec<u8>, done: u64) -> io::Result<(usize, Vec<u8>)> {
        let (held, wanted) = (buf.len(), self.piece(done));
        buf.reserve_exact(wanted);
        let position = self.file.position(self.at(done));
        if position == Position::Stream {
            self.check_stream()?;
        }
        let into = buf.slice(held..held + wanted);
        let read = op::read_at::ReadAt::new(self.fd().clone(), into, position);
        let (count, into) = submit(read.through_cache(true)).await?;
        Ok((count, into.into_inner()))
    }

    /// As much as one `sendfile(2)` sends of that.
    fn large_piece(&self, done: u64) -> usize {
        (self.len - done).min(SENDFILE_BYTES) as usize
    }

    /// Whether that is worth the question, and all in the page cache.
    fn is_in_cache(&self, driver: &Driver, done: u64) -> bool {
        let (from, wanted) = (self.at(done), self.large_piece(done));
        self.file.was_in_cache()
            || wanted >= SENDFILE_MIN && op::send_file::is_in_cache(driver, self.fd(), from, wanted)
    }
}

/// A file on its way. Dropped before its end, or failing, it leaves word of how much was sent.
pub(super) struct Sending<'a> {
    transmitter: &'a mut Transmitter,
    /// Bytes of the file that were sent.
    pub(super) sent: u64,
    /// The kernel may hold the head back for the file.
    held: bool,
    /// The page cache had the first piece a moment ago.
    is_in_cache: bool,
    /// Its beginning had to be read, and so what follows: what is read ahead may not have come yet.
    is_read: bool,
    pub(super) ended: bool,
}

impl<'a> Sending<'a> {
    pub(super) fn new(transmitter: &'a mut Transmitter) -> Self {
        Sending {
            transmitter,
            sent: 0,
            held: false,
            is_in_cache: false,
            is_read: false,
            ended: false,
        }
    }

    /// So many bytes of the file were sent, by a call of their own.
    fn add(&mut self, sent: u64) {
        self.sent += sent;
        self.transmitter.add_part(sent as usize);
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.transmitter.send_at_once(false);
        self.transmitter.expect_more(false);
        if self.held && self.sent == 0 {
            // No file came to push it out. On a socket that is no TCP socket it was not held.
            let _ = sys::socket::with_options(self.transmitter.fd().as_fd(), |socket| {
                socket.set_tcp_cork(false)
            });
        }
        self.transmitter.end_parts(self.ended);
    }
}

/// Sends all of a buffer as a part of what is sent.
async fn send_part<B: IoBuf>(transmitter: &mut Transmitter, buf: B) -> Result<B, BufError<B>> {
    let bytes = buf.bytes_len();
    let buf = WriteAll::part(transmitter, buf).await?;
    transmitter.add_part(bytes);
    Ok(buf)
}

/// Sends the head, together with what the page cache has of the file's beginning; if that is
/// nothing, or goes as it is, the kernel may hold the head until the file comes.
async fn begin<B: IoBuf>(
    sending: &mut Sending<'_>,
    driver: &Driver,
    head: B,
    part: &Part<'_>,
) -> BufResult<(), B> {
    let head_bytes = head.bytes_len();
    if head_bytes == 0 {
        return Ok(((), head));
    }
    let mut as_it_is = false;
    if part.cached {
        budget::pay().await;
        as_it_is = part.is_in_cache(driver, 0);
        if !as_it_is
            && let Some(piece) = op::read_at::cached(driver, part.fd(), part.offset, part.piece(0))
        {
            let begun = begin_with(sending, driver, head, piece).await?;
            budget::take_more(sending.sent / UNIT_BYTES);
            return Ok(begun);
        }
    }
    if !as_it_is && part.len > 0 && head_bytes <= HEAD_COPIED_MAX {
        return begin_with_read(sending, head, part).await;
    }
    let has_places = match part.len > 0 && !as_it_is {
        true => match part.check() {
            Ok(has_places) => has_places,
            Err(error) => return Err(BufError::new(error, head)),
        },
        false => true,
    };
    // What has to be waited for may come late.
    sending.held = part.len > 0 && has_places;
    sending.transmitter.expect_more(sending.held);
    sending.transmitter.send_at_once(as_it_is);
    let (head, waited) = {
        let mut write = pin!(send_part(sending.transmitter, head));
        match poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await {
            Poll::Ready(written) => (written?, false),
            Poll::Pending => (write.await?, true),
        }
    };
    sending.transmitter.expect_more(false);
    sending.is_in_cache = as_it_is && !waited;
    Ok(((), head))
}

/// Reads the first piece of the file behind a copy of the head, and sends both as one.
async fn begin_with_read<B: IoBuf>(
    sending: &mut Sending<'_>,
    head: B,
    part: &Part<'_>,
) -> BufResult<(), B> {
    let head_bytes = head.bytes_len();
    let mut both = Vec::with_capacity(head_bytes + part.piece(0));
    both.extend_from_slice(buf::as_slice(&head));
    let sent = async {
        let (count, read) = part.read(both, 0).await?;
        send_part(sending.transmitter, read).await?;
        io::Result::Ok(count)
    };
    match sent.await {
        Ok(count) => {
            sending.sent = count as u64;
            sending.is_read = true;
            Ok(((), head))
        }
        Err(error) => Err(BufError::new(error, head)),
    }
}

/// Sends the head and the first piece of the file by one call, and then what that left.
pub(super) async fn begin_with<B: IoBuf, P: IoBuf>(
    sending: &mut Sending<'_>,
    driver: &Driver,
    head: B,
    piece: P,
) -> BufResult<(), B> {
    let head_bytes = head.bytes_len();
    let both = [buf::as_slice(&head), buf::as_slice(&piece)].map(IoSlice::new);
    let taken = match op::sendmsg::now(driver, sending.transmitter.fd(), &both) {
        None => 0,
        Some(Ok(taken)) => taken as usize,
        Some(Err(error)) => return Err(BufError::new(error, head)),
    };
    sending.transmitter.add_part(taken);
    sending.sent = taken.saturating_sub(head_bytes) as u64;
    sending.transmitter.send_at_once(true);
    let head = match taken < head_bytes {
        true => {
            let rest = send_part(sending.transmitter, head.slice(taken..)).await;
            rest.map_err(|failed| failed.map_buf(Slice::into_inner))?.into_inner()
        }
        false => head,
    };
    let piece_bytes = piece.bytes_len() as u64;
    if sending.sent < piece_bytes {
        let rest = piece.slice(sending.sent as usize..);
        if let Err(failed) = send_part(sending.transmitter, rest).await {
            return Err(BufError::new(failed.error, head));
        }
        sending.sent = piece_bytes;
    }
    Ok(((), head))
}

/// Sends what is left of the file.
async fn from_cache_and_disk(
    sending: &mut Sending<'_>,
    driver: &Driver,
    part: &Part<'_>,
) -> io::Result<()> {
    if part.cached && !sending.is_read {
        from_cache(sending, driver, part).await?;
    }
    by_copy(sending, part).await
}

/// Sends until the page cache, or the file, has no more.
async fn from_cache(sending: &mut Sending<'_>, driver: &Driver, part: &Part<'_>) -> io::Result<()> {
    sending.transmitter.send_at_once(true);
    while sending.sent < part.len {
        let before = sending.sent;
        let from = part.at(before);
        if mem::take(&mut sending.is_in_cache) || part.is_in_cache(driver, sending.sent) {
            budget::pay().await;
            let socket = sending.transmitter.fd();
            let wanted = part.large_piece(sending.sent);
            match op::send_file::now(driver, socket, part.fd(), from, wanted) {
                Some(Err(error)) if is_refusal(&error) => break,
                Some(sent) => match sent? {
                    0 => break,
                    sent => sending.add(u64::from(sent)),
                },
                // The page cache may have lost it when there is room again.
                None => submit(op::poll_add::PollAdd::writable(socket.clone())).await?,
            }
        } else if let Some(piece) =
            op::read_at::cached(driver, part.fd(), from, part.piece(sending.sent))
        {
            let count = piece.len() as u64;
            send_part(sending.transmitter, piece).await?;
            sending.sent += count;
        } else {
            break;
        }
        // A socket that takes everything at once must not keep the shard for itself.
        budget::take_more((sending.sent - before) / UNIT_BYTES);
    }
    sending.transmitter.send_at_once(false);
    Ok(())
}

/// Whether `sendfile(2)` may refuse a file with this error that can be copied all the same: one of
/// `/proc`, a pipe, or any where a filter allows no `sendfile`. If that is not the reason, the copy
/// fails, too.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [libc::EINVAL, libc::ESPIPE, libc::ENOSYS, libc::EPERM, libc::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|error| refusals.contains(&error))
}

async fn by_copy(sending: &mut Sending<'_>, part: &Part<'_>) -> io::Result<()> {
    let read = |mut buf: Vec<u8>, done: u64| {
        buf.clear();
        part.read(buf, done)
    };
    if sending.sent == part.len {
        return Ok(());
    }
    let (mut count, mut piece) = read(Vec::new(), sending.sent).await?;
    let mut spare = Vec::new();
    while count > 0 {
        let Sending { transmitter, sent, .. } = sending;
        let read_bytes = *sent + count as u64;
        let write = async {
            let piece = send_part(transmitter, piece).await?;
            // Noted here, since the read ahead may take longer, and all be dropped meanwhile.
            *sent = read_bytes;
            io::Result::Ok(piece)
        };
        if read_bytes == part.len {
            write.await?;
            break;
        }
        let (written, next) = join(write, read(spare, read_bytes)).await;
        spare = written?;
        (count, piece) = next?;
    }
    Ok(())
}
