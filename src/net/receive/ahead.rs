//! What comes before everything that the kernel has for a stream: what a `read` has left.

use std::future::{Future, poll_fn, ready};
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{self, Context, Poll};

use super::Receiver;
use crate::buf::{self, IoBufMut, RecvBuf};
use crate::driver::{Submit, Trail};
use crate::op;
use crate::util::expiry::poll_expired;

pub(super) enum Ahead {
    Nothing,
    /// A buffer of which a `read` has taken only a part, or that came when the task had used its
    /// budget up, or what was put back.
    Rest(RecvBuf),
    /// What a `read` brings that was dropped in flight, or forgotten, and how it ended.
    Dropped(Pin<Box<dyn Future<Output = Ended>>>),
    /// How it ended.
    Failed(io::Error),
    /// The receive of a `read` that waits for the kernel. Its future takes this away; who receives
    /// next finds it if that future was forgotten.
    Begun(Trail),
}

type Ended = (Vec<u8>, io::Result<()>);

impl Receiver {
    /// What comes first, if there is something. Who asks has the receiver for itself, so a `read` that
    /// is not over yet was forgotten.
    #[inline(never)]
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        if let Ahead::Begun(trail) = self.ahead {
            self.keep_forgotten(trail);
        }
        if let Ahead::Dropped(dropped) = &mut self.ahead {
            let (bytes, ended) = task::ready!(dropped.as_mut().poll(cx));
            self.ahead = ended.map_or_else(Ahead::Failed, |()| Ahead::Nothing);
            if !bytes.is_empty() {
                return Poll::Ready(Ok(Some(RecvBuf::from_vec(bytes))));
            }
        }
        Poll::Ready(match mem::replace(&mut self.ahead, Ahead::Nothing) {
            Ahead::Rest(rest) => Ok(Some(rest)),
            Ahead::Failed(error) => Err(error),
            Ahead::Nothing | Ahead::Begun(_) | Ahead::Dropped(_) => Ok(None),
        })
    }

    /// A receive of a `read`'s own waits, or is over.
    #[inline]
    pub(super) fn set_begun(&mut self, begun: Ahead) {
        // It began when nothing came before it, so nothing is to be dropped here.
        mem::forget(mem::replace(&mut self.ahead, begun));
    }

    /// A `read` was forgotten in flight. What it brings is in memory that nobody can reach.
    fn keep_forgotten(&mut self, trail: Trail) {
        self.ahead = Ahead::Dropped(Box::pin(async move {
            let ended = poll_fn(|cx| trail.poll_forgotten(cx)).await;
            let lost = ended.and_then(Result::ok).unwrap_or(0);
            let text = format!("a read was forgotten, and {lost} bytes of the stream with it");
            let told = if lost > 0 { Err(io::Error::other(text)) } else { Ok(()) };
            (Vec::new(), told)
        }));
    }

    /// A `read` was dropped when its buffer had so many bytes and the kernel had the buffer: what it
    /// still brings belongs to the stream, too.
    pub(super) fn keep<B: IoBufMut>(
        &mut self,
        mut receive: Submit<op::recv::Recv<B>>,
        done: usize,
    ) {
        if done == 0 && !receive.in_flight() {
            return;
        }
        receive.cancel();
        self.ahead = Ahead::Dropped(Box::pin(async move {
            let first = |buf: &B, count| buf::as_slice(buf)[..count].to_vec();
            match poll_fn(|cx| poll_expired(cx, |cx| receive.poll_end(cx))).await {
                Some(Ok((count, buf))) => (first(&buf, done + count), Ok(())),
                Some(Err(failed)) => {
                    let bytes = first(failed.buf(), done);
                    // It was cancelled, or the time limit that ends it had passed already.
                    let was_ended = failed.error.raw_os_error().is_none_or(is_cancel);
                    (bytes, if was_ended { Ok(()) } else { Err(failed.error) })
                }
                None => (Vec::new(), Ok(())),
            }
        }));
    }

    /// What was taken and is given back comes before what had come behind it.
    pub(in super::super) fn put_back(&mut self, bytes: RecvBuf) {
        if bytes.is_empty() {
            return;
        }
        if let Ahead::Begun(trail) = self.ahead {
            self.keep_forgotten(trail);
        }
        self.ahead = match mem::replace(&mut self.ahead, Ahead::Nothing) {
            Ahead::Nothing | Ahead::Begun(_) => Ahead::Rest(bytes),
            Ahead::Rest(behind) => Ahead::Rest(bytes.followed_by(&behind)),
            Ahead::Failed(error) => Ahead::Dropped(Box::pin(ready((bytes.into(), Err(error))))),
            Ahead::Dropped(dropped) => Ahead::Dropped(Box::pin(async move {
                let (behind, ended) = dropped.await;
                (bytes.followed_by(&behind).into(), ended)
            })),
        };
    }
}

fn is_cancel(errno: i32) -> bool {
    matches!(errno, libc::ECANCELED | libc::EINTR)
}
