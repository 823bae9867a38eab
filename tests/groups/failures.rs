//! How children fail, and what the group makes of it.

use std::error::Error;
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::rc::Rc;

use corering::sync::Notify;
use corering::task::{CancelToken, Cancelled, GroupFailure, TaskGroup, spawn};
use corering::time::{Duration, sleep};
use corering::yield_now;
use futures_util::FutureExt;

use crate::net::until;
use crate::{Events, Living, PanicsOnDrop, settle};

#[corering::test]
async fn children_give_their_values_by_their_handles() {
    let group = TaskGroup::<()>::new();
    let sum = group.spawn(|_| async {
        yield_now().await;
        Ok(1 + 2)
    });
    let text = group.spawn(|_| async { Ok(String::from("value")) });
    group.join().await.expect("none fails");
    assert_eq!((sum.await, text.await.as_deref()), (Some(3), Some("value")));
}

#[corering::test]
async fn handle_may_be_awaited_by_a_sibling() {
    let group = TaskGroup::<()>::new();
    let value = group.spawn(|_| async {
        yield_now().await;
        Ok(7)
    });
    group.spawn(|_| async move { if value.await == Some(7) { Ok(()) } else { Err(()) } });
    group.join().await.expect("the value comes");
}

#[corering::test]
async fn first_failure_cancels_the_siblings_and_all_are_gone() {
    let (group, living) = (TaskGroup::new(), Living::default());
    let mut handles = Vec::new();
    for _ in 0..100 {
        let alive = living.one();
        handles.push(group.spawn(|_| async move {
            sleep(Duration::MAX).await;
            drop(alive);
            Ok(())
        }));
    }
    group.spawn(|_| async {
        yield_now().await;
        Err::<(), _>("first")
    });
    let error = group.join().await.expect_err("one has failed");
    assert_eq!(living.count(), 0, "join waits until all are gone");
    assert_eq!((error.len(), error.to_string()), (1, "a task of the group failed: first".into()));
    assert!(matches!(error.first(), GroupFailure::Error("first")));
    for handle in handles {
        assert_eq!(handle.await, None, "it was cancelled");
    }
}

#[corering::test]
async fn failure_aborts_siblings_before_the_group_is_awaited() {
    let (group, living) = (TaskGroup::new(), Living::default());
    let alive = living.one();
    group.spawn(|_| async move {
        pending::<()>().await;
        drop(alive);
        Ok(())
    });
    group.spawn(|_| async { Err::<(), _>("early") });
    settle().await;
    assert_eq!((living.count(), group.len()), (0, 0));
    assert!(group.token().is_cancelled());
    group.join().await.expect_err("it is still reported");
}

#[corering::test]
async fn all_failures_come_back_in_their_order() {
    let group = TaskGroup::new().with_grace(Duration::MAX);
    for number in 0..3 {
        group.spawn(move |scope| async move {
            scope.token().cancelled().await;
            Err::<(), _>(number)
        });
    }
    group.spawn(|scope| async move {
        scope.token().cancelled().await;
        Ok(())
    });
    group.spawn::<(), _>(|scope| async move {
        scope.token().cancelled().await;
        panic!("in between");
    });
    group.spawn(|_| async { Err::<(), _>(100) });
    let error = group.join().await.expect_err("five have failed");
    let shown = "5 tasks of the group failed, the first: 100";
    assert_eq!(error.to_string(), shown);
    let all: Vec<String> = error.iter().map(ToString::to_string).collect();
    assert_eq!(all, ["100", "0", "1", "2", "the task panicked: in between"]);
}

#[corering::test]
async fn panic_of_a_child_is_a_failure_and_keeps_its_payload() {
    let (group, living) = (TaskGroup::<io::Error>::new(), Living::default());
    let alive = living.one();
    group.spawn(|_| async move {
        pending::<()>().await;
        drop(alive);
        Ok(())
    });
    let failed = group.spawn(|_| async { if true { panic!("payload") } else { Ok(()) } });
    let error = group.join().await.expect_err("one has panicked");
    assert_eq!((failed.await, living.count()), (None, 0));
    let Some(GroupFailure::Panic(panic)) = error.into_iter().next() else {
        panic!("it is not a panic");
    };
    let resumed = AssertUnwindSafe(async { resume_unwind(panic.into_panic()) }).catch_unwind();
    let payload: Box<dyn std::any::Any + Send> = match resumed.await {
        Ok(()) => unreachable!("it panics"),
        Err(payload) => payload,
    };
    assert_eq!(payload.downcast_ref(), Some(&"payload"));
}

