//! Sending bytes that are lent for the time of a call: `poll_write`.
//!
//! They are tried at once where the stream sends so, and where they are many; a refused call waits for
//! room and has taken nothing. On a ring few bytes are copied and leave with the other sends of the round:
//! from then on they are the shard's (`op/send_lent.rs`), which sends them also if the stream is dropped.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_util::future::FusedFuture;

use super::{Last, Transmitter};
use crate::driver::{self, Driver, Sealed, SharedFd, Submit, submit};
use crate::op;
use crate::op::send_lent::{COPIED_MAX, LentSends};
use crate::task::Scheduler;
use crate::time::timeout;
use crate::util::budget;

/// Pieces of so many bytes together are sent as one: the kernel takes a buffer faster than a list.
const FLATTENED_MAX: usize = 512;

/// What a stream keeps for lent bytes, once a ring has sent some or there was no room.
#[derive(Default)]
pub(super) struct Lent(Option<Rc<LentSends>>);

impl Transmitter {
    /// Takes bytes, or waits until there is room for some.
    #[inline]
    pub(in super::super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_lent(cx, &[IoSlice::new(bytes)], |driver, fd| op::send::lent(driver, fd, bytes))
    }

    /// Takes bytes of several pieces, or waits until there is room for some.
    #[inline]
    pub(in super::super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_lent(cx, pieces, |driver, fd| {
            if pieces.iter().map(|piece| piece.len()).sum::<usize>() > FLATTENED_MAX {
                return op::sendmsg::now(driver, fd, pieces);
            }
            let (mut flat, mut end) = ([0; FLATTENED_MAX], 0);
            for piece in pieces {
                flat[end..][..piece.len()].copy_from_slice(piece);
                end += piece.len();
            }
            op::send::lent(driver, fd, &flat[..end])
        })
    }

    #[inline]
    fn poll_lent(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
        mut send: impl FnMut(&Driver, &SharedFd) -> Option<io::Result<u32>>,
    ) -> Poll<io::Result<usize>> {
        self.claim();
        ready!(self.lent_toll.pay(cx.waker()));
        let driver = driver::current()?;
        let len = pieces.iter().map(|piece| piece.len()).sum();
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.lent.in_flight()
            && let Some(taken) = self.copy(&driver, pieces, len)
        {
            return Poll::Ready(Ok(taken));
        }
        ready!(self.poll_clear(cx))?;
        if !self.sends_at_once(&driver)
            && let Some(taken) = self.copy(&driver, pieces, len)
        {
            self.last = Last::Lent;
            return Poll::Ready(Ok(taken));
        }
        if let Some(sends) = &self.lent.0 {
            ready!(sends.poll_room(cx))?;
        }
        loop {
            if let Some(sent) = send(&driver, &self.fd) {
                return Poll::Ready(sent.map(|count| count as usize));
            }
            let sends = self.lent.0.get_or_insert_default();
            sends.wait_for_room(&self.fd);
            ready!(sends.poll_room(cx))?;
        }
    }

    /// Copies few bytes for the shard to send.
    #[inline]
    fn copy(&mut self, driver: &Rc<Driver>, pieces: &[IoSlice<'_>], len: usize) -> Option<usize> {
        if len > COPIED_MAX || !driver.can().carries_operations {
            return None;
        }
        self.lent.0.get_or_insert_default().take(driver, &self.fd, pieces)
    }

    /// Whether all that was taken is with the kernel, or with the shard, which is as good. Tells of an
    /// earlier write that failed or was abandoned.
    #[inline]
    pub(in super::super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.claim();
        if self.is_clear() || self.lent.in_flight() {
            return Poll::Ready(Ok(()));
        }
        self.poll_clear(cx)
    }

    /// Ends the sending side behind all that was taken.
    pub(in super::super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        let mut shutdown = self.shutdown(Shutdown::Write);
        // It waits for nothing.
        budget::without_limit(|| Pin::new(&mut shutdown).poll(cx))
    }

    /// Ends a side of the stream, or both, behind all that was taken.
    pub(in super::super) fn shutdown(&self, how: Shutdown) -> ShutdownBehind {
        let sends = self.lent.0.clone();
        let now = submit(op::shutdown::Shutdown::new(self.fd.clone(), how));
        ShutdownBehind { sends, how, now: Some(now) }
    }

    /// Has the sending side end behind lent bytes. False if there are none.
    pub(in super::super) fn ends_behind_lent(&self) -> bool {
        let sends = self.lent.0.as_ref();
        sends.is_some_and(|sends| sends.shut_down_behind(Shutdown::Write))
    }
}

impl Lent {
    #[inline]
    fn in_flight(&self) -> bool {
        self.0.as_ref().is_some_and(|sends| sends.in_flight())
    }

    /// Waits until nothing of them is in flight. The error says why they could not be sent.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sends) = &self.0 else { return Poll::Ready(Ok(())) };
        ready!(sends.poll_sent(cx))?;
        Poll::Ready(sends.take_error().map_or(Ok(()), Err))
    }
}

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        if let Some(sends) = self.0.take() {
            sends.forget_room();
            if sends.in_flight() {
                linger(sends);
            }
        }
    }
}

/// The stream is gone, and its last bytes are with the shard: gives them up if they cannot be sent in
/// time. Where nothing runs, the end of the runtime does.
#[cold]
fn linger(sends: Rc<LentSends>) {
    let (Some(scheduler), Ok(driver)) = (Scheduler::current(), driver::current()) else { return };
    let limit = driver.limits().linger;
    drop(scheduler.spawn(async move {
        if timeout(limit, poll_fn(|cx| sends.poll_sent(cx))).await.is_err() {
            sends.give_up();
        }
    }));
}

/// The future of `shutdown`.
pub(in super::super) struct ShutdownBehind {
    sends: Option<Rc<LentSends>>,
    how: Shutdown,
    now: Option<Submit<op::shutdown::Shutdown>>,
}

impl Future for ShutdownBehind {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ShutdownBehind { sends, how, now } = &mut *self;
        let ended = match sends {
            Some(sends) if *how != Shutdown::Read && sends.shut_down_behind(*how) => Ok(()),
            _ => {
                let now = now.as_mut().expect("a future is not polled after its end");
                ready!(Pin::new(now).poll(cx))
            }
        };
        *now = None;
        Poll::Ready(ended)
    }
}

impl FusedFuture for ShutdownBehind {
    fn is_terminated(&self) -> bool {
        self.now.is_none()
    }
}

impl Sealed for ShutdownBehind {}

impl fmt::Debug for ShutdownBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shutdown").field(&self.how).finish()
    }
}
