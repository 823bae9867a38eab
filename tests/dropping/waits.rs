//! Rows of what waits within the process: turns, values, tasks, timers and signals.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corering::io::{Watched, nop};
use corering::sync::channel::{bounded, unbounded};
use corering::sync::{Mutex, Notify, Semaphore, oneshot};
use corering::task::{CancelToken, JoinSet, TaskGroup, ThreadPool, local_group};
use corering::{Shard, shard_channel, signal, spawn, spawn_blocking, time, yield_now};
use futures_util::FutureExt;

use crate::moments::{Boxed, Moment, World, drop_at};
use crate::net::until;

/// A row of what somebody else may have if it is dropped, though its turn had come.
pub(crate) async fn gives_its_turn_on(
    world: &World,
    moment: Moment,
    row: &str,
    wait: impl Fn() -> Boxed<'static, ()>,
    release: impl Fn(),
) {
    let released = Cell::new(false);
    let release = || {
        released.set(true);
        release();
    };
    let ended = drop_at(world, moment, wait(), async || release()).await.is_some();
    if !released.get() || (ended && row == "Notify::notified") {
        release();
    }
    wait().await;
}

/// The rows of locks at one moment.
pub(crate) async fn give_their_turn_on(world: &World, moment: Moment) {
    let mutex = Rc::new(Mutex::new(()));
    let is_over = Rc::new(Semaphore::new(0));
    let (held, until_over) = (mutex.clone(), is_over.clone());
    let holder = spawn(async move {
        let lock = held.lock().await;
        drop(until_over.acquire().await);
        drop(lock);
    });
    until(|| mutex.try_lock().is_err()).await;
    let lock = || -> Boxed<'static, ()> {
        let mutex = mutex.clone();
        Box::pin(async move { drop(mutex.lock().await) })
    };
    gives_its_turn_on(world, moment, "Mutex::lock", lock, || is_over.add_permits(1)).await;
    holder.await.expect("it does not panic");
    let held = RefCell::new(mutex.clone().try_lock_owned().ok());
    let lock = || -> Boxed<'static, ()> {
        let mutex = mutex.clone();
        Box::pin(async move { drop(mutex.lock_owned().await) })
    };
    gives_its_turn_on(world, moment, "Mutex::lock_owned", lock, || drop(held.take())).await;

    type Acquire = fn(Rc<Semaphore>) -> Boxed<'static, ()>;
    let acquires: [(&str, Acquire); 4] = [
        ("Semaphore::acquire", |it| Box::pin(async move { drop(it.acquire().await) })),
        ("Semaphore::acquire_many", |it| Box::pin(async move { drop(it.acquire_many(2).await) })),
        ("Semaphore::acquire_owned", |it| Box::pin(async move { drop(it.acquire_owned().await) })),
        ("Semaphore::acquire_many_owned", |it| {
            Box::pin(async move { drop(it.acquire_many_owned(2).await) })
        }),
    ];
    for (row, acquire) in acquires {
        let permits = Rc::new(Semaphore::new(0));
        let wait = || acquire(permits.clone());
        gives_its_turn_on(world, moment, row, wait, || permits.add_permits(2)).await;
        assert_eq!(permits.available_permits(), 2, "{row}, {moment:?}");
    }

    let notify = Rc::new(Notify::new());
    let wait = || -> Boxed<'static, ()> {
        let notify = notify.clone();
        Box::pin(async move { notify.notified().await })
    };
    gives_its_turn_on(world, moment, "Notify::notified", wait, || notify.notify_one()).await;

    let (sender, receiver) = bounded(1);
    sender.try_send(0).expect("there is room");
    let receiver = RefCell::new(receiver);
    let wait = || -> Boxed<'static, ()> {
        let sender = sender.clone();
        Box::pin(async move { drop(sender.reserve().await) })
    };
    let release = || _ = receiver.borrow_mut().try_recv();
    gives_its_turn_on(world, moment, "Sender::reserve", wait, release).await;
}

