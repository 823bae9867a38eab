//! What `JoinSet` has of tokio's.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use corering::task::{JoinSet, yield_now};
use futures_util::{FutureExt, StreamExt};

use crate::net::until;
use crate::{Events, Living, settle};

#[corering::test]
async fn join_all_gives_outputs_in_order_of_completion() {
    let mut set = JoinSet::new();
    for yields in [3, 1, 2] {
        set.spawn(async move {
            for _ in 0..yields {
                yield_now().await;
            }
            yields
        });
    }
    assert_eq!(set.join_all().await, [1, 2, 3]);
    assert_eq!(JoinSet::<()>::new().join_all().await, []);
}

#[corering::test]
async fn join_all_panics_as_its_task_and_aborts_the_others() {
    let (mut set, living) = (JoinSet::new(), Living::default());
    let alive = living.one();
    set.spawn(async move {
        pending::<()>().await;
        drop(alive);
    });
    set.spawn(async { panic!("of a task") });
    let panic = AssertUnwindSafe(set.join_all()).catch_unwind().await.expect_err("it panics");
    assert_eq!(panic.downcast_ref(), Some(&"of a task"));
    until(|| living.count() == 0).await;

    let mut set = JoinSet::<()>::new();
    set.spawn(pending()).abort();
    let panic = AssertUnwindSafe(set.join_all()).catch_unwind().await.expect_err("it panics");
    assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("the task was cancelled"));
}

#[corering::test]
async fn try_join_next_takes_only_what_is_complete() {
    let mut set = JoinSet::new();
    assert!(set.try_join_next().is_none());
    set.spawn(pending::<u32>());
    for number in 0..300 {
        set.spawn(async move { number });
    }
    assert!(set.try_join_next().is_none(), "none has run");
    settle().await;
    // More than a poll may begin: none is refused.
    for number in 0..300 {
        assert_eq!(set.try_join_next().expect("it is complete").expect("no panic"), number);
    }
    assert!(set.try_join_next().is_none());
    assert_eq!(set.len(), 1);
    // Whoever waits afterwards is woken as ever.
    set.spawn(async { 7 });
    assert_eq!(set.join_next().await.expect("it is there").expect("no panic"), 7);
}

#[corering::test]
async fn shutdown_waits_until_all_tasks_are_gone() {
    let (mut set, living) = (JoinSet::new(), Living::default());
    for waits in [true, false] {
        let alive = living.one();
        set.spawn(async move {
            if waits {
                pending::<()>().await;
            }
            drop(alive);
        });
    }
    set.spawn(async { panic!("passed over") });
    settle().await;
    set.shutdown().await;
    assert!(set.is_empty());
    assert_eq!(living.count(), 0);
    set.spawn(async {});
    set.join_next().await.expect("it may be used again").expect("no panic");
}

#[corering::test]
async fn detached_tasks_run_on_without_their_set() {
    let (mut set, events) = (JoinSet::new(), Events::default());
    let ended = events.clone();
    set.spawn(async move {
        settle().await;
        ended.add("ended");
    });
    set.detach_all();
    assert!(set.is_empty());
    drop(set);
    settle().await;
    settle().await;
    assert_eq!(events.take(), ["ended"]);
}

#[corering::test]
async fn closures_of_a_set_are_joined_with_its_tasks() {
    let mut set = JoinSet::new();
    set.spawn_blocking(|| 1);
    set.spawn(async { 2 });
    let mut outputs: Vec<i32> = set.by_ref().map(|ended| ended.expect("no panic")).collect().await;
    outputs.sort_unstable();
    assert_eq!(outputs, [1, 2]);
    set.spawn_blocking(|| panic!("of a closure"));
    let error = set.join_next().await.expect("it is there").expect_err("it panics");
    assert_eq!(error.into_panic().downcast_ref(), Some(&"of a closure"));
}

#[corering::test]
async fn aborted_closure_runs_to_its_end_and_is_reported() {
    let mut set = JoinSet::new();
    let (go_on, may_end) = mpsc::channel::<()>();
    let (ended, has_ended) = mpsc::channel();
    let abort = set.spawn_blocking(move || {
        may_end.recv().expect("the test says so");
        ended.send(()).expect("the test waits");
    });
    abort.abort();
    let error = set.join_next().await.expect("it is there").expect_err("it was aborted");
    assert!(error.is_cancelled());
    go_on.send(()).expect("the closure runs on");
    until(|| has_ended.try_recv().is_ok()).await;
}

#[test]
fn set_outside_a_runtime_cannot_spawn_and_says_so() {
    let mut set = JoinSet::new();
    let panic = catch_unwind(AssertUnwindSafe(|| set.spawn(async {}))).expect_err("no runtime");
    let message = panic.downcast_ref::<&str>().expect("it is a text");
    assert!(message.contains("needs a corering runtime"), "{message}");
}
