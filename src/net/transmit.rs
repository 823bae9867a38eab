//! The sending half of every stream: one write at a time, and what became of the last one.
//! `futures.rs` has what users await.

mod futures;
mod lent;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use crate::buf::BufResult;
use crate::driver::{Driver, Operation, SharedFd, Submit, Trail, timed_out};
use crate::task::Scheduler;
use crate::util::budget::Toll;
use crate::util::expiry::has_expired;

pub(super) use self::futures::{SendAll, Write, WriteAll};
use self::lent::Lent;

/// What a stream keeps for sending.
pub(super) struct Transmitter {
    fd: SharedFd,
    /// What became of the last write.
    last: Last,
    /// Bytes that a write of several parts has sent, while there is one.
    parts_sent: usize,
    /// There is one. Its future clears this; the next write finds it if that was forgotten.
    in_parts: bool,
    /// Each send is tried at once, whatever the others of its round do.
    at_once: bool,
    /// More follows at once after the next write of one buffer.
    more: bool,
    lent: Lent,
    lent_toll: Toll,
    /// Dropping its half of a stream ends the sending side. Here, where there is room for it.
    pub(super) ends: bool,
}

/// The last write, as far as the caller does not know of it.
enum Last {
    Told,
    /// It waits for the kernel, or for its turn, and its earlier sends have sent so many bytes. Its
    /// future clears this; the next write finds it if that was forgotten.
    Begun {
        sent: usize,
        trail: Option<Trail>,
    },
    /// It was dropped in flight, or forgotten. The next one waits for its end, and hears how many
    /// bytes were sent.
    Dropped(Pin<Box<dyn Future<Output = usize>>>),
    /// It ended in the middle, with so many bytes sent.
    Abandoned(usize),
    /// Lent bytes, which may be in flight or have failed.
    Lent,
}

/// A write was dropped, forgotten, or timed out, before it had ended. Only the caller can know what
/// the peer should see next, so the next write fails once with this, as an [`io::Error`]'s inner
/// error.
///
/// The stream itself is in order: a later write is sent after what had been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteAbandoned {
    /// Bytes of the abandoned write that the kernel had taken.
    pub written: usize,
}

impl WriteAbandoned {
    /// What an error of a write says of an earlier one, if it is such an error.
    pub fn of(error: &io::Error) -> Option<WriteAbandoned> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for WriteAbandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an earlier write was given up after {} bytes; what the peer should see next is for the \
             caller to decide",
            self.written
        )
    }
}

impl std::error::Error for WriteAbandoned {}

impl Transmitter {
    pub(super) fn new(fd: SharedFd) -> Self {
        let (in_parts, at_once, more, ends) = (false, false, false, false);
        let (lent, lent_toll) = (Lent::default(), Toll::Due);
        Transmitter {
            fd,
            last: Last::Told,
            parts_sent: 0,
            in_parts,
            at_once,
            more,
            lent,
            lent_toll,
            ends,
        }
    }

    pub(super) fn fd(&self) -> &SharedFd {
        &self.fd
    }

    /// Whether to try each send at once, also where others would share the round's `enter`.
    pub(super) fn send_at_once(&mut self, at_once: bool) {
        self.at_once = at_once;
    }

    /// Says whether more follows the writes of one buffer at once, so that it may leave with them.
    pub(super) fn expect_more(&mut self, more: bool) {
        self.more = more;
    }

    /// A write comes into being. It has the transmitter for itself, so one that is not over yet was
    /// forgotten: it ends as one that was dropped does.
    #[inline]
    fn claim(&mut self) {
        if self.in_parts || matches!(self.last, Last::Begun { .. }) {
            self.keep_forgotten();
        }
    }

    /// The present write waits, when so many bytes were sent, be it for the end of what is in flight.
    #[inline]
    fn wait(&mut self, sent: usize, trail: Option<Trail>) {
        // A write begins when nothing is left of the one before, so nothing is to be dropped here.
        mem::forget(mem::replace(&mut self.last, Last::Begun { sent, trail }));
    }

    /// The write that had begun goes on, or is over.
    #[inline]
    fn go_on(&mut self) {
        if let Last::Begun { .. } = self.last {
            self.last = Last::Told;
        }
    }