/// The rows of values at one moment.
pub(crate) async fn keep_values(world: &World, moment: Moment) {
    let (sender, mut receiver) = unbounded();
    let (far_sender, mut far_receiver) = shard_channel();
    let mut tasks = JoinSet::new();
    let mut received: [Vec<u8>; 3] = Default::default();
    for number in 0..4_u8 {
        let mut sent = false;
        let send = async || {
            sent = true;
            sender.try_send(number).expect("the receiver is there");
        };
        let got = drop_at(world, moment, Box::pin(receiver.recv()), send).await;
        received[0].extend(got.flatten());
        if !sent {
            sender.try_send(number).expect("the receiver is there");
        }
        let mut sent = false;
        let send = async || {
            sent = true;
            far_sender.send(number).expect("the receiver is there");
        };
        let got = drop_at(world, moment, Box::pin(far_receiver.recv()), send).await;
        received[1].extend(got.flatten());
        if !sent {
            far_sender.send(number).expect("the receiver is there");
        }
        tasks.spawn(async move {
            yield_now().await;
            number
        });
        let got = drop_at(world, moment, Box::pin(tasks.join_next()), async || ()).await;
        received[2].extend(got.flatten().map(|ended| ended.expect("it does not panic")));
    }
    while received[0].len() < 4 {
        received[0].extend(receiver.recv().await);
    }
    while received[1].len() < 4 {
        received[1].extend(far_receiver.recv().await);
    }
    while let Some(ended) = tasks.join_next().await {
        received[2].push(ended.expect("it does not panic"));
    }
    for (row, received) in
        ["Receiver::recv", "ShardReceiver::recv", "JoinSet::join_next"].iter().zip(received)
    {
        assert_eq!(received, [0, 1, 2, 3], "{row}, {moment:?}");
    }

    // The value goes with it.
    let row = "Sender::send";
    let (sender, mut receiver) = bounded(1);
    sender.try_send(1).expect("there is room");
    let mut first = None;
    let take = async || first = receiver.try_recv().ok();
    let sent = drop_at(world, moment, Box::pin(sender.send(2)), take).await.is_some();
    let mut all: Vec<u8> = first.into_iter().collect();
    all.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
    let expected: &[u8] = if sent { &[1, 2] } else { &[1] };
    assert_eq!(all, expected, "{row}, {moment:?}");
    sender.try_send(3).expect("there is room again");
}

/// The rows of what only tells, at one moment.
pub(crate) async fn take_nothing_from_others(world: &World, moment: Moment) -> io::Result<()> {
    let (sender, receiver) = unbounded::<()>();
    let close = async || drop(receiver);
    let _ = drop_at(world, moment, Box::pin(sender.closed()), close).await;
    let (mut sender, receiver) = oneshot::channel::<()>();
    let close = async || drop(receiver);
    let row = "Sender::closed";
    let told = drop_at(world, moment, Box::pin(sender.closed()), close).await;
    assert!(told.is_none() || sender.is_closed(), "{row}, {moment:?}");

    let row = "CancelToken::cancelled";
    let stop = CancelToken::new();
    let other = stop.cancelled();
    let _ = drop_at(world, moment, Box::pin(stop.cancelled()), async || stop.cancel()).await;
    stop.cancel();
    other.await;
    assert!(stop.is_cancelled(), "{row}, {moment:?}");

    let soon = time::wall() + Duration::from_millis(1);
    let waits: [(&str, Boxed<'_, ()>); 4] = [
        ("time::sleep_until_wall", Box::pin(time::sleep_until_wall(soon))),
        ("time::sleep", Box::pin(time::sleep(Duration::from_millis(1)))),
        ("time::sleep_until", Box::pin(time::sleep_until(time::now() + Duration::from_millis(1)))),
        ("task::yield_now", Box::pin(yield_now())),
    ];
    // That of the whole test's limit, and of none besides.
    let timers = corering::metrics().timers;
    for (row, wait) in waits {
        let _ = drop_at(world, moment, wait, async || ()).await;
        assert_eq!(corering::metrics().timers, timers, "{row}, {moment:?}");
    }
    let row = "Interval::tick";
    let period = Duration::from_millis(1);
    let mut interval = time::interval(period);
    let first = interval.tick().await;
    let tick = drop_at(world, moment, Box::pin(interval.tick()), async || ()).await;
    let tick = match tick {
        Some(tick) => tick,
        None => interval.tick().await,
    };
    assert_eq!(tick - first, period, "{row}, {moment:?}");

    for row in ["io::nop", "Watched::readable", "Watched::writable"] {
        let (reader, writer) = io::pipe()?;
        let (reader, writer) = (Watched::new(reader.into()), Watched::new(writer.into()));
        let wait: Boxed<'_, io::Result<()>> = match row {
            "io::nop" => Box::pin(nop()),
            "Watched::readable" => Box::pin(reader.readable()),
            _ => Box::pin(writer.writable()),
        };
        let _ = drop_at(world, moment, wait, async || ()).await.transpose()?;
        drop((reader, writer));
    }
    Ok(())
}

