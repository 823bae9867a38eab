//! Groups whose children borrow, and are part of the future that waits for them.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::task::Poll;

use corering::sync::Notify;
use corering::task::{GroupFailure, LocalGroup, local_group, spawn};
use corering::time::{Duration, sleep, timeout};
use corering::yield_now;

use crate::net::{poll_once, until, until_metrics};
use crate::{Events, Living, PanicsOnDrop, settle};

#[corering::test]
async fn children_borrow_and_change_what_is_around_them() {
    let words = [String::from("one"), String::from("three")];
    let (mut longest, mut count) = (0, 0);
    let shared = RefCell::new(Vec::new());
    let value = local_group(async |group| {
        group.spawn(async {
            yield_now().await;
            longest = words.iter().map(String::len).max().ok_or("no words")?;
            Ok(())
        });
        group.spawn(async {
            count = words.len();
            Ok(())
        });
        for word in &words {
            let shared = &shared;
            group.spawn(async move {
                yield_now().await;
                shared.borrow_mut().push(word);
                Ok(())
            });
        }
        Ok::<_, &str>("the body's")
    });
    assert_eq!(value.await.expect("none fails"), "the body's");
    assert_eq!((longest, count, shared.take().len()), (5, 2, 2));
}

#[corering::test]
async fn first_failure_drops_the_body_and_the_others() {
    let (living, events) = (Living::default(), Events::default());
    let failed = local_group(async |group| {
        for _ in 0..10 {
            let alive = living.one();
            group.spawn(async move {
                pending::<()>().await;
                drop(alive);
                Ok(())
            });
        }
        group.spawn(async {
            yield_now().await;
            Err("first")
        });
        let _alive = living.one();
        settle().await;
        events.add("the body went on");
        Ok(())
    });
    let error = failed.await.expect_err("one has failed");
    assert_eq!((error.len(), error.to_string()), (1, "a task of the group failed: first".into()));
    assert_eq!((living.count(), events.take()), (0, vec![]));
}

#[corering::test]
async fn failure_of_the_body_drops_the_children() {
    let living = Living::default();
    let failed = local_group(async |group| {
        let alive = living.one();
        group.spawn(async move {
            pending::<()>().await;
            drop(alive);
            Ok(())
        });
        yield_now().await;
        Err::<(), _>(io::Error::other("of the body"))?;
        Ok::<_, io::Error>(())
    });
    let error = io::Error::from(failed.await.expect_err("the body has failed"));
    assert_eq!((living.count(), error.to_string().ends_with("of the body")), (0, true));
}

#[corering::test]
async fn panics_of_children_are_failures() {
    let failed = local_group(async |group| {
        group.spawn(async {
            let _panics = PanicsOnDrop;
            pending::<Result<(), &str>>().await
        });
        group.spawn(async {
            let _panics = PanicsOnDrop;
            pending::<Result<(), &str>>().await
        });
        settle().await;
        panic!("of the body");
        #[expect(unreachable_code)]
        Ok(())
    });
    let error = failed.await.expect_err("three panic");
    assert!(error.iter().all(|failure| matches!(failure, GroupFailure::Panic(_))));
    let all: Vec<String> = error.iter().map(ToString::to_string).collect();
    assert_eq!(all[0], "the task panicked: of the body");
    assert_eq!(all[1..], ["the task panicked: of a drop", "the task panicked: of a drop"]);
}

#[corering::test]
async fn group_waits_for_children_after_its_body() {
    let ended = Cell::new(0);
    let ended = &ended;
    local_group(async |group| {
        for _ in 0..3 {
            let siblings = group.clone();
            group.spawn(async move {
                sleep(Duration::from_micros(10)).await;
                siblings.spawn(async move {
                    yield_now().await;
                    ended.set(ended.get() + 1);
                    Ok(())
                });
                Ok(())
            });
        }
        Ok::<_, ()>(())
    })
    .await
    .expect("none fails");
    assert_eq!(ended.get(), 3);
}

#[corering::test]
async fn dropped_local_group_drops_all_its_children() {
    let (living, kept) = (Living::default(), RefCell::new(None));
    let mut running = Box::pin(local_group(async |group| {
        let alive = living.one();
        group.spawn(async move {
            pending::<()>().await;
            drop(alive);
            Ok(())
        });
        kept.replace(Some(group));
        pending::<Result<(), ()>>().await
    }));
    assert!(poll_once(&mut running).await.is_pending());
    // The group has not taken this one yet. It holds the group, which holds it.
    let (group, alive) = (kept.take().expect("the body kept it"), living.one());
    let itself = group.clone();
    group.spawn(async move {
        drop((itself, alive));
        Ok(())
    });
    assert_eq!(living.count(), 2);
    drop(running);
    assert_eq!(living.count(), 0);
    // Not begun at all.
    let alive = living.one();
    drop(local_group(async |_: LocalGroup<'_, ()>| {
        drop(alive);
        Ok(())
    }));
    assert_eq!(living.count(), 0);
}

