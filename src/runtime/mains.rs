//! The main futures of all shards: who still runs, and what the others do when one fails.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::sys::log;
use crate::task::JoinError;
use crate::util::unwind::catch;

/// What the other shards do when the main future of one has failed: it panicked, or returned an
/// error to [`try_run`](super::Builder::try_run).
///
/// A line of the log tells of the failure at once, whatever is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardFailure {
    /// They go on. What has failed is returned, or its panic passed on, when they have ended. The
    /// default.
    #[default]
    GoOn,
    /// They end: their main futures are dropped where they stand.
    End,
}

/// The main futures that have not ended.
pub(super) struct Mains {
    on_failure: ShardFailure,
    /// One has failed, and the others are to end.
    stopped: AtomicBool,
    state: Mutex<State>,
}

struct State {
    running: usize,
    /// The shard that was the first to fail.
    failed: Option<usize>,
    /// One for each shard.
    wakers: Vec<Option<Waker>>,
}

/// One of them. Dropped, by its end or by a panic, it counts as ended.
pub(super) struct Running {
    all: Arc<Mains>,
    shard: usize,
}

impl Mains {
    pub(super) fn new(shards: usize, on_failure: ShardFailure) -> Arc<Self> {
        let state = State { running: shards, failed: None, wakers: vec![None; shards] };
        Arc::new(Mains { on_failure, stopped: AtomicBool::new(false), state: Mutex::new(state) })
    }

    pub(super) fn running(self: &Arc<Self>, shard: usize) -> Running {
        Running { all: self.clone(), shard }
    }

    /// The shard that was the first to fail.
    pub(super) fn first_failed(&self) -> Option<usize> {
        self.lock().failed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of the user's runs under the lock but the clone of a waker of ours.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of a failure, and lets the others end if they are to.
    fn failed(&self, shard: usize, failure: &dyn fmt::Display) {
        let mut state = self.lock();
        state.failed.get_or_insert(shard);
        let count = state.wakers.len();
        let ends = self.on_failure == ShardFailure::End;
        let wakers = if ends { wakers_of(&mut state) } else { Vec::new() };
        let after_another = self.stopped.fetch_or(ends, Ordering::Release);
        drop(state);
        if count > 1 && !after_another {
            let others = match self.on_failure {
                ShardFailure::GoOn => "go on; Builder::on_shard_failure lets them end",
                ShardFailure::End => "end, too",
            };
            log::warn(format_args!(
                "shard {shard} of {count} has failed: {failure}; the others {others}"
            ));
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

fn wakers_of(state: &mut State) -> Vec<Waker> {
    state.wakers.iter_mut().filter_map(Option::take).collect()
}

impl Running {
    /// Runs the main future of this shard. `None` if it was dropped since another has failed.
    ///
    /// # Panics
    ///
    /// As the main future.
    pub(super) async fn run<T>(
        &self,
        main: impl Future<Output = T>,
        failure: fn(&T) -> Option<&dyn fmt::Display>,
    ) -> Option<T> {
        let mut main = pin!(main);
        let mut registered = false;
        poll_fn(|cx| {
            // The waker is that of the shard's loop, the same at each poll.
            if !registered {
                self.all.lock().wakers[self.shard] = Some(cx.waker().clone());
                registered = true;
            }
            if self.all.stopped.load(Ordering::Acquire) {
                return Poll::Ready(None);
            }
            match catch(|| main.as_mut().poll(cx)) {
                Ok(Poll::Ready(output)) => {
                    if let Some(failure) = failure(&output) {
                        self.all.failed(self.shard, failure);
                    }
                    Poll::Ready(Some(output))
                }
                Ok(Poll::Pending) => Poll::Pending,
                Err(payload) => {
                    let panic = JoinError::panicked(None, payload);
                    self.all.failed(self.shard, &panic);
                    resume_unwind(panic.into_panic())
                }
            }
        })
        .await
    }

    /// Counts this one as ended, and waits for the others.
    pub(super) async fn until_all_have_ended(self) {
        let (all, shard) = (self.all.clone(), self.shard);
        drop(self);
        poll_fn(|cx| {
            let mut state = all.lock();
            if state.running == 0 {
                return Poll::Ready(());
            }
            state.wakers[shard] = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.all.lock();
        state.running -= 1;
        let wakers = if state.running == 0 { wakers_of(&mut state) } else { Vec::new() };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::util::test_waker::Poller;

    #[test]
    fn each_shard_keeps_one_waker_however_often_it_is_polled() {
        let mains = Mains::new(2, ShardFailure::GoOn);
        let other = mains.running(1);
        let mut ended = Box::pin(mains.running(0).until_all_have_ended());
        let poller = Poller::new();
        for _ in 0..1000 {
            assert!(poller.poll(&mut ended).is_pending());
        }
        assert_eq!(poller.kept(), 1);
        drop(other);
        assert_eq!((poller.wakes(), poller.kept()), (1, 0));
        assert!(poller.poll(&mut ended).is_ready());
    }
}
