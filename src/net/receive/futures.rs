//! What users await: `recv`, `read` and `read_exact`.
//!
//! What the kernel is about to bring belongs to the stream, and so does what a `read_exact` had
//! received that is dropped, so dropping one of them loses nothing.

use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::FusedFuture;

use super::Receiver;
use super::ahead::Ahead;
use crate::buf::{self, BufError, BufResult, IoBufMut, RecvBuf};
use crate::driver::{Sealed, Submit, submit, timed_out};
use crate::op;
use crate::util::budget::Toll;
use crate::util::expiry::has_expired;

/// The future of `recv`, `read` or `read_exact`.
pub(in super::super) struct Receive<'a, K: Kind> {
    receiver: &'a mut Receiver,
    kind: K,
}

/// The future of `recv`.
pub(in super::super) type Recv<'a> = Receive<'a, Lent>;

/// The future of `read`.
pub(in super::super) type Read<'a, B> = Receive<'a, Once<B>>;

/// The future of `read_exact`.
pub(in super::super) type ReadExact<'a, B> = Receive<'a, Exact<B>>;

/// What is received.
pub(in super::super) trait Kind: Unpin {
    type Output;

    fn poll(&mut self, receiver: &mut Receiver, cx: &mut Context<'_>) -> Poll<Self::Output>;

    /// The future is dropped: what is under way is for the stream.
    fn leave(&mut self, receiver: &mut Receiver);

    fn is_terminated(&self) -> bool;
}

impl<K: Kind> Future for Receive<'_, K> {
    type Output = K::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<K::Output> {
        let Receive { receiver, kind } = &mut *self;
        kind.poll(receiver, cx)
    }
}

impl<K: Kind> FusedFuture for Receive<'_, K> {
    fn is_terminated(&self) -> bool {
        self.kind.is_terminated()
    }
}

impl<K: Kind> Sealed for Receive<'_, K> {}

impl<K: Kind> Drop for Receive<'_, K> {
    #[inline]
    fn drop(&mut self) {
        self.kind.leave(self.receiver);
    }
}

impl<K: Kind> std::fmt::Debug for Receive<'_, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Receive").field(self.receiver.fd()).finish()
    }
}

/// Whatever comes next, in memory of the shard's.
pub(in super::super) struct Lent {
    ended: bool,
}

impl<'a> Recv<'a> {
    #[inline]
    pub(in super::super) fn new(receiver: &'a mut Receiver) -> Self {
        Receive { receiver, kind: Lent { ended: false } }
    }
}

impl Kind for Lent {
    type Output = io::Result<RecvBuf>;

    #[inline]
    fn poll(&mut self, receiver: &mut Receiver, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let received = match receiver.poll_recv(cx) {
            Poll::Ready(received) => received,
            // What comes later stays with the stream.
            Poll::Pending if has_expired(cx.waker()) => Err(timed_out()),
            Poll::Pending => return Poll::Pending,
        };
        self.ended = true;
        Poll::Ready(received)
    }

    #[inline]
    fn leave(&mut self, _: &mut Receiver) {}

    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// As much as comes at once, in a buffer of the caller's.
pub(in super::super) struct Once<B: IoBufMut>(Reading<B>);

impl<'a, B: IoBufMut> Read<'a, B> {
    pub(in super::super) fn new(receiver: &'a mut Receiver, buf: B) -> Self {
        Receive { receiver, kind: Once(Reading::new(buf, usize::MAX)) }
    }
}

impl<B: IoBufMut> Kind for Once<B> {
    type Output = BufResult<usize, B>;

    #[inline]
    fn poll(&mut self, receiver: &mut Receiver, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(receiver, cx)
    }

    #[inline]
    fn leave(&mut self, receiver: &mut Receiver) {
        self.0.leave(receiver);
    }

    fn is_terminated(&self) -> bool {
        self.0.is_over()
    }
}

/// So many bytes, in a buffer of the caller's.
pub(in super::super) struct Exact<B: IoBufMut>(Reading<B>);

impl<'a, B: IoBufMut> ReadExact<'a, B> {
    pub(in super::super) fn new(receiver: &'a mut Receiver, buf: B, wanted: usize) -> Self {
        Receive { receiver, kind: Exact(Reading::new(buf, wanted)) }
    }
}

impl<B: IoBufMut> Kind for Exact<B> {
    /// The buffer, as long as it was to be; the error carries it with what had come.
    type Output = Result<B, BufError<B>>;

    fn poll(&mut self, receiver: &mut Receiver, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reading = &mut self.0;
        if let Some(ended) = reading.end_before_it_begins() {
            return Poll::Ready(ended);
        }
        loop {
            let (count, buf) = ready!(reading.poll(receiver, cx))?;
            if reading.done == reading.end {
                return Poll::Ready(Ok(buf));
            }
            if count == 0 {
                let Reading { done, end, .. } = *reading;
                return Poll::Ready(Err(BufError::new(buf::early_end(done, end), buf).after(done)));
            }
            reading.state = State::Ready(Some(buf));
        }
    }

    fn leave(&mut self, receiver: &mut Receiver) {
        self.0.leave(receiver);
    }

