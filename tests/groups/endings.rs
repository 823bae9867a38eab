//! How groups end: from within, from outside, in time and without.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::thread;

use corering::task::{CancelToken, GroupScope, TaskGroup, spawn};
use corering::time::{Duration, sleep, timeout};
use corering::{Runtime, test_support, yield_now};

use crate::net::{poll_once, until};
use crate::{Events, Living, settle};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

#[corering::test]
async fn empty_group_is_joined_at_once() {
    let group = TaskGroup::<()>::new();
    assert!(group.is_empty());
    group.join().await.expect("there is no child");
}

#[corering::test]
async fn grace_lets_children_clean_up_by_awaiting() {
    let (group, events) = (TaskGroup::new().with_grace(LONG), Events::default());
    let cleaned = events.clone();
    group.spawn(|scope| async move {
        scope.token().run(sleep(Duration::MAX)).await.expect_err("nothing else ends it");
        cleaned.add("cleaning");
        sleep(Duration::from_millis(2)).await;
        cleaned.add("cleaned");
        Ok(())
    });
    group.spawn(|_| async { Err::<(), _>("first") });
    let error = group.join().await.expect_err("one has failed");
    assert_eq!((error.len(), events.take()), (1, vec!["cleaning", "cleaned"]));
}

#[corering::test]
async fn child_that_ignores_the_token_is_aborted_after_the_grace() {
    let (group, living) = (TaskGroup::<()>::new(), Living::default());
    let group = group.with_grace(Duration::from_millis(2));
    let (alive, reached) = (living.one(), Rc::new(Cell::new(0)));
    let counted = reached.clone();
    group.spawn::<(), _>(|_| async move {
        loop {
            let _ = &alive;
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    group.cancel();
    settle().await;
    assert_eq!(living.count(), 1, "nobody is aborted before the group is awaited");
    group.join().await.expect("it was cancelled");
    assert_eq!(living.count(), 0);
    assert!(reached.get() > 10, "it went on for the grace time");
}

#[corering::test]
async fn cleanup_that_takes_too_long_is_cut_off() {
    let (group, events) = (TaskGroup::<()>::new(), Events::default());
    let group = group.with_grace(Duration::from_millis(2));
    let cleaned = events.clone();
    group.spawn(|scope| async move {
        scope.token().cancelled().await;
        cleaned.add("cleaning");
        sleep(Duration::MAX).await;
        cleaned.add("cleaned");
        Ok(())
    });
    group.cancel();
    group.join().await.expect("it was cancelled");
    assert_eq!(events.take(), ["cleaning"]);
}

#[corering::test]
async fn child_that_is_spawned_after_the_end_is_not_begun() {
    let (group, events) = (TaskGroup::new().with_grace(LONG), Events::default());
    let late = events.clone();
    group.spawn(|scope| async move {
        scope.token().cancelled().await;
        let late = scope.spawn(|_| async move {
            late.add("begun");
            Ok::<_, &str>(())
        });
        assert!(late.is_finished());
        assert_eq!(late.await, None);
        Ok(())
    });
    let scope = group.scope();
    group.cancel();
    group.join().await.expect("it was cancelled");
    // The group is gone, its scope is not.
    assert_eq!(scope.spawn(|_| async { Ok(()) }).await, None);
    assert_eq!(events.take(), [""; 0]);

    let group = TaskGroup::<()>::new();
    let scope = group.scope();
    group.join().await.expect("there is no child");
    assert_eq!(scope.spawn(|_| async { Ok(()) }).await, None, "a joined group takes no child");
}

#[corering::test]
async fn children_spawn_children_and_all_are_awaited() {
    async fn grow(scope: GroupScope<()>, depth: u32, leaves: Rc<Cell<u32>>) -> Result<(), ()> {
        if depth == 0 {
            yield_now().await;
            leaves.set(leaves.get() + 1);
            return Ok(());
        }
        for _ in 0..3 {
            let leaves = leaves.clone();
            scope.spawn(|scope| {
                let child: std::pin::Pin<Box<dyn Future<Output = _>>> =
                    Box::pin(grow(scope, depth - 1, leaves));
                child
            });
        }
        Ok(())
    }
    let (group, leaves) = (TaskGroup::new(), Rc::new(Cell::new(0)));
    group.spawn(|scope| grow(scope, 5, leaves.clone()));
    group.join().await.expect("none fails");
    assert_eq!(leaves.get(), 3_u32.pow(5));
}

#[corering::test]
async fn awaited_group_that_is_cancelled_awaits_its_children() {
    let living = Living::default();
    let group = TaskGroup::<()>::new();
    for _ in 0..10 {
        let alive = living.one();
        group.spawn(|_| async move {
            pending::<()>().await;
            drop(alive);
            Ok(())
        });
    }
    let scope = group.scope();
    let joined = spawn(group.join());
    settle().await;
    scope.cancel();
    assert_eq!(living.count(), 10, "an abort drops nothing by itself");
    joined.await.expect("no panic").expect("it was cancelled");
    assert_eq!(living.count(), 0);
}

#[corering::test]
async fn group_under_a_token_ends_with_it_and_never_cancels_it() {
    let stop = CancelToken::new();
    let failing = TaskGroup::under(&stop);
    failing.spawn(|_| async { Err::<(), _>("alone") });
    failing.join().await.expect_err("one has failed");
    assert!(!stop.is_cancelled());

    let group = TaskGroup::<()>::under(&stop);
    group.spawn(|_| pending::<Result<(), _>>());
    let joined = spawn(group.join());
    settle().await;
    stop.cancel();
    joined.await.expect("no panic").expect("it was cancelled");
}

#[corering::test]
async fn nested_group_ends_with_the_outer_one() {
    for grace in [Duration::ZERO, LONG] {
        let (outer, living, events) = (TaskGroup::new(), Living::default(), Events::default());
        let outer = outer.with_grace(grace);
        let (alive, cleaned) = (living.one(), events.clone());
        outer.spawn(|scope| async move {
            let nested = TaskGroup::<&str>::under(scope.token()).with_grace(LONG);
            nested.spawn(|scope| async move {
                scope.token().cancelled().await;
                yield_now().await;
                cleaned.add("cleaned");
                drop(alive);
                Ok(())
            });
            nested.join().await.map_err(|_| "nested")
        });
        outer.spawn(|_| async {
            settle().await;
            Err::<(), _>("outer")
        });
        let error = outer.join().await.expect_err("one has failed");
        assert_eq!(error.to_string(), "a task of the group failed: outer");
        // Without a grace time the outer child is aborted, and drops the nested group.
        settle().await;
        assert_eq!(living.count(), 0);
        let expected: &[&str] = if grace.is_zero() { &[] } else { &["cleaned"] };
        assert_eq!(events.take(), expected);
    }
}

#[corering::test]
async fn timeout_around_nested_groups_ends_all_tasks() {
    let living = Living::default();
    let alive = || living.one();
    let (one, two) = (alive(), alive());
    let outer = TaskGroup::<()>::new();
    outer.spawn(|_| async move {
        let nested = TaskGroup::<()>::new();
        nested.spawn(|_| async move {
            pending::<()>().await;
            drop(two);
            Ok(())
        });
        let joined = nested.join().await;
        drop(one);
        joined.map_err(drop)
    });
    settle().await;
    assert_eq!(living.count(), 2);
    timeout(Duration::from_millis(1), outer.join()).await.expect_err("nothing ends it");
    until(|| living.count() == 0).await;
}

#[corering::test]
async fn dropped_group_aborts_its_children_at_their_next_turn() {
    let (group, living) = (TaskGroup::<()>::new().with_grace(LONG), Living::default());
    let token = group.token().clone();
    for awaited in [true, false] {
        let alive = living.one();
        group.spawn(move |scope| async move {
            if awaited {
                scope.token().cancelled().await;
            }
            pending::<()>().await;
            drop(alive);
            Ok(())
        });
    }
    settle().await;
    let mut joined = Box::pin(group.join());
    assert!(poll_once(&mut joined).await.is_pending());
    drop(joined);
    assert!(token.is_cancelled());
    assert_eq!(living.count(), 2, "a drop runs no child's code");
    yield_now().await;
    yield_now().await;
    assert_eq!(living.count(), 0);
}

#[corering::test]
async fn join_that_is_kept_after_a_timeout_awaits_the_grace() {
    let (group, events) = (TaskGroup::<()>::new().with_grace(LONG), Events::default());
    let (token, cleaned) = (group.token().clone(), events.clone());
    group.spawn(|scope| async move {
        scope.token().cancelled().await;
        yield_now().await;
        cleaned.add("cleaned");
        Ok(())
    });
    let mut joined = pin!(group.join());
    timeout(Duration::from_millis(1), joined.as_mut()).await.expect_err("nothing ends it");
    token.cancel();
    joined.await.expect("it was cancelled");
    assert_eq!(events.take(), ["cleaned"]);
}

#[test]
fn group_is_ended_from_another_shard_and_thread() {
    for driver in test_support::drivers() {
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let main = |shard: corering::Shard| async move {
            let group = TaskGroup::<()>::new();
            group.spawn(|_| sleep_for_ever());
            let handle = group.token().handle();
            let other = 1 - shard.id();
            let cancel = async move || handle.cancel();
            let joined = spawn(group.join());
            shard.submit_to(other, cancel).await.expect("it is there");
            joined.await.expect("no panic").expect("it was cancelled");

            let stop = CancelToken::new();
            let group = TaskGroup::<()>::under(&stop);
            group.spawn(|_| sleep_for_ever());
            let handle = stop.handle();
            let thread = thread::spawn(move || handle.cancel());
            group.join().await.expect("it was cancelled");
            thread.join().expect("it does not panic");
        };
        builder.run(main).expect("shards can be started");
    }
}

async fn sleep_for_ever() -> Result<(), ()> {
    sleep(Duration::MAX).await;
    Ok(())
}

#[corering::test]
async fn forgotten_group_leaves_its_children_alone() {
    let (group, events) = (TaskGroup::<()>::new(), Events::default());
    let ended = events.clone();
    group.spawn(|scope| async move {
        settle().await;
        assert!(!scope.token().is_cancelled());
        ended.add("ended");
        Ok(())
    });
    std::mem::forget(group);
    settle().await;
    settle().await;
    assert_eq!(events.take(), ["ended"]);

    let (group, living) = (TaskGroup::<()>::new(), Living::default());
    let alive = living.one();
    group.spawn(|_| async move {
        yield_now().await;
        drop(alive);
        Ok(())
    });
    let mut joined = Box::pin(group.join());
    assert!(poll_once(&mut joined).await.is_pending());
    std::mem::forget(joined);
    until(|| living.count() == 0).await;
}

#[test]
fn group_that_outlives_its_runtime_has_no_children_left() {
    for driver in test_support::drivers() {
        let runtime = || Runtime::builder().driver(driver).build().expect("it was asked for");
        let first = runtime();
        let group = first.block_on(async {
            let group = TaskGroup::<io::Error>::new();
            group.spawn(|_| pending::<Result<(), _>>());
            group
        });
        drop(first);
        assert!(group.is_empty());
        runtime().block_on(group.join()).expect("its child was cancelled");
    }
}

#[corering::test]
async fn cancel_by_a_child_is_heard_at_its_next_wait() {
    let (group, events) = (TaskGroup::<()>::new(), Events::default());
    let heard = events.clone();
    let child = group.spawn(|scope| async move {
        scope.cancel();
        heard.add("cancelled");
        yield_now().await;
        heard.add("went on");
        Ok(())
    });
    group.join().await.expect("it was cancelled");
    assert_eq!((child.await, events.take()), (None, vec!["cancelled"]));
}

/// Each child costs the same, however many there are, and none of them stack.
#[corering::test]
async fn hundred_thousand_children_end_one_by_one_and_together() {
    let group = TaskGroup::new();
    let ended = Rc::new(Cell::new(0_u32));
    for _ in 0..100_000 {
        let ended = ended.clone();
        group.spawn(|_| async move {
            ended.set(ended.get() + 1);
            Ok::<_, ()>(())
        });
    }
    group.join().await.expect("none fails");
    assert_eq!(ended.get(), 100_000);

    let (group, living) = (TaskGroup::new(), Living::default());
    for _ in 0..100_000 {
        let alive = living.one();
        group.spawn(|scope| async move {
            let _alive = alive;
            scope.token().cancelled().await;
            Ok(())
        });
    }
    group.spawn(|_| async {
        yield_now().await;
        Err::<(), _>(())
    });
    assert_eq!(group.join().await.expect_err("one fails").len(), 1);
    assert_eq!(living.count(), 0);
}

/// A chain of which each child spawns the next and ends does not keep the shard for itself.
#[corering::test]
async fn group_that_feeds_itself_leaves_others_their_turn() {
    fn next(scope: &GroupScope<()>, spawned: Rc<Cell<u32>>) {
        scope.spawn(|scope| async move {
            spawned.set(spawned.get() + 1);
            next(&scope, spawned);
            Ok(())
        });
    }
    let (group, spawned) = (TaskGroup::new(), Rc::new(Cell::new(0)));
    next(&group.scope(), spawned.clone());
    sleep(Duration::from_millis(1)).await;
    assert!(spawned.get() > 1);
    group.cancel();
    group.join().await.expect("it was cancelled");
}

#[test]
fn group_outside_a_runtime_cannot_spawn_and_stays_empty() {
    let group = TaskGroup::<()>::new();
    let panic = catch_unwind(AssertUnwindSafe(|| group.spawn(|_| async { Ok(()) })));
    let panic = panic.expect_err("there is no runtime");
    let message = panic.downcast_ref::<&str>().expect("it is a text");
    assert!(message.contains("needs a corering runtime"), "{message}");
    assert!(group.is_empty());
    drop(group);
}