#[corering::test]
async fn children_spawned_by_one_that_fails_are_dropped() {
    let living = Living::default();
    let living = &living;
    let failed = local_group(async |group| {
        let alive = living.one();
        group.spawn(async move {
            drop(alive);
            Ok(())
        });
        Err::<(), _>("of the body")
    });
    failed.await.expect_err("the body fails");
    assert_eq!(living.count(), 0);
}

#[corering::test]
async fn child_of_an_ended_local_group_is_not_begun() {
    let (living, kept) = (Living::default(), RefCell::new(None));
    local_group(async |group| {
        kept.replace(Some(group));
        Ok::<_, ()>(())
    })
    .await
    .expect("none fails");
    let group: LocalGroup<'_, ()> = kept.take().expect("the body kept it");
    let alive = living.one();
    group.spawn(async move {
        drop(alive);
        Ok(())
    });
    assert_eq!(living.count(), 0);
}

#[corering::test]
async fn child_that_another_task_spawns_wakes_the_group() {
    let (begun, spawned) = (std::rc::Rc::new(Notify::new()), Events::default());
    let (notify, events) = (begun.clone(), spawned.clone());
    let other = std::rc::Rc::new(RefCell::new(None));
    let handed = other.clone();
    spawn(async move {
        until(|| handed.borrow().is_some()).await;
        // The group sleeps by then.
        let rounds = corering::metrics().rounds;
        until_metrics(|metrics| metrics.rounds > rounds + 3).await;
        let group: LocalGroup<'static, ()> = handed.take().expect("it is there");
        group.spawn(async move {
            events.add("begun");
            notify.notify_one();
            Ok(())
        });
    });
    local_group(async |group| {
        other.replace(Some(group));
        begun.notified().await;
        Ok(())
    })
    .await
    .expect("none fails");
    assert_eq!(spawned.take(), ["begun"]);
}

#[corering::test]
async fn local_group_in_a_local_group_in_a_timeout() {
    let living = Living::default();
    let living = &living;
    let nested = local_group(async |outer| {
        outer.spawn(async move {
            let inner = local_group(async |inner| {
                let alive = living.one();
                inner.spawn(async move {
                    pending::<()>().await;
                    drop(alive);
                    Ok(())
                });
                Ok::<_, ()>(())
            });
            inner.await.map_err(drop)
        });
        Ok::<_, ()>(())
    });
    timeout(Duration::from_millis(1), nested).await.expect_err("nothing ends it");
    assert_eq!(living.count(), 0);
}

#[corering::test]
async fn hundred_thousand_local_children_end() {
    let ended = Cell::new(0_u32);
    let ended = &ended;
    local_group(async |group| {
        for number in 0..100_000 {
            group.spawn(async move {
                if number % 2 == 0 {
                    yield_now().await;
                }
                ended.set(ended.get() + 1);
                Ok(())
            });
        }
        Ok::<_, ()>(())
    })
    .await
    .expect("none fails");
    assert_eq!(ended.get(), 100_000);
}

#[corering::test]
async fn local_group_that_feeds_itself_leaves_others_their_turn() {
    fn next<'a>(group: &LocalGroup<'a, ()>, spawned: &'a Cell<u32>, waits: bool) {
        let siblings = group.clone();
        group.spawn(async move {
            spawned.set(spawned.get() + 1);
            next(&siblings, spawned, waits);
            if waits { pending().await } else { Ok(()) }
        });
    }
    for waits in [false, true] {
        let spawned = Cell::new(0);
        let endless = local_group(async |group| {
            next(&group, &spawned, waits);
            Ok::<_, ()>(())
        });
        timeout(Duration::from_millis(1), endless).await.expect_err("it feeds itself");
        assert!(spawned.get() > 1);
    }
}

/// Another executor's task may poll the group; it is woken as any future is.
#[corering::test]
async fn waiting_local_group_is_polled_only_when_woken() {
    let notify = Notify::new();
    let mut running = Box::pin(local_group(async |group| {
        group.spawn(async {
            notify.notified().await;
            Ok(())
        });
        Ok::<_, ()>(())
    }));
    assert!(poll_once(&mut running).await.is_pending());
    assert!(poll_once(&mut running).await.is_pending());
    notify.notify_one();
    assert!(matches!(poll_once(&mut running).await, Poll::Ready(Ok(()))));
}