    #[cold]
    fn keep_forgotten(&mut self) {
        (self.at_once, self.more) = (false, false);
        self.end_parts(false);
        let Last::Begun { sent: before, trail } = self.last else { return };
        self.last = Last::Dropped(Box::pin(async move {
            let Some(trail) = trail else { return before };
            let ended = poll_fn(|cx| trail.poll_forgotten(cx)).await;
            before + ended.and_then(Result::ok).unwrap_or(0) as usize
        }));
    }

    /// A write of several parts begins: the writes of its parts are no writes of their own.
    pub(super) fn begin_parts(&mut self) {
        self.claim();
        (self.in_parts, self.parts_sent) = (true, 0);
    }

    /// So many bytes of it were sent.
    pub(super) fn add_part(&mut self, sent: usize) {
        self.parts_sent += sent;
    }

    /// It is over. If it has not `ended` well, the next write tells how much of it was sent.
    pub(super) fn end_parts(&mut self, ended: bool) {
        let sent = if mem::take(&mut self.in_parts) { self.parts_sent } else { 0 };
        self.last = match mem::replace(&mut self.last, Last::Told) {
            last if ended || sent == 0 => last,
            Last::Told => Last::Abandoned(sent),
            Last::Begun { sent: more, trail } => Last::Begun { sent: sent + more, trail },
            Last::Dropped(last) => Last::Dropped(Box::pin(async move { sent + last.await })),
            Last::Abandoned(more) => Last::Abandoned(sent + more),
            Last::Lent => unreachable!("they were sent before the first part"),
        };
    }

    /// Whether the last write has ended, and its caller knows how.
    #[inline]
    fn is_clear(&self) -> bool {
        matches!(self.last, Last::Told)
    }

    /// Whether a send is to be tried at once. On a ring one that is alone in its round is tried,
    /// too: the `enter` that took it would end with its completion, and the wait for what comes next
    /// would need a second one.
    #[inline]
    fn sends_at_once(&self, driver: &Driver) -> bool {
        self.at_once
            || self.fd.tries_first()
            || (!Scheduler::another_is_ready() && !driver.has_staged())
    }

    /// Waits until an abandoned write has ended. The error tells of it, once.
    pub(super) async fn clear(&mut self) -> io::Result<()> {
        self.claim();
        poll_fn(|cx| self.poll_clear(cx)).await
    }

    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match &mut self.last {
            Last::Told | Last::Begun { .. } => return Poll::Ready(Ok(())),
            Last::Lent => {
                let sent = match self.lent.poll_sent(cx) {
                    Poll::Ready(sent) => sent,
                    // They stay with the shard.
                    Poll::Pending if has_expired(cx.waker()) => {
                        return Poll::Ready(Err(timed_out()));
                    }
                    Poll::Pending => return Poll::Pending,
                };
                self.last = Last::Told;
                return Poll::Ready(sent);
            }
            Last::Dropped(dropped) => ready!(dropped.as_mut().poll(cx)),
            Last::Abandoned(written) => *written,
        };
        self.last = Last::Told;
        Poll::Ready(Err(io::Error::other(WriteAbandoned { written })))
    }

    /// A write ended in the middle, by a way that gave no count to the caller.
    fn set_abandoned(&mut self, written: usize) {
        self.last = Last::Abandoned(written);
    }

    /// A write was dropped in flight, when `before` bytes had been sent.
    fn keep<T, O>(&mut self, mut send: Submit<O>, before: usize)
    where
        T: 'static,
        O: Operation<Output = BufResult<usize, T>>,
    {
        if send.is_waiting() {
            // Nothing is in flight, and nothing more is to be sent when the socket has room.
            self.last = Last::Abandoned(before);
            return;
        }
        send.cancel();
        self.last = Last::Dropped(Box::pin(async move {
            match poll_fn(|cx| send.poll_end(cx)).await {
                Some(Ok((count, _))) => before + count,
                Some(Err(_)) | None => before,
            }
        }));
    }

    /// Waits until nothing is in flight. The error says why lent bytes could not be sent.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.claim();
        match &mut self.last {
            Last::Lent => return poll_fn(|cx| self.poll_clear(cx)).await,
            Last::Dropped(dropped) => drop(dropped.await),
            Last::Told | Last::Begun { .. } | Last::Abandoned(_) => {}
        }
        self.last = Last::Told;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
