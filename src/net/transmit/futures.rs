//! What users await: `write`, `write_all` and `send_all`.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use futures_util::future::FusedFuture;

use super::Transmitter;
use crate::buf::{self, BufError, BufResult, IoBuf};
use crate::driver::{self, Driver, Operation, Sealed, SharedFd, Submit, submit};
use crate::op;
use crate::util::budget::Toll;
use crate::util::expiry::has_expired;

/// How bytes are sent that stand in one buffer, or in several.
pub(in super::super) trait Parcel: 'static {
    type Bufs: Unpin + 'static;
    type Send: Operation<Output = BufResult<usize, Self::Bufs>>;

    fn len(bufs: &Self::Bufs) -> usize;

    /// What can be sent by a plain call, after the first `sent` bytes.
    fn at_once(bufs: &Self::Bufs, sent: usize) -> Option<&[u8]>;

    /// Sends what comes after the first `sent` bytes, and tells the kernel if `more` follows.
    fn send(fd: SharedFd, bufs: Self::Bufs, sent: usize, more: bool) -> Self::Send;
}

/// One buffer.
pub(in super::super) struct One<B>(PhantomData<B>);

/// Several, gathered by the kernel.
pub(in super::super) struct Gathered<B>(PhantomData<B>);

impl<B: IoBuf> Parcel for One<B> {
    type Bufs = B;
    type Send = op::send::Send<B>;

    #[inline]
    fn len(buf: &B) -> usize {
        buf.bytes_len()
    }

    #[inline]
    fn at_once(buf: &B, sent: usize) -> Option<&[u8]> {
        Some(&buf::as_slice(buf)[sent..])
    }

    fn send(fd: SharedFd, buf: B, sent: usize, more: bool) -> Self::Send {
        let send = op::send::Send::new(fd, buf, sent);
        if more { send.with_more() } else { send }
    }
}

impl<B: IoBuf> Parcel for Gathered<B> {
    type Bufs = Vec<B>;
    type Send = op::sendmsg::SendMsg<Vec<B>>;

    fn len(bufs: &Vec<B>) -> usize {
        bufs.iter().map(IoBuf::bytes_len).sum()
    }

    fn at_once(_: &Vec<B>, _: usize) -> Option<&[u8]> {
        None
    }

    fn send(fd: SharedFd, bufs: Vec<B>, sent: usize, _: bool) -> Self::Send {
        op::sendmsg::SendMsg::new(fd, bufs, sent, None)
    }
}

/// How much of a parcel is to be sent, and what its sender has then.
pub(in super::super) trait Amount: Unpin {
    const ALL: bool;
    type Done<T>;

    fn done<T>(sent: usize, bufs: T) -> Self::Done<T>;
}

/// What the kernel takes at once.
pub(in super::super) enum Part {}

/// All of it.
pub(in super::super) enum Whole {}

impl Amount for Part {
    const ALL: bool = false;
    type Done<T> = (usize, T);

    #[inline(always)]
    fn done<T>(sent: usize, bufs: T) -> (usize, T) {
        (sent, bufs)
    }
}

impl Amount for Whole {
    const ALL: bool = true;
    type Done<T> = T;

    #[inline(always)]
    fn done<T>(_: usize, bufs: T) -> T {
        bufs
    }
}

/// The future of `write`, `write_all` or `send_all`.
pub(in super::super) struct Transmit<'a, P: Parcel, A: Amount> {
    transmitter: &'a mut Transmitter,
    state: State<P>,
    sent: usize,
    /// It is no part of a greater write, and has not looked yet whether an earlier one was forgotten.
    claims: bool,
    toll: Toll,
    amount: PhantomData<A>,
}

/// The future of `write`.
pub(in super::super) type Write<'a, B> = Transmit<'a, One<B>, Part>;

/// The future of `write_all`.
pub(in super::super) type WriteAll<'a, B> = Transmit<'a, One<B>, Whole>;

