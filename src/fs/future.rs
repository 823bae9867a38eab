//! Futures that are made of one operation or two, and can be given a limit in time as one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::driver::{Expire, Operation, SingleOperation, Submit, submit};

/// An operation, or the reason why it cannot even be described to the kernel.
pub(super) enum Begun<O: Operation> {
    Submitted(Submit<O>),
    /// `None` once it was told.
    Refused(Option<io::Error>),
}

impl<O: Operation> Begun<O> {
    pub(super) fn new(operation: io::Result<O>) -> Self {
        match operation {
            Ok(operation) => Begun::Submitted(submit(operation)),
            Err(error) => Begun::Refused(Some(error)),
        }
    }
}

impl<O: Operation<Output = io::Result<T>>, T> Future for Begun<O> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match &mut *self {
            Begun::Submitted(submitted) => Pin::new(submitted).poll(cx),
            Begun::Refused(error) => {
                Poll::Ready(Err(error.take().expect("an I/O future is not polled after its end")))
            }
        }
    }
}

impl<O: Operation<Output = io::Result<T>>, T> Expire for Begun<O> {
    fn expire(&mut self) {
        if let Begun::Submitted(submitted) = self {
            submitted.expire();
        }
    }
}

/// A future whose output is made into another.
pub(super) struct Map<F, M> {
    future: F,
    /// `None` once it was used.
    map: Option<M>,
}

impl<F: SingleOperation, M> Map<F, M> {
    pub(super) fn new(future: F, map: M) -> Self {
        Map { future, map: Some(map) }
    }
}

impl<F: SingleOperation, M, T> Future for Map<F, M>
where
    M: FnOnce(F::Output) -> T + Unpin,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let output = ready!(Pin::new(&mut self.future).poll(cx));
        let map = self.map.take().expect("an I/O future is not polled after its end");
        Poll::Ready(map(output))
    }
}

impl<F: SingleOperation, M, T> Expire for Map<F, M>
where
    M: FnOnce(F::Output) -> T + Unpin,
{
    fn expire(&mut self) {
        self.future.expire();
    }
}

/// A future after a future. Both are under one limit in time: if it is over in the first, the
/// second ends as it begins.
pub(super) struct Then<A, B, M> {
    stage: Stage<A, B, M>,
    expired: bool,
}

enum Stage<A, B, M> {
    First(A, Option<M>),
    Second(B),
}

impl<A: SingleOperation, B: SingleOperation, M> Then<A, B, M>
where
    M: FnOnce(A::Output) -> Result<B, B::Output> + Unpin,
{
    /// `then` makes the second future, or the output at once.
    pub(super) fn new(first: A, then: M) -> Self {
        Then { stage: Stage::First(first, Some(then)), expired: false }
    }
}

impl<A: SingleOperation, B: SingleOperation, M> Future for Then<A, B, M>
where
    M: FnOnce(A::Output) -> Result<B, B::Output> + Unpin,
{
    type Output = B::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<B::Output> {
        let this = &mut *self;
        if let Stage::First(first, then) = &mut this.stage {
            let output = ready!(Pin::new(first).poll(cx));
            let then = then.take().expect("an I/O future is not polled after its end");
            let mut second = match then(output) {
                Ok(second) => second,
                Err(output) => return Poll::Ready(output),
            };
            if this.expired {
                second.expire();
            }
            this.stage = Stage::Second(second);
        }
        match &mut this.stage {
            Stage::Second(second) => Pin::new(second).poll(cx),
            Stage::First(..) => unreachable!("the first future has ended above"),
        }
    }
}

impl<A: SingleOperation, B: SingleOperation, M> Expire for Then<A, B, M>
where
    M: FnOnce(A::Output) -> Result<B, B::Output> + Unpin,
{
    fn expire(&mut self) {
        self.expired = true;
        match &mut self.stage {
            Stage::First(first, _) => first.expire(),
            Stage::Second(second) => second.expire(),
        }
    }
}
