//! asyncio's `Condition`.

use std::mem;

use corering::sync::{Mutex, MutexGuard, Notify};
use corering::task::unconstrained;

/// A locked value, and a line of tasks that wait for it to change.
#[derive(Debug, Default)]
struct Condition<T> {
    value: Mutex<T>,
    change: Notify,
}

impl<T> Condition<T> {
    /// Unlocks, waits for a notification and locks again. It may return without a notification.
    async fn wait<'a>(&'a self, locked: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        // Without a limit, the first poll stands in line, before another task has the lock.
        let notified = unconstrained(self.change.notified());
        drop(locked);
        notified.await;
        let unused = Unused(&self.change);
        let locked = self.value.lock().await;
        mem::forget(unused);
        locked
    }

    async fn wait_for<'a>(
        &'a self,
        mut locked: MutexGuard<'a, T>,
        predicate: impl Fn(&T) -> bool,
    ) -> MutexGuard<'a, T> {
        while !predicate(&locked) {
            locked = self.wait(locked).await;
        }
        locked
    }

    fn notify(&self, count: usize) {
        (0..count).for_each(|_| self.change.notify_one());
    }

    fn notify_all(&self) {
        self.change.notify_waiters();
    }
}

/// A notification whose task is dropped before it has the lock: it goes to the next in line.
struct Unused<'a>(&'a Notify);

impl Drop for Unused<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::pin;
    use std::rc::Rc;
    use std::time::Duration;

    use corering::sync::Semaphore;
    use corering::task::JoinSet;
    use corering::{JoinHandle, spawn, yield_now};
    use futures_util::poll;

    use super::Condition;
    use crate::simulated::{Numbers, defaults, drop_after, pause, run};

    type Items = Condition<VecDeque<u32>>;

    /// A task that takes an item as soon as there is one.
    fn take(items: &Rc<Items>) -> JoinHandle<u32> {
        let items = items.clone();
        spawn(async move {
            let locked = items.value.lock().await;
            let mut locked = items.wait_for(locked, |items| !items.is_empty()).await;
            locked.pop_front().expect("it was waited for")
        })
    }

    #[corering::test]
    async fn condition_hands_each_item_to_one_task() {
        const ITEMS: u32 = 200;
        let items = Rc::new(Items::default());
        let mut takers = JoinSet::new();
        for _ in 0..ITEMS {
            takers.spawn(take(&items));
        }
        yield_now().await;
        for item in 0..ITEMS {
            items.value.lock().await.push_back(item);
            items.notify(1);
        }
        let mut taken = Vec::new();
        while let Some(item) = takers.join_next().await {
            taken.push(item.expect("it does not panic").expect("neither does its task"));
        }
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..ITEMS));
    }

    #[corering::test]
    async fn condition_wakes_as_many_as_it_is_told() {
        let condition = Rc::new(Condition::<()>::default());
        let mut waiting = JoinSet::new();
        for _ in 0..5 {
            let condition = condition.clone();
            waiting.spawn(async move {
                let locked = condition.value.lock().await;
                drop(condition.wait(locked).await);
            });
        }
        yield_now().await;
        for (left, notify) in [(3, 2), (0, 0)] {
            match notify {
                0 => condition.notify_all(),
                count => condition.notify(count),
            }
            while waiting.len() > left {
                waiting.join_next().await.expect("there are some").expect("it does not panic");
            }
            for _ in 0..10 {
                yield_now().await;
            }
            assert!(poll!(pin!(waiting.join_next())).is_pending() || left == 0);
        }
    }

    #[corering::test]
    async fn tasks_without_budget_are_all_notified() {
        let condition = Rc::new(Condition::<()>::default());
        let wait = || {
            let condition = condition.clone();
            spawn(async move {
                let locked = condition.value.lock().await;
                let plenty = Semaphore::new(1);
                for _ in 0..127 {
                    drop(plenty.acquire().await);
                }
                drop(condition.wait(locked).await);
            })
        };
        let waiting = [wait(), wait()];
        // It has its turn when both have had theirs, and before they have the next.
        let notifier = spawn({
            let condition = condition.clone();
            async move { condition.notify(2) }
        });
        notifier.await.expect("it does not panic");
        for task in waiting {
            task.await.expect("it does not panic");
        }
    }

    #[corering::test]
    async fn dropped_waits_for_a_condition_pass_their_notification_on() {
        let items = Rc::new(Items::default());
        // One leaves the line, one is notified and has not been polled since, and one waits for the lock.
        for polls_after_notification in [None, Some(0), Some(1)] {
            let mut waiting = Box::pin(async {
                let locked = items.value.lock().await;
                drop(items.wait_for(locked, |items| !items.is_empty()).await);
            });
            assert!(poll!(waiting.as_mut()).is_pending());
            let other = take(&items);
            yield_now().await;
            if polls_after_notification.is_none() {
                drop(waiting);
                items.value.lock().await.push_back(7);
                items.notify(1);
            } else {
                let mut locked = items.value.lock().await;
                locked.push_back(7);
                items.notify(1);
                if polls_after_notification == Some(1) {
                    assert!(poll!(waiting.as_mut()).is_pending(), "it has to wait for the lock");
                }
                drop(waiting);
                drop(locked);
            }
            assert_eq!(other.await.expect("it does not panic"), 7);
        }
    }

    /// Takes an item, or gives up after a moment.
    async fn take_or_leave(items: Rc<Items>, moment: Duration) {
        drop_after(moment, async {
            let locked = items.value.lock().await;
            items.wait_for(locked, |items| !items.is_empty()).await.pop_front();
        })
        .await;
    }

    #[test]
    fn waits_dropped_at_random_keep_no_notification() {
        for seed in 0..200 {
            run(seed, defaults(), async move {
                let mut numbers = Numbers::new(seed);
                let items = Rc::new(Items::default());
                for _ in 0..20 {
                    let mut others = JoinSet::new();
                    for _ in 0..5 {
                        others.spawn(take_or_leave(items.clone(), numbers.moment()));
                    }
                    yield_now().await;
                    let patient = take(&items);
                    pause(numbers.moment() / 10).await;
                    while !patient.is_finished() {
                        let mut locked = items.value.lock().await;
                        locked.push_back(7);
                        items.notify(1);
                        // Who was notified waits for the lock meanwhile, or leaves.
                        pause(numbers.moment()).await;
                        drop(locked);
                        pause(Duration::from_secs(1)).await;
                        assert!(items.value.lock().await.is_empty(), "one waits for what is there");
                    }
                }
            });
        }
    }
}
