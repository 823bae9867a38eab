//! What comes before everything that the kernel has for a stream: what a `read` has left.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Receiver;
use crate::buf::{self, IoBufMut, RecvBuf};
use crate::driver::{Submit, Trail};
use crate::op;

pub(super) enum Ahead {
    Nothing,
    /// A buffer of which a `read` has taken only a part, or that came when the task had used its
    /// budget up.
    Rest(RecvBuf),
    /// What a `read` brings that was dropped in flight, or forgotten.
    Dropped(Pin<Box<dyn Future<Output = io::Result<Option<RecvBuf>>>>>),
    /// The receive of a `read` that waits for the kernel. Its future takes this away; who receives
    /// next finds it if that future was forgotten.
    Begun(Trail),
}

impl Receiver {
    /// What comes first, if there is something. Who asks has the receiver for itself, so a `read` that
    /// is not over yet was forgotten.
    #[inline(never)]
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        if let Ahead::Begun(trail) = self.ahead {
            self.keep_forgotten(trail);
        }
        let received = match &mut self.ahead {
            Ahead::Dropped(dropped) => ready!(dropped.as_mut().poll(cx)),
            Ahead::Rest(rest) => Ok(Some(mem::replace(rest, RecvBuf::empty()))),
            Ahead::Nothing | Ahead::Begun(_) => Ok(None),
        };
        self.ahead = Ahead::Nothing;
        Poll::Ready(received)
    }

    /// A `read` was forgotten in flight. What it brings is in memory that nobody can reach.
    fn keep_forgotten(&mut self, trail: Trail) {
        self.ahead = Ahead::Dropped(Box::pin(async move {
            match poll_fn(|cx| trail.poll_forgotten(cx)).await {
                Some(Ok(lost)) if lost > 0 => Err(io::Error::other(format!(
                    "a read was forgotten in flight, and {lost} bytes of the stream with it"
                ))),
                _ => Ok(None),
            }
        }));
    }

    /// A `read` was dropped in flight: it goes on, and what it brings belongs to the stream.
    pub(super) fn keep<B: IoBufMut>(&mut self, mut receive: Submit<op::recv::Recv<B>>) {
        receive.cancel();
        self.ahead = Ahead::Dropped(Box::pin(async move {
            match poll_fn(|cx| receive.poll_end(cx)).await {
                Some(Ok((count, buf))) => {
                    Ok(Some(RecvBuf::from_vec(buf::as_slice(&buf)[..count].to_vec())))
                }
                // It was cancelled, or its time limit had passed before it was dropped.
                Some(Err(failed)) if failed.error.raw_os_error().is_none_or(is_cancel) => Ok(None),
                Some(Err(failed)) => Err(failed.error),
                None => Ok(None),
            }
        }));
    }
}

fn is_cancel(errno: i32) -> bool {
    matches!(errno, libc::ECANCELED | libc::EINTR)
}