/// The rows of what goes on by itself, at one moment.
pub(crate) async fn go_on(world: &World, moment: Moment) {
    let reached = Rc::new(Cell::new(false));
    let task = {
        let reached = reached.clone();
        spawn(async move {
            yield_now().await;
            reached.set(true);
        })
    };
    // A `JoinHandle`.
    let _ = drop_at(world, moment, Box::pin(task), async || ()).await;
    until(|| reached.get()).await;
    let reached = Arc::new(AtomicBool::new(false));
    let closure = {
        let reached = reached.clone();
        spawn_blocking(move || reached.store(true, Ordering::Relaxed))
    };
    // A `BlockingHandle`.
    let _ = drop_at(world, moment, Box::pin(closure), async || ()).await;
    until(|| reached.load(Ordering::Relaxed)).await;
    let pool = ThreadPool::new(1);
    let ran = Arc::new(AtomicBool::new(false));
    let closure = {
        let ran = ran.clone();
        pool.run(move || ran.store(true, Ordering::Relaxed))
    };
    // A `PoolHandle`: the closure has run, or is not there any more.
    let _ = drop_at(world, moment, Box::pin(closure), async || ()).await;
    until(|| Arc::strong_count(&ran) == 1).await;
    let row = "ThreadPool::shutdown";
    let last = pool.run(|| "ran");
    let shutdown = Box::pin(pool.shutdown(Duration::MAX));
    let ended = drop_at(world, moment, shutdown, async || ()).await;
    assert!(matches!(ended, None | Some(0)), "{row}, {moment:?}");
    assert_eq!(last.await.expect("it was queued before"), "ran", "{row}, {moment:?}");
    let takes_more = pool.run(|| ()).await.is_ok();
    assert_eq!(takes_more, moment == Moment::NotBegun, "{row}, {moment:?}");
}

