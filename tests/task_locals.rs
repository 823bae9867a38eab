//! Names, numbers and task-locals, on both drivers.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use corering::task::{self, AbortHandle};
use corering::{Runtime, spawn, yield_now};

corering::task_local! {
    static NUMBER: u32;
    static TEXT: Rc<RefCell<String>>;
    static WATCHED: Watched;
}

/// Says on which thread it is dropped, and what the task-locals are then.
struct Watched(mpsc::Sender<(thread::ThreadId, Option<u32>)>);

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.0.send((thread::current().id(), NUMBER.try_get().ok()));
    }
}

#[corering::test]
async fn scopes_nest_and_end_with_their_future() -> io::Result<()> {
    assert!(NUMBER.try_get().is_err());
    NUMBER
        .scope(1, async {
            assert_eq!(NUMBER.get(), 1);
            NUMBER.scope(2, async { assert_eq!(NUMBER.get(), 2) }).await;
            TEXT.scope(Rc::default(), async {
                yield_now().await;
                assert_eq!(NUMBER.get(), 1);
                TEXT.with(|text| text.borrow_mut().push('a'));
                assert_eq!(TEXT.with(|text| text.borrow().len()), 1);
            })
            .await;
            assert!(TEXT.try_with(|_| ()).is_err());
            assert_eq!(NUMBER.get(), 1);
        })
        .await;
    assert!(NUMBER.try_get().is_err());
    Ok(())
}

#[corering::test]
async fn spawned_tasks_keep_what_their_spawner_had() -> io::Result<()> {
    let (sender, receiver) = corering::sync::oneshot::channel();
    let child = NUMBER.sync_scope(1, || {
        spawn(async {
            drop(spawn(async {
                yield_now().await;
                let _ = sender.send(NUMBER.get());
            }));
            NUMBER.sync_scope(2, || assert_eq!(NUMBER.get(), 2));
        })
    });
    child.await?;
    assert_eq!(receiver.await.unwrap(), 1);
    assert!(spawn(async { NUMBER.try_get() }).await?.is_err());
    Ok(())
}

#[corering::test]
async fn interleaved_tasks_see_their_own_values() -> io::Result<()> {
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            spawn(NUMBER.scope(number, async move {
                for _ in 0..10 {
                    yield_now().await;
                    assert_eq!(NUMBER.get(), number);
                }
            }))
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    Ok(())
}

#[corering::test]
async fn scope_polled_by_another_task_takes_that_tasks_other_values() -> io::Result<()> {
    let look = || TEXT.try_with(|text| text.borrow().clone()).ok();
    let mut scope = Box::pin(NUMBER.scope(
        1,
        poll_fn(move |_| match look() {
            Some(text) => Poll::Ready((NUMBER.get(), text)),
            None => Poll::Pending,
        }),
    ));
    assert!(futures_util::poll!(&mut scope).is_pending());
    let text = Rc::new(RefCell::new("b".to_owned()));
    let seen = TEXT.scope(text, scope).await;
    assert_eq!(seen, (1, "b".to_owned()));
    Ok(())
}

#[corering::test]
async fn values_are_set_while_futures_are_dropped() -> io::Result<()> {
    let (sender, drops) = mpsc::channel();
    let watched = Watched(sender);
    let aborted = spawn(NUMBER.scope(1, async move {
        let _watched = watched;
        pending::<()>().await;
    }));
    yield_now().await;
    aborted.abort();
    assert!(aborted.await.unwrap_err().is_cancelled());
    assert_eq!(drops.try_recv().unwrap().1, Some(1));

    // And of a task that has inherited them.
    let (sender, drops) = mpsc::channel();
    let watched = Watched(sender);
    let inherits = NUMBER.sync_scope(2, || {
        spawn(async move {
            let _watched = watched;
            pending::<()>().await;
        })
    });
    yield_now().await;
    inherits.abort();
    assert!(inherits.await.unwrap_err().is_cancelled());
    assert_eq!(drops.try_recv().unwrap().1, Some(2));
    Ok(())
}

