//! Awaiting a group of tasks: what `task/group` cannot do without a timer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Poll, ready};

use crate::driver::Alarm;
use crate::sys::clock;
use crate::task::{GroupError, TaskGroup};
use crate::util::budget::Toll;

impl<E: 'static> TaskGroup<E> {
    /// Waits until all children are gone.
    ///
    /// If the group ends meanwhile, or has ended before, its children have the
    /// [grace time](Self::with_grace), and are aborted then.
    ///
    /// # Cancel safety
    ///
    /// The future owns the group. Dropped, it cancels the token and aborts the children, which are
    /// gone when they would have run next; a grace time is not waited for, and errors are lost. Keep
    /// the future, and cancel the token, to wait for them:
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// use corering::task::TaskGroup;
    /// use corering::time::{self, Duration};
    ///
    /// corering::block_on(async {
    ///     let group = TaskGroup::<std::io::Error>::new().with_grace(Duration::from_secs(5));
    ///     group.spawn(|scope| async move { Ok(scope.token().cancelled().await) });
    ///     let token = group.token().clone();
    ///     let mut joined = pin!(group.join());
    ///     if time::timeout(Duration::from_millis(1), joined.as_mut()).await.is_err() {
    ///         token.cancel();
    ///         joined.await.unwrap();
    ///     }
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// What all children have failed with that failed.
    pub async fn join(self) -> Result<(), GroupError<E>> {
        let mut cancelled = self.token().cancelled();
        let (mut alarm, mut deadline) = (Alarm::default(), None);
        let (mut ended, mut toll) = (false, Toll::Due);
        poll_fn(|cx| {
            toll.poll(cx, |cx| {
                if self.poll_gone(cx).is_ready() {
                    return Poll::Ready(());
                }
                if !ended {
                    ready!(Pin::new(&mut cancelled).poll(cx));
                    ended = true;
                    deadline = clock::now().checked_add(self.grace());
                    if self.grace().is_zero() {
                        deadline = None;
                        self.abort_children();
                    }
                }
                // Without a runtime there is no timer, and no child that runs.
                if let Some(end) = deadline
                    && alarm.poll(end, cx.waker()).is_ready()
                {
                    deadline = None;
                    self.abort_children();
                }
                Poll::Pending
            })
        })
        .await;
        self.into_result()
    }
}