    fn is_terminated(&self) -> bool {
        self.0.is_over()
    }
}

/// A receive into a buffer of the caller's.
struct Reading<B: IoBufMut> {
    state: State<B>,
    /// So many bytes have come into the buffer.
    done: usize,
    /// Where in the buffer to end, if it reaches so far.
    end: usize,
    toll: Toll,
}

enum State<B: IoBufMut> {
    /// Before and after the receive of its own; `None` at the end.
    Ready(Option<B>),
    /// The kernel has the buffer.
    Receiving(Submit<op::recv::Recv<B>>),
}

impl<B: IoBufMut> Reading<B> {
    #[inline]
    fn new(buf: B, end: usize) -> Self {
        Reading { state: State::Ready(Some(buf)), done: 0, end, toll: Toll::Due }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Ready(None))
    }

    /// What can be said before anything is received: there is nothing to wait for, or no room for it.
    fn end_before_it_begins(&mut self) -> Option<Result<B, BufError<B>>> {
        let State::Ready(ready) = &mut self.state else { return None };
        let room = ready.as_ref()?.capacity();
        if self.end > 0 && room >= self.end {
            return None;
        }
        let mut buf = ready.take()?;
        if self.end > 0 {
            return Some(Err(BufError::new(buf::little_room(room, self.end), buf)));
        }
        buf::truncate(&mut buf, 0);
        Some(Ok(buf))
    }

    /// Receives once. The buffer is gone then.
    #[inline]
    fn poll(&mut self, receiver: &mut Receiver, cx: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        loop {
            let received = match self.state {
                State::Ready(_) => match self.poll_stream(receiver, cx) {
                    Poll::Ready(received) => received,
                    // What comes later stays with the stream.
                    Poll::Pending if has_expired(cx.waker()) => Err(timed_out()),
                    Poll::Pending => return Poll::Pending,
                },
                State::Receiving(_) => ready!(self.poll_own(receiver, cx)),
            };
            let State::Ready(buf) = &mut self.state else { continue };
            match received {
                Ok(None) => {}
                Ok(Some(count)) => {
                    self.done += count;
                    return Poll::Ready(Ok((count, buf.take().expect(ENDED))));
                }
                Err(error) => {
                    let failed = BufError::new(error, buf.take().expect(ENDED));
                    return Poll::Ready(Err(failed.after(self.done)));
                }
            }
        }
    }

    /// Receives what is stored with the stream, or by its way, into the buffer. `None`: the kernel has
    /// the buffer now.
    #[inline]
    fn poll_stream(
        &mut self,
        receiver: &mut Receiver,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        let State::Ready(ready) = &mut self.state else { return Poll::Ready(Ok(None)) };
        let buf = ready.as_mut().expect(ENDED);
        let part = self.done..self.end.min(buf.capacity());
        if part.is_empty() {
            return Poll::Ready(Err(buf::no_room()));
        }
        if matches!(receiver.ahead, Ahead::Rest(_)) {
            ready!(self.toll.pay(cx.waker()));
        }
        // What is to end at once is not begun.
        if !receiver.hands_over(part.len()) || has_expired(cx.waker()) {
            return receiver.poll_read(buf, part, cx).map_ok(Some);
        }
        if !matches!(receiver.ahead, Ahead::Nothing)
            && let Some(received) = ready!(receiver.poll_ahead(cx))?
        {
            return Poll::Ready(Ok(Some(receiver.take_part(received, buf, part))));
        }
        let buf = ready.take().expect(ENDED);
        let receive = op::recv::Recv::new(receiver.fd.clone(), buf, part);
        self.state = State::Receiving(submit(receive));
        Poll::Ready(Ok(None))
    }

    /// Takes the result of the receive of its own.
    fn poll_own(
        &mut self,
        receiver: &mut Receiver,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        let State::Receiving(receive) = &mut self.state else { return Poll::Ready(Ok(None)) };
        let Poll::Ready(result) = Pin::new(&mut *receive).poll(cx) else {
            if let Some(trail) = receive.trail() {
                receiver.set_begun(Ahead::Begun(trail));
            }
            return Poll::Pending;
        };
        receiver.set_begun(Ahead::Nothing);
        let (received, buf) = match result {
            Ok((count, buf)) => {
                receiver.note(count);
                (Ok(Some(count)), buf)
            }
            Err(failed) => {
                let (error, buf) = failed.into_parts();
                // Its runtime has ended: it goes on in this one.
                let goes_on = error.raw_os_error() == Some(libc::ECANCELED);
                (if goes_on { Ok(None) } else { Err(error) }, buf)
            }
        };
        self.state = State::Ready(Some(buf));
        Poll::Ready(received)
    }

    /// It is dropped: what has come, and what the kernel still brings, is for the next call.
    #[inline]
    fn leave(&mut self, receiver: &mut Receiver) {
        if !self.is_over() {
            self.leave_under_way(receiver);
        }
    }

    // Not inlined: nearly all have ended.
    #[inline(never)]
    fn leave_under_way(&mut self, receiver: &mut Receiver) {
        match mem::replace(&mut self.state, State::Ready(None)) {
            State::Ready(None) => {}
            State::Ready(Some(buf)) => {
                if self.done > 0 {
                    let received = buf::as_slice(&buf)[..self.done].to_vec();
                    receiver.put_back(RecvBuf::from_vec(received));
                }
            }
            State::Receiving(receive) => receiver.keep(receive, self.done),
        }
    }
}

const ENDED: &str = "a future is not polled after its end";
