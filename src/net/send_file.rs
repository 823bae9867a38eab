//! A file to a socket.
//!
//! On a ring by copy. What the page cache has goes through the buffer that was used last, piece by
//! piece, each read and sent at once: read by the ring, the pieces of all clients would come before
//! the first is sent, and none of them would still be in the processor's cache. What the disk has
//! goes through two buffers, the read ahead of the send. A splice would hold a worker thread of the
//! kernel for each client that stalls, and the healthy ones would wait for it. On epoll by
//! `sendfile(2)`, which returns what the socket took.

use std::io;

use futures_util::future::join;

use super::transmit::{Transmitter, WriteAll};
use crate::buf::IoBuf;
use crate::driver::{self, SharedFd, submit};
use crate::fs::File;
use crate::op;
use crate::task::yield_now;

/// Bytes of one piece: what is read ahead while the piece before it is sent.
const PIECE_BYTES: u64 = 64 * 1024;

/// Less than this costs less by the ring, together with what others read and send in the round.
const AT_ONCE_MIN: u64 = 8 * 1024;

/// Sends up to `len` bytes of `file` from `offset` on; fewer only where the file ends.
pub(super) async fn send_file(
    transmitter: &mut Transmitter,
    file: &File,
    offset: u64,
    len: u64,
) -> io::Result<u64> {
    std::future::poll_fn(|cx| transmitter.poll_clear(cx)).await?;
    let mut sending = Sending { transmitter, sent: 0, ended: false };
    let result = match driver::current()?.is_uring() {
        true => {
            if len >= AT_ONCE_MIN && file.is_cached() {
                from_cache(&mut sending, file.shared(), offset, len).await?;
            }
            by_copy(&mut sending, file.shared(), offset, len).await
        }
        false => by_sendfile(&mut sending, file.shared(), offset, len).await,
    };
    sending.ended = result.is_ok();
    result.map(|()| sending.sent)
}

/// A file on its way. Dropped before its end, or failing, it leaves word of how much was sent.
struct Sending<'a> {
    transmitter: &'a mut Transmitter,
    sent: u64,
    ended: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.transmitter.send_at_once(false);
        if !self.ended {
            self.transmitter.add_abandoned(self.sent as usize);
        }
    }
}

/// Sends until the page cache, or the file, has no more.
async fn from_cache(
    sending: &mut Sending<'_>,
    file: &SharedFd,
    offset: u64,
    len: u64,
) -> io::Result<()> {
    let Sending { transmitter, sent, .. } = sending;
    transmitter.send_at_once(true);
    let driver = driver::current()?;
    while *sent < len {
        let wanted = (len - *sent).min(PIECE_BYTES) as usize;
        let Some(piece) = driver.read_now(file, offset.saturating_add(*sent), wanted) else {
            break;
        };
        let count = piece.len() as u64;
        WriteAll::new(transmitter, piece).await?;
        *sent += count;
        // A socket that takes everything at once must not keep the shard for itself.
        yield_now().await;
    }
    transmitter.send_at_once(false);
    Ok(())
}

async fn by_copy(
    sending: &mut Sending<'_>,
    file: &SharedFd,
    offset: u64,
    len: u64,
) -> io::Result<()> {
    let read = |mut buf: Vec<u8>, done: u64| {
        let wanted = (len - done).min(PIECE_BYTES) as usize;
        buf.clear();
        buf.reserve_exact(wanted);
        let position = op::position::Position::At(offset.saturating_add(done));
        submit(op::read_at::ReadAt::new(file.clone(), buf.slice(..wanted), position))
    };
    if sending.sent == len {
        return Ok(());
    }
    let (mut count, mut piece) = read(Vec::new(), sending.sent).await?;
    let mut spare = Vec::new();
    while count > 0 {
        let Sending { transmitter, sent, .. } = sending;
        let read_bytes = *sent + count as u64;
        let write = async {
            let piece = WriteAll::new(transmitter, piece.into_inner()).await?;
            // Noted here, since the read ahead may take longer, and all be dropped meanwhile.
            *sent = read_bytes;
            io::Result::Ok(piece)
        };
        if read_bytes == len {
            write.await?;
            break;
        }
        let (written, next) = join(write, read(spare, read_bytes)).await;
        spare = written?;
        (count, piece) = next?;
    }
    Ok(())
}

async fn by_sendfile(
    sending: &mut Sending<'_>,
    file: &SharedFd,
    offset: u64,
    len: u64,
) -> io::Result<()> {
    let socket = sending.transmitter.fd().clone();
    while sending.sent < len {
        let wanted = (len - sending.sent).min(PIECE_BYTES);
        let from = offset.saturating_add(sending.sent);
        let send =
            op::send_file::SendFile::new(socket.clone(), file.clone(), from, wanted as usize);
        match submit(send).await? {
            0 => break,
            count => sending.sent += u64::from(count),
        }
        // A socket that takes everything at once must not keep the shard for itself.
        yield_now().await;
    }
    Ok(())
}