#[corering::test]
async fn panic_in_the_drop_of_an_aborted_child_is_a_failure() {
    let group = TaskGroup::new();
    for _ in 0..2 {
        group.spawn(|_| async {
            let _panics = PanicsOnDrop;
            pending::<Result<(), _>>().await
        });
    }
    group.spawn(|_| async {
        yield_now().await;
        Err::<(), _>("first")
    });
    let error = group.join().await.expect_err("three have failed");
    let all: Vec<String> = error.iter().map(ToString::to_string).collect();
    let panicked = "the task panicked: of a drop";
    assert_eq!(all, ["first", panicked, panicked]);
}

#[corering::test]
async fn panic_in_the_drop_of_an_ended_child_hides_nothing() {
    struct Panics<T>(T, PanicsOnDrop);
    impl<T: Unpin> Future for Panics<T> {
        type Output = Result<T, &'static str>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Self::Output> {
            std::task::Poll::Ready(Err("returned"))
        }
    }
    let group = TaskGroup::new();
    group.spawn(|_| Panics((), PanicsOnDrop));
    let error = group.join().await.expect_err("it has failed");
    assert_eq!(error.to_string(), "a task of the group failed: returned");
}

#[corering::test]
async fn child_that_says_cancelled_after_the_end_has_not_failed() {
    let group = TaskGroup::<io::Error>::new().with_grace(Duration::MAX);
    group.spawn(|scope| async move { Ok(scope.token().run(pending::<()>()).await?) });
    group.cancel();
    group.join().await.expect("it was cancelled");

    let group = TaskGroup::<Box<dyn Error>>::new().with_grace(Duration::MAX);
    group.spawn(|scope| async move { Ok(scope.token().run(pending::<()>()).await?) });
    group.spawn(|_| async { Err::<(), _>(io::Error::from(Cancelled).into()) });
    group.cancel();
    group.join().await.expect("both were cancelled");

    let group = TaskGroup::<Cancelled>::new().with_grace(Duration::MAX);
    group.spawn(|scope| async move { scope.token().run(pending::<()>()).await });
    group.cancel();
    group.join().await.expect("it was cancelled");

    // Of a token that is not the group's, while the group goes on: a failure.
    let (group, other) = (TaskGroup::<io::Error>::new(), CancelToken::new());
    other.cancel();
    group.spawn(|_| async move { Ok(other.run(pending::<()>()).await?) });
    group.join().await.expect_err("the group did not cancel it");
}

#[corering::test]
async fn child_that_its_handle_aborts_has_not_failed() {
    let group = TaskGroup::<()>::new();
    let events = Events::default();
    let aborted = group.spawn(|_| pending::<Result<(), _>>());
    let goes_on = events.clone();
    group.spawn(|_| async move {
        settle().await;
        goes_on.add("ended");
        Ok(())
    });
    aborted.abort();
    assert_eq!(aborted.await, None);
    group.join().await.expect("none has failed");
    assert_eq!(events.take(), ["ended"]);
}

#[corering::test]
async fn error_of_a_group_is_an_io_error_by_question_mark() {
    async fn serve() -> io::Result<()> {
        let group = TaskGroup::new();
        group.spawn(|_| async { Err::<(), _>(io::Error::other("refused")) });
        group.join().await?;
        Ok(())
    }
    let error = serve().await.expect_err("it fails");
    assert_eq!(error.to_string(), "a task of the group failed: refused");
}

/// asyncio's shield: what runs in a task of its own goes on when the one that waits is cancelled.
#[corering::test]
async fn spawned_work_outlives_the_child_that_awaits_it() {
    let (group, events, go_on) =
        (TaskGroup::<()>::new(), Events::default(), Rc::new(Notify::new()));
    let (shielded, notified) = (events.clone(), go_on.clone());
    group.spawn(|scope| async move {
        scope.cancel();
        let work = async move {
            notified.notified().await;
            shielded.add("done");
        };
        spawn(work).await.map_err(drop)
    });
    group.join().await.expect("it was cancelled");
    go_on.notify_one();
    until(|| !events.is_empty()).await;
    assert_eq!(events.take(), ["done"]);
}