/// The rows of what ends its tasks, at one moment.
pub(crate) async fn end_their_tasks(world: &World, moment: Moment) {
    for row in ["JoinSet::join_all", "JoinSet::shutdown", "TaskGroup::join", "task::local_group"] {
        let (living, go_on) = (Rc::new(()), Rc::new(Notify::new()));
        // Half of them end when they may.
        let task = |waits: bool| {
            let (alive, go_on) = (living.clone(), go_on.clone());
            async move {
                match waits {
                    true => std::future::pending().await,
                    false => go_on.notified().await,
                }
                drop(alive);
            }
        };
        let (mut set, group) = (JoinSet::new(), TaskGroup::<()>::new());
        for waits in [true, false] {
            if row.starts_with("JoinSet") {
                set.spawn(task(waits));
            } else if row.starts_with("TaskGroup") {
                let task = task(waits);
                group.spawn(|_| async {
                    task.await;
                    Ok(())
                });
            }
        }
        let ends: Boxed<'_, ()> = match row {
            "JoinSet::join_all" => {
                Box::pin(async { drop(std::mem::take(&mut set).join_all().await) })
            }
            "JoinSet::shutdown" => Box::pin(set.shutdown()),
            "TaskGroup::join" => Box::pin(async { group.join().await.expect("none fails") }),
            _ => Box::pin(async {
                let joined = local_group(async |group| {
                    for waits in [true, false] {
                        let task = task(waits);
                        group.spawn(async {
                            task.await;
                            Ok::<_, ()>(())
                        });
                    }
                    Ok(())
                });
                joined.await.expect("none fails");
            }),
        };
        let _ = drop_at(world, moment, ends, async || go_on.notify_waiters()).await;
        if row == "JoinSet::shutdown" {
            set.shutdown().await;
        }
        drop(set);
        until(|| Rc::strong_count(&living) == 1).await;
    }
}

/// What goes on by itself, as the table names it.
#[allow(dead_code, reason = "tests/tidy reads it")]
const HANDLES: [&str; 3] = ["JoinHandle", "BlockingHandle", "PoolHandle"];

/// The rows of other shards at one moment.
pub(crate) async fn goes_on_elsewhere(shard: &Shard, world: &World, moment: Moment) {
    for row in ["Shard::submit_to", "RemoteHandle"] {
        let reached = Arc::new(AtomicBool::new(false));
        let closure = {
            let reached = reached.clone();
            move || async move {
                yield_now().await;
                reached.store(true, Ordering::Relaxed);
            }
        };
        let task: Boxed<'_, bool> = match row {
            "Shard::submit_to" => Box::pin(shard.submit_to(1, closure).map(|it| it.is_ok())),
            _ => {
                let other = shard.handle(1).expect("there are two");
                Box::pin(other.spawn(closure).map(|it| it.is_ok()))
            }
        };
        let ended = drop_at(world, moment, task, async || ()).await;
        assert_ne!(ended, Some(false), "{row}, {moment:?}");
        until(|| reached.load(Ordering::Relaxed)).await;
    }
}

/// The rows of signals at one moment: others that wait are told.
pub(crate) async fn leave_signals_to_others(world: &World, moment: Moment) -> io::Result<()> {
    type Wait = fn() -> signal::Signal;
    let signals: [(&str, Wait, i32); 3] = [
        ("signal::ctrl_c", signal::ctrl_c, libc::SIGINT),
        ("signal::terminate", signal::terminate, libc::SIGTERM),
        ("signal::shutdown", signal::shutdown, libc::SIGINT),
    ];
    for (row, wait, number) in signals {
        let other = wait();
        let mut raised = false;
        let mut raise = || {
            raised = true;
            // SAFETY: raise takes no pointer.
            assert_eq!(unsafe { libc::raise(number) }, 0, "{row}");
        };
        let told = drop_at(world, moment, Box::pin(wait()), async || raise()).await;
        told.transpose()?;
        if !raised {
            // SAFETY: as above.
            assert_eq!(unsafe { libc::raise(number) }, 0, "{row}");
        }
        other.await?;
    }
    let row = "Signals::recv";
    let kind = signal::SignalKind::user_defined1();
    let mut signals = signal::signal(kind)?;
    let mut other = signals.clone();
    let raise = || {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0, "{row}");
    };
    let mut raised = false;
    let mut raise_once = || {
        raised = true;
        raise();
    };
    let taken = drop_at(world, moment, Box::pin(signals.recv()), async || raise_once()).await;
    if !raised {
        raise();
    }
    assert_eq!(other.recv().await?, kind, "{row}, {moment:?}");
    if taken.transpose()?.is_none() {
        assert_eq!(signals.recv().await?, kind, "{row}, {moment:?}");
    }
    Ok(())
}
