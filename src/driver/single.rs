//! What users hold of an operation: its future, and what is made of its output.

use std::any::type_name;
use std::convert::identity;
use std::fmt;
use std::future::Future;
use std::mem;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::FusedFuture;

use super::deadline::{SingleOperation, sealed::Sealed};
use super::operation::Operation;
use super::submit::{Submit, submit};

/// An operation whose output is the answer.
pub(crate) fn single<O: Operation>(operation: O) -> impl SingleOperation<Output = O::Output> {
    single_with(Ok(operation), identity)
}

/// An operation whose output is made into the answer, or an answer that is known without it.
pub(crate) fn single_with<O: Operation, T>(
    operation: Result<O, T>,
    mut answer: impl FnMut(O::Output) -> T,
) -> impl SingleOperation<Output = T> {
    Single::new(operation, move |output| ControlFlow::Break(answer(output)))
}

/// A submitted operation with a map: what `fs`, `io` and UDP hand out.
pub(crate) struct Single<O: Operation, M, T>(Stage<O, M, T>);

enum Stage<O: Operation, M, T> {
    Submitted(Submit<O>, M),
    /// The answer to what could not even be described to the kernel.
    Known(T),
    Over,
}

impl<O: Operation, M, T> Single<O, M, T>
where
    M: FnMut(O::Output) -> ControlFlow<T, O>,
{
    /// `map` makes of an output the answer, or the operation to be tried next, which is then under
    /// the same limit in time.
    pub(crate) fn new(operation: Result<O, T>, map: M) -> Self {
        Single(match operation {
            Ok(operation) => Stage::Submitted(submit(operation), map),
            Err(answer) => Stage::Known(answer),
        })
    }
}

/// Neither map nor answer is ever pinned.
impl<O: Operation, M, T> Unpin for Single<O, M, T> {}

impl<O: Operation, M, T> Future for Single<O, M, T>
where
    M: FnMut(O::Output) -> ControlFlow<T, O>,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let stage = &mut self.0;
        if let Stage::Submitted(submitted, map) = stage {
            loop {
                match map(ready!(Pin::new(&mut *submitted).poll(cx))) {
                    ControlFlow::Continue(operation) => *submitted = submit(operation),
                    ControlFlow::Break(answer) => {
                        *stage = Stage::Over;
                        return Poll::Ready(answer);
                    }
                }
            }
        }
        match mem::replace(stage, Stage::Over) {
            Stage::Known(answer) => Poll::Ready(answer),
            _ => panic!("an I/O future is not polled after its end"),
        }
    }
}

impl<O: Operation, M, T> FusedFuture for Single<O, M, T>
where
    M: FnMut(O::Output) -> ControlFlow<T, O>,
{
    fn is_terminated(&self) -> bool {
        matches!(self.0, Stage::Over)
    }
}

impl<O: Operation, M, T> Sealed for Single<O, M, T> where M: FnMut(O::Output) -> ControlFlow<T, O> {}

impl<O: Operation, M, T> fmt::Debug for Single<O, M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = type_name::<O>().split('<').next().unwrap_or_default();
        let name = name.rsplit("::").next().unwrap_or_default();
        let state = match &self.0 {
            Stage::Submitted(submitted, _) if submitted.in_flight() => "in flight",
            Stage::Submitted(..) | Stage::Known(_) => "not begun",
            Stage::Over => "over",
        };
        write!(f, "{name}({state})")
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use futures_util::poll;

    use super::super::{SharedFd, within};
    use super::*;
    use crate::op::{nop::Nop, poll_add::PollAdd};

    #[corering::test]
    async fn future_tells_where_its_operation_is() -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        let wait = PollAdd::readable(SharedFd::from(OwnedFd::from(reader)));
        let wait = Single::new(Ok(wait), ControlFlow::Break);
        let mut wait = std::pin::pin!(wait);
        assert_eq!(
            (format!("{wait:?}"), wait.is_terminated()),
            ("PollAdd(not begun)".into(), false)
        );
        assert!(poll!(wait.as_mut()).is_pending(), "nothing is there");
        assert_eq!(
            (format!("{wait:?}"), wait.is_terminated()),
            ("PollAdd(in flight)".into(), false)
        );
        drop(writer);
        wait.as_mut().await?;
        assert_eq!((format!("{wait:?}"), wait.is_terminated()), ("PollAdd(over)".into(), true));
        Ok(())
    }

    #[test]
    fn known_answer_needs_no_runtime() {
        let mut known = Single::new(Err(5), |_| ControlFlow::Continue(Nop));
        assert!(!known.is_terminated());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(Pin::new(&mut known).poll(&mut cx), Poll::Ready(5));
        assert!(known.is_terminated());
    }

    #[corering::test]
    async fn limit_ends_what_is_tried_again_and_again() {
        let mut tries = 0;
        let trying = Single::new(Ok(Nop), |outcome: io::Result<()>| match outcome {
            Ok(()) => {
                tries += 1;
                ControlFlow::Continue(Nop)
            }
            Err(error) => ControlFlow::Break(error.kind()),
        });
        let ended = within(Duration::from_millis(1), trying).await;
        assert_eq!(ended, io::ErrorKind::TimedOut);
        assert!(tries > 0, "the first was no failure");
    }
}