#[corering::test]
async fn value_is_dropped_with_the_last_task_that_has_it() -> io::Result<()> {
    let (sender, drops) = mpsc::channel();
    let release = Rc::new(corering::sync::Notify::new());
    let child = WATCHED.sync_scope(Watched(sender), || {
        let release = release.clone();
        spawn(async move { release.notified().await })
    });
    yield_now().await;
    assert!(drops.try_recv().is_err());
    release.notify_one();
    child.await?;
    assert_eq!(drops.try_recv().unwrap().0, thread::current().id());
    Ok(())
}

#[corering::test]
async fn foreign_waker_outlives_task_and_drops_no_value() -> io::Result<()> {
    let (sender, drops) = mpsc::channel();
    let (wakers, held) = mpsc::channel::<Waker>();
    let (release, released) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        let waker = held.recv().unwrap();
        released.recv().unwrap();
        // The last reference to the task.
        drop(waker);
    });
    let task = WATCHED.sync_scope(Watched(sender), || {
        spawn(poll_fn(move |cx| {
            wakers.send(cx.waker().clone()).unwrap();
            Poll::Ready(())
        }))
    });
    task.await?;
    assert_eq!(drops.try_recv().unwrap().0, thread::current().id());
    release.send(()).unwrap();
    holder.join().unwrap();
    assert!(drops.try_recv().is_err(), "it was dropped twice");
    Ok(())
}

#[corering::test]
async fn shadowed_values_do_not_pile_up() -> io::Result<()> {
    // Each task spawns the next in a scope of its own.
    fn next(left: u32, drops: mpsc::Sender<(thread::ThreadId, Option<u32>)>) {
        if left > 0 {
            WATCHED.sync_scope(Watched(drops.clone()), || {
                drop(spawn(async move { next(left - 1, drops) }));
            });
        }
    }
    let (sender, drops) = mpsc::channel();
    next(10_000, sender);
    let mut alive = 10_000;
    while alive > 0 {
        yield_now().await;
        alive -= drops.try_iter().count();
    }
    Ok(())
}

#[corering::test]
async fn nothing_is_inherited_by_threads_and_their_closures() -> io::Result<()> {
    let there =
        NUMBER.scope(1, async { corering::spawn_blocking(|| NUMBER.try_get().is_err()).await });
    assert!(there.await?);
    Ok(())
}

#[test]
fn main_future_has_values_around_block_on_and_tasks_have_not() {
    let outside = Runtime::builder().build().unwrap();
    NUMBER.sync_scope(1, || {
        let tasks = RefCell::new(Vec::new());
        outside.block_on(async {
            assert_eq!(NUMBER.get(), 1);
            tasks.borrow_mut().push(spawn(async { NUMBER.get() }));
        });
        // Inherited from the main future, and not from where the loop is run again.
        let task = tasks.take().remove(0);
        NUMBER.sync_scope(2, || outside.block_on(async { assert_eq!(task.await.unwrap(), 1) }));
    });
}

#[test]
fn panic_in_scope_leaves_no_value_behind() {
    let panicked = std::panic::catch_unwind(|| NUMBER.sync_scope(1, || panic!("no luck")));
    assert!(panicked.is_err());
    assert!(NUMBER.try_get().is_err());
    corering::block_on(async {
        let task = spawn(NUMBER.scope(1, async { panic!("no luck") }));
        assert!(task.await.unwrap_err().is_panic());
        assert!(NUMBER.try_get().is_err());
        assert!(spawn(async { NUMBER.try_get() }).await.unwrap().is_err());
    });
}

#[corering::test]
async fn numbers_are_never_used_twice() -> io::Result<()> {
    let mut ids: Vec<task::Id> = (0..3000).map(|_| spawn(async {}).id()).collect();
    let elsewhere = thread::spawn(|| {
        corering::block_on(async { (0..3000).map(|_| spawn(async {}).id()).collect::<Vec<_>>() })
    });
    ids.extend(elsewhere.join().unwrap());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6000);
    Ok(())
}