/// The future of `send_all`.
pub(in super::super) type SendAll<'a, B> = Transmit<'a, Gathered<B>, Whole>;

enum State<P: Parcel> {
    /// Between two sends, or before the first; `None` at the end.
    Ready(Option<P::Bufs>),
    Sending(Submit<P::Send>),
}

type Sent<P> = Result<<P as Parcel>::Bufs, BufError<<P as Parcel>::Bufs>>;

/// What came of the attempt to send at once.
enum AtOnce {
    /// Nothing: it is for the kernel to wait.
    No,
    /// The task has begun enough for this poll.
    NotNow,
    Ended(io::Result<()>),
}

impl<'a, P: Parcel, A: Amount> Transmit<'a, P, A> {
    #[inline]
    pub(in super::super) fn new(transmitter: &'a mut Transmitter, bufs: P::Bufs) -> Self {
        let (state, amount) = (State::Ready(Some(bufs)), PhantomData);
        Transmit { transmitter, state, sent: 0, claims: true, toll: Toll::Due, amount }
    }

    /// A part of a greater write.
    pub(in super::super) fn part(transmitter: &'a mut Transmitter, bufs: P::Bufs) -> Self {
        let mut part = Transmit::new(transmitter, bufs);
        part.claims = false;
        part
    }

    /// The buffers, once `sent` says how many of their bytes were sent.
    // Inlined: see `SysCall::enter_kernel`.
    #[inline(always)]
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Sent<P>> {
        loop {
            if let State::Ready(_) = self.state {
                match mem::take(&mut self.claims) {
                    true => self.transmitter.claim(),
                    false => self.transmitter.go_on(),
                }
                match self.send_at_once(cx) {
                    AtOnce::Ended(Ok(())) => return Poll::Ready(Ok(self.end())),
                    AtOnce::Ended(Err(error)) => {
                        let failed = BufError::new(error, self.end());
                        return Poll::Ready(Err(failed.after(self.sent)));
                    }
                    AtOnce::NotNow => {
                        if self.sent > 0 {
                            self.transmitter.wait(self.sent, None);
                        }
                        return Poll::Pending;
                    }
                    AtOnce::No => {}
                }
                if let Some(ended) = ready!(self.begin(cx)) {
                    return Poll::Ready(ended);
                }
            }
            let State::Sending(send) = &mut self.state else { unreachable!("it has begun") };
            let Poll::Ready(result) = Pin::new(&mut *send).poll(cx) else {
                let trail = send.trail();
                self.transmitter.wait(self.sent, trail);
                return Poll::Pending;
            };
            self.transmitter.go_on();
            self.state = State::Ready(None);
            match result {
                Ok((count, bufs)) => {
                    self.sent += count;
                    if !A::ALL || self.sent == P::len(&bufs) {
                        return Poll::Ready(Ok(bufs));
                    }
                    if count == 0 {
                        let failed = BufError::new(io::ErrorKind::WriteZero.into(), bufs);
                        return Poll::Ready(Err(failed.after(self.sent)));
                    }
                    self.state = State::Ready(Some(bufs));
                }
                Err(failed) => {
                    // Its time is over, or its runtime: the stream goes on without it.
                    let goes_on = has_expired(cx.waker())
                        || failed.error.raw_os_error().is_none_or(|n| n == libc::ECANCELED);
                    if goes_on && self.sent > 0 {
                        self.transmitter.set_abandoned(self.sent);
                    }
                    return Poll::Ready(Err(failed.after(self.sent)));
                }
            }
        }
    }

