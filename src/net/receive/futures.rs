//! What users await: `recv`, `read` and `read_exact`.
//!
//! What the kernel is about to bring belongs to the stream, so dropping one of them loses nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Receiver;
use super::ahead::Ahead;
use crate::buf::{self, BufError, BufResult, IoBufMut, RecvBuf, Slice};
use crate::driver::{Expire, Submit, submit, timed_out};
use crate::op;
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

impl Expire for Recv<'_> {
    fn expire(&mut self) {
        // What comes later stays with the stream.
        self.expired = true;
    }
}

/// The future of `read`.
#[must_use = "nothing is received until this is awaited"]
pub struct Read<'a, B: IoBufMut> {
    receiver: &'a mut Receiver,
    /// Before and after the receive of its own.
    buf: Option<B>,
    /// The kernel has the buffer.
    receive: Option<Submit<op::recv::Recv<B>>>,
    expired: bool,
    toll: Toll,
}

impl<'a, B: IoBufMut> Read<'a, B> {
    pub(in super::super) fn new(receiver: &'a mut Receiver, buf: B) -> Self {
        Read { receiver, buf: Some(buf), receive: None, expired: false, toll: Toll::Due }
    }

    /// Receives what is stored with the stream, or by its way, into the buffer. `Ready(None)`: the
    /// buffer is for the kernel.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        let Read { receiver, buf, toll, .. } = self;
        let buf = buf.as_mut().expect("a future is not polled after its end");
        let room = buf.capacity();
        if room == 0 {
            return Poll::Ready(Err(buf::no_room()));
        }
        if matches!(receiver.ahead, Ahead::Rest(_)) {
            ready!(toll.pay(cx.waker()));
        }
        if !receiver.hands_over(room) {
            return receiver.poll_read(buf, cx).map_ok(Some);
        }
        let stored = ready!(receiver.poll_ahead(cx))?;
        Poll::Ready(Ok(stored.map(|received| receiver.take_part(received, buf))))
    }

    /// Takes the result of the receive of its own.
    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        let receive = self.receive.as_mut().expect("the caller has begun it");
        let Poll::Ready(result) = Pin::new(&mut *receive).poll(cx) else {
            if let Some(trail) = receive.trail() {
                self.receiver.ahead = Ahead::Begun(trail);
            }
            return Poll::Pending;
        };
        self.receiver.ahead = Ahead::Nothing;
        self.receive = None;
        match result {
            Ok((count, buf)) => {
                self.receiver.note(count);
                Poll::Ready(Ok((count, buf)))
            }
            // Its runtime has ended: it goes on in this one.
            Err(failed) if failed.error.raw_os_error() == Some(libc::ECANCELED) => {
                self.buf = Some(failed.into_parts().1);
                Pin::new(self).poll(cx)
            }
            Err(failed) => Poll::Ready(Err(failed)),
        }
    }
}

impl<B: IoBufMut> Future for Read<'_, B> {
    type Output = BufResult<usize, B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.receive.is_some() {
            return this.poll_own(cx);
        }
        let polled = this.poll_stream(cx);
        if polled.is_pending() && !this.expired {
            return Poll::Pending;
        }
        let buf = this.buf.take().expect("it was there a line above");
        match polled {
            Poll::Ready(Ok(Some(count))) => Poll::Ready(Ok((count, buf))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(BufError::new(error, buf))),
            Poll::Pending => Poll::Ready(Err(BufError::new(timed_out(), buf))),
            Poll::Ready(Ok(None)) => {
                let mut receive = submit(op::recv::Recv::new(this.receiver.fd.clone(), buf));
                if this.expired {
                    receive.expire();
                }
                this.receive = Some(receive);
                this.poll_own(cx)
            }
        }
    }
}

impl<B: IoBufMut> Expire for Read<'_, B> {
    fn expire(&mut self) {
        // What comes later stays with the stream.
        self.expired = true;
        if let Some(receive) = &mut self.receive {
            receive.expire();
        }
    }
}

impl<B: IoBufMut> Drop for Read<'_, B> {
    fn drop(&mut self) {
        if let Some(receive) = self.receive.take()
            && receive.in_flight()
        {
            self.receiver.keep(receive);
        }
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

impl<B: IoBufMut> Expire for ReadExact<'_, B> {
    fn expire(&mut self) {
        self.read.expire();
    }
}
