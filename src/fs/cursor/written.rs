//! The one write of a cursor that is under way. It belongs to the cursor: what was begun is not overtaken by
//! a later write, though its future is dropped.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::buf::{BufError, BufResult, IoBuf};
use crate::io::OwnedWriteAt;
use crate::runtime::Handle;
use crate::task;

/// Bytes of one write by `PollWrite`, which are copied.
const COPY_MAX: usize = 256 * 1024;

#[derive(Default)]
pub(super) struct Written {
    writing: Option<Pin<Box<dyn Future<Output = Ended>>>>,
    /// The position was set since the write began, so its end does not move it.
    stays: bool,
    /// Why a write failed that nobody waited for.
    failed: Option<io::Error>,
}

/// How many bytes were written, and why not all.
type Ended = (usize, Option<io::Error>);

/// Where a write that is waited for leaves its buffer.
pub(super) type Outcome<B> = Rc<RefCell<Option<BufResult<usize, B>>>>;

impl Written {
    /// Waits until no write is under way, and returns by how much the position moves.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(0) };
        let (count, failed) = ready!(writing.as_mut().poll(cx));
        self.writing = None;
        self.failed = failed.or(self.failed.take());
        Poll::Ready(if std::mem::take(&mut self.stays) { 0 } else { count as u64 })
    }

    /// The position is set.
    pub(super) fn stays(&mut self) {
        self.stays = self.writing.is_some();
    }

    /// Gives up the write that is under way.
    pub(super) fn give_up(mut self) {
        self.writing = None;
    }

    /// Tells once why a write has failed that nobody waited for.
    pub(super) fn tell_failed(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Begins a write for somebody who waits, as long as they do.
    pub(super) fn write<S: OwnedWriteAt + 'static, B: IoBuf>(
        &mut self,
        to: &Rc<S>,
        position: u64,
        buf: B,
    ) -> Outcome<B> {
        let outcome = Outcome::default();
        let (to, told) = (to.clone(), Rc::downgrade(&outcome));
        self.writing = Some(Box::pin(async move {
            let written = to.write_at(buf, position).await;
            let count = written.as_ref().map_or(0, |(count, _)| *count);
            match (told.upgrade(), written) {
                (Some(told), written) => {
                    told.replace(Some(written));
                    (count, None)
                }
                (None, Ok(_)) => (count, None),
                (None, Err(failed)) => (0, Some(failed.into())),
            }
        }));
        outcome
    }

    /// What has come of a write that has ended.
    pub(super) fn told<B: IoBuf>(&self, outcome: Outcome<B>) -> BufResult<usize, B> {
        outcome.take().expect("it has ended, and its caller is here")
    }

    /// Begins a write of bytes that are copied. Its end is told by the next call.
    pub(super) fn write_all<S: OwnedWriteAt + 'static>(
        &mut self,
        to: &Rc<S>,
        position: u64,
        bytes: Vec<u8>,
    ) {
        let to = to.clone();
        self.writing = Some(Box::pin(async move {
            let written: Result<Vec<u8>, BufError<Vec<u8>>> =
                to.write_all_at(bytes, position).await;
            match written {
                Ok(bytes) => (bytes.len(), None),
                Err(failed) => (failed.transferred(), Some(failed.into())),
            }
        }));
    }
}

impl Drop for Written {
    /// What was taken is written, as far as there is a runtime to do it.
    fn drop(&mut self) {
        if let Some(writing) = self.writing.take()
            && Handle::try_current().is_some()
        {
            task::spawn(writing);
        }
    }
}

/// A copy of the first bytes of several pieces.
pub(super) fn copy_of(pieces: &[IoSlice<'_>]) -> Vec<u8> {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut copy = Vec::with_capacity(len.min(COPY_MAX));
    for piece in pieces {
        let room = COPY_MAX - copy.len();
        copy.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    copy
}