    /// Sends what the socket takes, without an operation.
    #[inline(always)]
    fn send_at_once(&mut self, cx: &mut Context<'_>) -> AtOnce {
        let State::Ready(Some(buf)) = &self.state else { return AtOnce::No };
        if has_expired(cx.waker()) || !self.transmitter.is_clear() {
            return AtOnce::No;
        }
        let Some(rest) = P::at_once(buf, self.sent) else { return AtOnce::No };
        let toll = &mut self.toll;
        if A::ALL && rest.is_empty() {
            return match toll.pay(cx.waker()) {
                Poll::Ready(()) => AtOnce::Ended(Ok(())),
                Poll::Pending => AtOnce::NotNow,
            };
        }
        let attempt = |driver: &Driver| {
            if !self.transmitter.sends_at_once(driver) {
                return Ok(None);
            }
            let Transmitter { fd, more, .. } = &*self.transmitter;
            match op::send::now(driver, fd, rest, *more, toll, cx.waker()) {
                Poll::Ready(sent) => Ok(sent),
                Poll::Pending => Err(AtOnce::NotNow),
            }
        };
        match driver::with_current(attempt) {
            Some(Ok(Some(Ok(count)))) => {
                let is_rest = count as usize == rest.len();
                self.sent += count as usize;
                if is_rest || !A::ALL { AtOnce::Ended(Ok(())) } else { AtOnce::No }
            }
            Some(Ok(Some(Err(error)))) => AtOnce::Ended(Err(error)),
            Some(Err(not_now)) => not_now,
            Some(Ok(None)) | None => AtOnce::No,
        }
    }

    /// The buffer; the future has nothing any more.
    #[inline]
    fn end(&mut self) -> P::Bufs {
        match &mut self.state {
            State::Ready(buf) => buf.take().expect("a future is not polled after its end"),
            State::Sending(_) => unreachable!("an operation in flight has the buffer"),
        }
    }

    /// Makes the operation for what is left, unless the write is over: an earlier one was abandoned,
    /// or nothing is left to send.
    #[inline(always)]
    fn begin(&mut self, cx: &mut Context<'_>) -> Poll<Option<Sent<P>>> {
        let cleared = match self.transmitter.is_clear() {
            true => Ok(()),
            false => ready!(self.transmitter.poll_clear(cx)),
        };
        let buf = self.end();
        if let Err(error) = cleared {
            return Poll::Ready(Some(Err(BufError::new(error, buf))));
        }
        if A::ALL && P::len(&buf) == self.sent {
            return Poll::Ready(Some(Ok(buf)));
        }
        let Transmitter { fd, more, .. } = &*self.transmitter;
        self.state = State::Sending(submit(P::send(fd.clone(), buf, self.sent, *more)));
        Poll::Ready(None)
    }
}

impl<P: Parcel, A: Amount> Future for Transmit<'_, P, A> {
    type Output = Result<A::Done<P::Bufs>, BufError<P::Bufs>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_sent(cx).map_ok(|bufs| A::done(self.sent, bufs))
    }
}

impl<P: Parcel, A: Amount> FusedFuture for Transmit<'_, P, A> {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Ready(None))
    }
}

impl<P: Parcel, A: Amount> Sealed for Transmit<'_, P, A> {}

impl<P: Parcel, A: Amount> fmt::Debug for Transmit<'_, P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transmit").field(self.transmitter.fd()).finish()
    }
}

impl<P: Parcel, A: Amount> Drop for Transmit<'_, P, A> {
    #[inline]
    fn drop(&mut self) {
        match &self.state {
            State::Ready(None) => {}
            // It had to let others have their turn between two sends.
            State::Ready(Some(_)) if self.sent > 0 => {
                self.transmitter.set_abandoned(self.sent);
            }
            State::Ready(Some(_)) => {}
            State::Sending(_) => self.leave_in_flight(),
        }
    }
}

impl<P: Parcel, A: Amount> Transmit<'_, P, A> {
    fn leave_in_flight(&mut self) {
        self.transmitter.go_on();
        if let State::Sending(send) = mem::replace(&mut self.state, State::Ready(None))
            && send.in_flight()
        {
            self.transmitter.keep(send, self.sent);
        }
    }
}
