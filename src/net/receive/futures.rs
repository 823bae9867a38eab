//! What users await: `recv`, `read` and `read_exact`.
//!
//! None of them has anything in flight of its own, so dropping or forgetting one loses nothing: what
//! the kernel is about to bring belongs to the stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Receiver;
use crate::buf::{self, BufError, BufResult, IoBufMut, RecvBuf, Slice};
use crate::driver::{IoFuture, timed_out};
use crate::util::budget::Toll;

/// The future of `recv`.
#[must_use = "nothing is received until this is awaited"]
pub struct Recv<'a> {
    receiver: &'a mut Receiver,
    expired: bool,
}

impl<'a> Recv<'a> {
    #[inline]
    pub(in super::super) fn new(receiver: &'a mut Receiver) -> Self {
        Recv { receiver, expired: false }
    }
}

impl Future for Recv<'_> {
    type Output = io::Result<RecvBuf>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.receiver.poll_recv(cx) {
            Poll::Pending if self.expired => Poll::Ready(Err(timed_out())),
            other => other,
        }
    }
}

impl IoFuture for Recv<'_> {
    fn expire(&mut self) {
        // What comes later stays with the stream.
        self.expired = true;
    }
}

/// The future of `read`.
#[must_use = "nothing is received until this is awaited"]
pub struct Read<'a, B: IoBufMut> {
    receiver: &'a mut Receiver,
    /// `None` at the end.
    buf: Option<B>,
    expired: bool,
    toll: Toll,
}

impl<'a, B: IoBufMut> Read<'a, B> {
    pub(in super::super) fn new(receiver: &'a mut Receiver, buf: B) -> Self {
        Read { receiver, buf: Some(buf), expired: false, toll: Toll::Due }
    }
}

impl<B: IoBufMut> Future for Read<'_, B> {
    type Output = BufResult<usize, B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut buf = this.buf.take().expect("a future is not polled after its end");
        let polled = if buf.capacity() == 0 {
            Poll::Ready(Err(buf::no_room()))
        } else if this.receiver.rest.is_some() && this.toll.pay(cx.waker()).is_pending() {
            Poll::Pending
        } else {
            this.receiver.poll_read(&mut buf, cx)
        };
        match polled {
            Poll::Ready(Ok(count)) => Poll::Ready(Ok((count, buf))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(BufError::new(error, buf))),
            Poll::Pending if this.expired => Poll::Ready(Err(BufError::new(timed_out(), buf))),
            Poll::Pending => {
                this.buf = Some(buf);
                Poll::Pending
            }
        }
    }
}

impl<B: IoBufMut> IoFuture for Read<'_, B> {
    fn expire(&mut self) {
        // What comes later stays with the stream.
        self.expired = true;
    }
}

/// The future of `read_exact`.
#[must_use = "nothing is received until this is awaited"]
pub struct ReadExact<'a, B: IoBufMut> {
    /// The read under way.
    read: Read<'a, Slice<B>>,
    done: usize,
    wanted: usize,
}

impl<'a, B: IoBufMut> ReadExact<'a, B> {
    pub(in super::super) fn new(receiver: &'a mut Receiver, buf: B, wanted: usize) -> Self {
        ReadExact { read: Read::new(receiver, buf.slice(0..wanted)), done: 0, wanted }
    }

    /// What can be said before anything is received: there is nothing to wait for, or no room for it.
    fn end_before_it_begins(&mut self) -> Option<Result<B, BufError<B>>> {
        let room = self.read.buf.as_ref()?.whole().capacity();
        if self.wanted > 0 && room >= self.wanted {
            return None;
        }
        let mut buf = self.read.buf.take()?.into_inner();
        if self.wanted > 0 {
            return Some(Err(BufError::new(buf::little_room(room, self.wanted), buf)));
        }
        buf::truncate(&mut buf, 0);
        Some(Ok(buf))
    }

    /// The buffer, with what has come into it and no more.
    fn cut(&self, buf: Slice<B>) -> B {
        let mut buf = buf.into_inner();
        buf::truncate(&mut buf, self.done);
        buf
    }
}

impl<B: IoBufMut> Future for ReadExact<'_, B> {
    /// The buffer, as long as it was to be; the error carries it with what had come.
    type Output = Result<B, BufError<B>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(ended) = this.end_before_it_begins() {
            return Poll::Ready(ended);
        }
        loop {
            let (count, buf) = match ready!(Pin::new(&mut this.read).poll(cx)) {
                Ok(read) => read,
                Err(failed) if this.done == 0 => {
                    return Poll::Ready(Err(failed.map_buf(Slice::into_inner)));
                }
                Err(failed) => return Poll::Ready(Err(failed.map_buf(|buf| this.cut(buf)))),
            };
            this.done += count;
            if this.done == this.wanted {
                return Poll::Ready(Ok(this.cut(buf)));
            }
            if count == 0 {
                let text = format!("the stream ended after {} of {} bytes", this.done, this.wanted);
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                return Poll::Ready(Err(BufError::new(error, this.cut(buf))));
            }
            this.read.buf = Some(buf.into_inner().slice(this.done..this.wanted));
        }
    }
}

impl<B: IoBufMut> IoFuture for ReadExact<'_, B> {
    fn expire(&mut self) {
        self.read.expire();
    }
}