#[corering::test]
async fn task_knows_its_number_and_name() -> io::Result<()> {
    assert!(task::current().is_none() && task::try_id().is_none());
    let named = task::Builder::new().name("named").spawn(async {
        let child = spawn(async { task::current().unwrap().name() });
        let current = task::current().unwrap();
        yield_now().await;
        assert_eq!(task::id(), current.id());
        assert_eq!(child.await.unwrap(), None, "a name is inherited");
        (task::id(), current.name())
    });
    let id = named.id();
    let abort = named.abort_handle();
    assert_eq!((abort.id(), abort.name()), (id, Some(Cow::Borrowed("named"))));
    assert!(format!("{abort:?}").contains("named"));
    assert_eq!(named.await?, (id, Some(Cow::Borrowed("named"))));
    assert_eq!(abort.name(), None);

    let failed = spawn(async { panic!("no luck") });
    let id = failed.id();
    assert_eq!(failed.await.unwrap_err().id(), Some(id));
    let aborted = spawn(pending::<()>());
    let id = aborted.id();
    aborted.abort();
    assert_eq!(aborted.await.unwrap_err().id(), Some(id));
    Ok(())
}

#[corering::test]
async fn named_task_hands_on_the_values_it_has() -> io::Result<()> {
    let seen = NUMBER.scope(7, async {
        let named = task::Builder::new().name("named").spawn(async {
            let inner = spawn(async { (NUMBER.get(), task::current().unwrap().name()) });
            let scoped =
                TEXT.scope(Rc::default(), async { (NUMBER.get(), TEXT.try_get().is_ok()) });
            (inner.await.unwrap(), scoped.await)
        });
        named.await
    });
    assert_eq!(seen.await?, ((7, None), (7, true)));
    Ok(())
}

#[corering::test]
async fn all_tasks_are_those_that_have_not_ended() -> io::Result<()> {
    let before = task::all().len();
    let waiting: Vec<_> = (0..5).map(|_| spawn(pending::<()>())).collect();
    let ended = spawn(async {});
    assert_eq!(task::all().len(), before + 6);
    ended.await?;
    assert_eq!(task::all().len(), before + 5);
    let ours: Vec<task::Id> = waiting.iter().map(|task| task.id()).collect();
    let handles = task::all().into_iter().filter(|handle| ours.contains(&handle.id()));
    handles.for_each(|handle| handle.abort());
    for task in waiting {
        assert!(task.await.unwrap_err().is_cancelled());
    }
    Ok(())
}

#[corering::test]
async fn destructor_of_an_aborted_task_knows_its_task() -> io::Result<()> {
    struct Asks(Rc<Cell<Option<task::Id>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.set(task::try_id());
        }
    }
    let seen = Rc::new(Cell::new(None));
    let asks = Asks(seen.clone());
    let task = spawn(async move {
        let _asks = asks;
        pending::<()>().await;
    });
    let id = task.id();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(seen.get(), Some(id));
    assert!(task::try_id().is_none());
    Ok(())
}

#[test]
fn runtime_calls_its_hook_for_each_panic() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let calls = Arc::new(AtomicUsize::new(0));
    let (log, count) = (seen.clone(), calls.clone());
    let builder = Runtime::builder().on_panic(move |panic| {
        count.fetch_add(1, Ordering::Relaxed);
        log.lock().unwrap().push((panic.id(), panic.to_string()));
        panic!("the hook has no luck either");
    });
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let ids = builder.build().unwrap().block_on(async {
        let first = task::Builder::new().name("first").spawn(async { panic!("no luck") });
        let second = spawn(async {
            let _panics = PanicsInDrop;
            pending::<()>().await;
        });
        let ids = (first.id(), second.id());
        assert!(first.await.unwrap_err().is_panic());
        second.abort();
        assert!(second.await.unwrap_err().is_panic());
        // One that nobody awaits.
        drop(spawn(async { panic!("unseen") }));
        yield_now().await;
        ids
    });
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], (ids.0, format!("task {} (first) panicked: no luck", ids.0)));
    assert_eq!(seen[1], (ids.1, format!("task {} panicked: in drop", ids.1)));
    assert!(seen[2].1.ends_with("panicked: unseen"));
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[corering::test]
async fn handle_from_all_may_be_kept_past_the_end() -> io::Result<()> {
    let task = spawn(async {});
    let kept: Vec<AbortHandle> = task::all();
    task.await?;
    for handle in kept.iter().filter(|handle| handle.is_finished()) {
        handle.abort();
        assert!(format!("{handle:?}").contains("finished: true"));
    }
    Ok(())
}
