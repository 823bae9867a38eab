//! The loop of a shard: tasks, wakes from everywhere, blocking work, and the end of it all.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/child.rs"]
mod child;
#[allow(dead_code)]
#[path = "common/net.rs"]
mod net;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::time::Duration;
use std::{process, thread};

use child::Child;
use corering::task::JoinSet;
use corering::time::within;
use corering::{Builder, Driver, Runtime, spawn, spawn_blocking, test_support, yield_now};
use futures_util::{FutureExt, join, select, try_join};
use net::{drop_in_flight, echo, ends, listener, tcp_pair, tcp_peer, unix_peer, until};

/// A runtime for each driver under test.
fn runtimes() -> impl Iterator<Item = (Driver, Runtime)> {
    test_support::drivers().into_iter().map(|driver| {
        let runtime = Runtime::builder().driver(driver).build();
        (driver, runtime.expect("the driver is there"))
    })
}

#[corering::test]
async fn task_is_woken_by_many_threads_at_once() {
    const THREADS: usize = 8;
    const WAKES: usize = 500;
    let mut tasks = JoinSet::new();
    let mut threads = Vec::new();
    for _ in 0..10 {
        let done = Arc::new(AtomicUsize::new(0));
        let (send, wakers) = mpsc::channel::<Waker>();
        let count = done.clone();
        tasks.spawn(poll_fn(move |cx| {
            if count.load(Ordering::Acquire) == THREADS * WAKES {
                return Poll::Ready(());
            }
            let _ = send.send(cx.waker().clone());
            Poll::Pending
        }));
        yield_now().await;
        let waker = wakers.try_recv().expect("the task was polled");
        for _ in 0..THREADS {
            let (waker, done) = (waker.clone(), done.clone());
            threads.push(thread::spawn(move || {
                for _ in 0..WAKES {
                    done.fetch_add(1, Ordering::Release);
                    waker.wake_by_ref();
                    drop(waker.clone());
                }
            }));
        }
    }
    // No wake is lost: the last one finds its task done, however late the shard had fallen asleep.
    while let Some(end) = tasks.join_next().await {
        end.expect("it does not panic");
    }
    threads.into_iter().for_each(|thread| thread.join().expect("no wake panics"));
}

#[corering::test]
async fn wake_that_comes_while_the_shard_falls_asleep_is_not_lost() {
    let (send, wakers) = mpsc::channel::<(Waker, Arc<AtomicBool>)>();
    let thread = thread::spawn(move || {
        for (waker, woken) in wakers {
            woken.store(true, Ordering::Release);
            waker.wake();
        }
    });
    // Each round trip ends with the shard on its way to sleep, or asleep, or not yet.
    for round in 0..3000 {
        let woken = Arc::new(AtomicBool::new(false));
        let mut sent = false;
        let wait = poll_fn(|cx| {
            if woken.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut sent, true) {
                send.send((cx.waker().clone(), woken.clone())).expect("the thread listens");
            }
            Poll::Pending
        });
        if round % 3 == 0 {
            yield_now().await;
        }
        wait.await;
    }
    drop(send);
    thread.join().expect("no wake panics");
}

#[corering::test]
async fn task_that_never_waits_keeps_io_alive() -> io::Result<()> {
    let busy = spawn(async {
        loop {
            yield_now().await;
        }
    });
    let (mut client, server) = tcp_pair().await?;
    let server = spawn(echo(server));
    for number in 0..100_u8 {
        client.write_all(vec![number; 100]).await?;
        assert_eq!(client.read_exact(vec![0; 100], 100).await?, [number; 100]);
    }
    assert!(!busy.is_finished());
    // Timers pass, too.
    let error = within(Duration::from_millis(1), client.recv()).await.expect_err("nothing is sent");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(client);
    server.await.expect("it does not panic")?;
    busy.abort();
    Ok(())
}

#[corering::test]
async fn main_future_that_never_waits_keeps_io_alive() -> io::Result<()> {
    let (mut client, server) = tcp_pair().await?;
    let server = spawn(echo(server));
    let talk = spawn(async move {
        for _ in 0..100 {
            client.write_all("question").await?;
            client.read_exact(vec![0; 8], 8).await?;
        }
        io::Result::Ok(())
    });
    until(|| talk.is_finished()).await;
    talk.await.expect("it does not panic")?;
    server.await.expect("it does not panic")
}

#[corering::test]
async fn ten_thousand_ready_tasks_stay_alive_under_io() -> io::Result<()> {
    let (client, server) = tcp_pair().await?;
    drop(spawn(echo(server)));
    let (mut reader, mut writer) = client.into_split();
    // A stream of bytes that is never idle.
    let traffic = spawn(async move {
        loop {
            writer.write_all("without a pause").await.expect("the echo reads");
            reader.recv().await.expect("the echo answers");
        }
    });
    let polls = Rc::new(Cell::new(0_u32));
    let mut tasks = JoinSet::new();
    for _ in 0..10_000 {
        let polls = polls.clone();
        tasks.spawn(async move {
            for _ in 0..5 {
                polls.set(polls.get() + 1);
                yield_now().await;
            }
        });
    }
    while let Some(end) = tasks.join_next().await {
        end.expect("it does not panic");
    }
    assert_eq!(polls.get(), 50_000);
    assert!(!traffic.is_finished());
    Ok(())
}

#[corering::test]
async fn panic_in_a_task_is_reported_and_the_shard_lives_on() -> io::Result<()> {
    let number = Cell::new(7);
    let error = spawn(async move { panic!("on purpose, {}", number.get()) })
        .await
        .expect_err("it panicked");
    assert!(error.is_panic());
    let payload = error.into_panic();
    assert_eq!(payload.downcast_ref::<String>().expect("a formatted text"), "on purpose, 7");
    let (mut stream, mut peer) = unix_peer()?;
    peer.write_all(b"still here")?;
    assert_eq!(&*stream.recv().await?, b"still here");
    Ok(())
}

#[test]
fn panic_in_the_main_future_leaves_the_runtime_usable() {
    for (driver, runtime) in runtimes() {
        let main =
            catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { panic!("on purpose") })));
        assert!(main.is_err(), "{driver}");
        assert_eq!(
            runtime.block_on(async { spawn(async { 3 }).await.expect("it does not panic") }),
            3
        );
    }
}

#[corering::test]
async fn join_and_select_of_other_crates_work_on_io() -> io::Result<()> {
    let (mut one, mut one_peer) = unix_peer()?;
    let (mut two, mut two_peer) = unix_peer()?;
    one_peer.write_all(b"1")?;
    let other = async {
        two_peer.write_all(b"22")?;
        two.recv().await
    };
    let (first, second) = try_join!(one.recv(), other)?;
    assert_eq!((first.len(), second.len()), (1, 2));
    two_peer.write_all(b"333")?;
    let winner = select! {
        _ = one.recv().fuse() => "one, to which nothing was sent",
        received = two.recv().fuse() => {
            assert_eq!(received?.len(), 3);
            "two"
        }
    };
    assert_eq!(winner, "two");
    one_peer.write_all(b"4444")?;
    let (last, ()) = join!(one.recv(), yield_now());
    assert_eq!(last?.len(), 4);
    Ok(())
}

#[corering::test]
async fn blocking_closure_brings_its_result_from_another_thread() {
    let here = thread::current().id();
    let there = spawn_blocking(|| thread::current().id()).await.expect("it does not panic");
    assert_ne!(here, there);
}

#[corering::test]
async fn blocking_closure_that_panics_is_an_error_with_its_payload() {
    let panicking = spawn_blocking(|| -> () { panic!("on purpose") });
    let error = panicking.await.expect_err("it panicked");
    assert!(error.is_panic());
    assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"on purpose"));
    assert_eq!(spawn_blocking(|| 5).await.expect("the pool goes on"), 5);
}

#[corering::test]
async fn blocking_closure_runs_though_its_handle_is_dropped() {
    let (send, receive) = mpsc::channel();
    drop(spawn_blocking(move || send.send("ran")));
    let heard = spawn_blocking(move || receive.recv()).await.expect("it does not panic");
    assert_eq!(heard, Ok("ran"));
}

#[test]
fn blocking_closures_share_a_bounded_number_of_threads() {
    let configure = |builder: corering::Builder| builder.blocking_threads(3);
    test_support::run_configured("blocking_closures_share", None, configure, || async {
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let closures: Vec<_> = (0..200)
            .map(|number| {
                let (running, most) = (running.clone(), most.clone());
                spawn_blocking(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    number
                })
            })
            .collect();
        for (number, closure) in closures.into_iter().enumerate() {
            assert_eq!(closure.await.expect("it does not panic"), number);
        }
        assert!(most.load(Ordering::SeqCst) <= 3);
    });
}

#[test]
fn runtime_ends_though_a_blocking_closure_waits_for_ever() {
    for driver in test_support::drivers() {
        let builder = Runtime::builder().driver(driver).blocking_threads(1);
        let runtime = builder.shutdown_timeout(Duration::from_millis(1)).build();
        let runtime = runtime.expect("the driver is there");
        let (release, wait) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let mut queued = None;
        runtime.block_on(async {
            drop(spawn_blocking(move || {
                started.send(()).expect("the test listens");
                wait.recv()
            }));
            // It has no thread before the first gives its own up.
            queued = Some(spawn_blocking(|| "never runs"));
        });
        has_started.recv().expect("the first closure runs");
        let report = runtime.shut_down();
        assert_eq!(report.running_closures, 1, "{driver}");
        let other = Runtime::builder().driver(driver).build().expect("the driver is there");
        let queued = other.block_on(queued.expect("it was set"));
        assert!(queued.expect_err("it never ran").is_cancelled(), "{driver}");
        drop(release);
    }
}

#[test]
fn end_without_limit_waits_for_closures() {
    for driver in test_support::drivers() {
        let builder = Runtime::builder().driver(driver).shutdown_timeout(Duration::MAX);
        let runtime = builder.build().expect("the driver is there");
        let (ended, is_ended) = mpsc::channel();
        let (started, has_started) = mpsc::channel();
        let (release, may_end) = mpsc::channel::<()>();
        let (mut stream, _peer) = unix_peer().expect("descriptors are free");
        runtime.block_on(async {
            drop(spawn_blocking(move || {
                started.send(()).expect("the test listens");
                may_end.recv().expect_err("it is released by a drop");
                ended.send("by itself").expect("the test listens");
            }));
            drop(spawn(async move { stream.recv().await.map(drop) }));
            yield_now().await;
        });
        has_started.recv().expect("the closure runs");
        let releasing = thread::spawn(move || drop(release));
        let report = runtime.shut_down();
        assert_eq!((report.running_closures, report.leaked_operations), (0, 0), "{driver}");
        assert_eq!(is_ended.try_recv(), Ok("by itself"), "{driver}");
        releasing.join().expect("it does not panic");
    }
}

#[test]
fn drain_without_limit_waits_for_all_tasks() {
    for driver in test_support::drivers() {
        let builder = Runtime::builder().driver(driver).drain_timeout(Duration::MAX);
        let runtime = builder.build().expect("the driver is there");
        let ended = Rc::new(Cell::new(0));
        runtime.block_on(async {
            for n in 0..3 {
                let ended = ended.clone();
                drop(spawn(async move {
                    corering::time::sleep(Duration::from_millis(n)).await;
                    ended.set(ended.get() + 1);
                }));
            }
        });
        assert_eq!((runtime.shut_down().cancelled_tasks, ended.get()), (0, 3), "{driver}");
    }
}

#[corering::test]
async fn durations_without_end_are_for_ever_everywhere() -> io::Result<()> {
    use corering::time::{interval, sleep, timeout, within};
    let for_ever = Duration::MAX;
    let mut beat = interval(for_ever);
    beat.tick().await;
    beat.reset();
    let (mut stream, mut peer) = unix_peer()?;
    let waiting = async {
        futures_util::join!(sleep(for_ever), beat.tick());
    };
    let receiving = timeout(for_ever, within(for_ever, stream.recv()));
    peer.write_all(b"x")?;
    futures_util::select! {
        () = futures_util::FutureExt::fuse(Box::pin(waiting)) => panic!("for ever is over"),
        received = futures_util::FutureExt::fuse(Box::pin(receiving)) => {
            assert_eq!(&*received.expect("it was sent")?, b"x");
        }
    }
    Ok(())
}

#[test]
fn tasks_go_on_in_the_next_block_on() {
    for (_, runtime) in runtimes() {
        let (task, mut peer) = runtime.block_on(async {
            let (mut stream, peer) = unix_peer().expect("descriptors are free");
            let task = spawn(async move { stream.recv().await.map(|received| received.to_vec()) });
            yield_now().await;
            (task, peer)
        });
        peer.write_all(b"between").expect("there is room");
        let received = runtime.block_on(task).expect("it does not panic").expect("it was sent");
        assert_eq!(received, b"between");
    }
}

#[test]
fn main_future_may_borrow() {
    for (_, runtime) in runtimes() {
        let text = String::from("on the stack");
        let mut count = 0;
        runtime.block_on(async {
            yield_now().await;
            count += text.len();
        });
        assert_eq!(count, 12);
    }
}

#[test]
fn tasks_that_end_in_time_are_let_go_on_and_the_others_are_dropped() {
    for driver in test_support::drivers() {
        let builder = Runtime::builder().driver(driver).drain_timeout(Duration::from_millis(300));
        let runtime = builder.build().expect("the driver is there");
        let ended = Rc::new(Cell::new(false));
        let dropped = Rc::new(RefCell::new(Some(())));
        let (flag, held) = (ended.clone(), Rc::downgrade(&dropped));
        let mut peers = Vec::new();
        runtime.block_on(async {
            let (mut stream, mut peer) = unix_peer().expect("descriptors are free");
            peer.write_all(b"x").expect("there is room");
            peers.push(peer);
            drop(spawn(async move {
                stream.recv().await.expect("it was sent");
                flag.set(true);
            }));
            let (mut stream, peer) = unix_peer().expect("descriptors are free");
            peers.push(peer);
            drop(spawn(async move {
                let _held = dropped;
                drop(stream.recv().await);
            }));
        });
        let report = runtime.shut_down();
        assert!(ended.get(), "{driver}");
        assert!(held.upgrade().is_none(), "{driver}");
        assert_eq!((report.cancelled_tasks, report.leaked_operations), (1, 0), "{driver}");
        assert!(ends(&peers[1]), "{driver}");
    }
}

#[test]
fn task_that_spawns_and_reads_when_it_is_dropped_does_not_hold_the_end_up() {
    struct Busy(u32);
    impl Drop for Busy {
        fn drop(&mut self) {
            if self.0 > 0 {
                let next = Busy(self.0 - 1);
                drop(spawn(async move {
                    let _next = next;
                    let (mut stream, _peer) = unix_peer().expect("descriptors are free");
                    drop(stream.recv().await);
                }));
            }
        }
    }
    for (driver, runtime) in runtimes() {
        runtime.block_on(async {
            drop(spawn(async {
                let _busy = Busy(5);
                pending::<()>().await;
            }));
            yield_now().await;
        });
        assert_eq!(runtime.shut_down().leaked_operations, 0, "{driver}");
    }
}

#[test]
fn twenty_runtimes_live_on_one_thread() {
    for driver in test_support::drivers() {
        // A thread has 16 places for registered rings.
        let runtimes: Vec<_> = (0..20)
            .map(|_| Runtime::builder().driver(driver).build().expect("the driver is there"))
            .collect();
        let mut pairs = Vec::new();
        for runtime in &runtimes {
            pairs.push(runtime.block_on(async {
                let (mut stream, mut peer) = tcp_peer().await?;
                drop_in_flight(stream.recv()).await;
                peer.write_all(b"to each its own")?;
                io::Result::Ok((stream, peer))
            }));
        }
        for (runtime, pair) in runtimes.iter().zip(pairs).rev() {
            let (mut stream, _peer) = pair.expect("sockets work");
            let received = runtime.block_on(stream.recv()).expect("it was sent");
            assert_eq!(&*received, b"to each its own");
        }
    }
}

#[test]
fn hundred_runtimes_in_sequence_leak_no_descriptor() {
    const TEST: &str = "hundred_runtimes_in_sequence_leak_no_descriptor";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    for driver in test_support::drivers() {
        let open = || std::fs::read_dir("/proc/self/fd").expect("proc is mounted").count();
        let before = open();
        for _ in 0..100 {
            let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
            runtime
                .block_on(async {
                    let (listener, address) = listener().await?;
                    let _client = std::net::TcpStream::connect(address)?;
                    let mut server = listener.accept().await?;
                    drop_in_flight(server.recv()).await;
                    drop(spawn(async move { listener.accept().await.map(drop) }));
                    spawn_blocking(|| ()).await.expect("it does not panic");
                    io::Result::Ok(())
                })
                .expect("sockets work");
            // Waits also for the thread of the pool, which lets go of its waker last.
            runtime.shut_down();
        }
        assert_eq!(open(), before, "{driver}");
    }
}

#[test]
fn signals_interrupt_the_wait_and_nothing_else() {
    const TEST: &str = "signals_interrupt_the_wait_and_nothing_else";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    extern "C" fn ignore(_: libc::c_int) {}
    // SAFETY: zeroed is a valid sigaction: no flags, so no call is taken up again, and no mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = ignore as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the action outlives the call, and its handler does nothing.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) }, 0);
    for (driver, runtime) in runtimes() {
        // SAFETY: no argument is passed.
        let shard = unsafe { libc::gettid() };
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let (mut stream, mut peer) = runtime.block_on(tcp_peer()).expect("sockets work");
        let storm = thread::spawn(move || {
            let mut answered = 0;
            let mut buffer = [0; 1];
            while !is_over.load(Ordering::Relaxed) {
                // SAFETY: numbers are passed, and the shard's thread waits for this one.
                unsafe { libc::syscall(libc::SYS_tgkill, process::id(), shard, libc::SIGUSR1) };
                if answered < 200 {
                    peer.write_all(b"x").expect("the shard reads");
                    peer.read_exact(&mut buffer).expect("the shard answers");
                    answered += 1;
                }
            }
        });
        runtime.block_on(async {
            for _ in 0..200 {
                let received = stream.recv().await.expect("a signal is no error");
                stream.write_all(received).await.expect("a signal is no error");
            }
            // Asleep, and woken by signals alone, until the count shows it.
            while corering::metrics().enter_interrupted == 0 {
                let limit = Duration::from_millis(1);
                within(limit, stream.recv()).await.expect_err("nothing is sent");
            }
        });
        over.store(true, Ordering::Relaxed);
        storm.join().expect("it does not panic");
        assert!(runtime.metrics().enter_interrupted > 0, "{driver}");
    }
}

#[test]
fn batch_of_completions_is_gathered_but_never_waited_for() {
    let configure = |builder: corering::Builder| builder.reap_batch(64);
    test_support::run_configured("batch_of_completions", None, configure, || async {
        let (mut client, server) = tcp_pair().await?;
        let server = spawn(echo(server));
        // Alone in the ring, a message would wait for 63 others.
        for _ in 0..100 {
            client.write_all("alone").await?;
            client.read_exact(vec![0; 5], 5).await?;
        }
        drop(client);
        server.await.expect("it does not panic")?;
        let mut pairs = Vec::new();
        for _ in 0..100 {
            pairs.push(unix_peer()?);
        }
        let (mut streams, mut peers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        for round in 0..5_u8 {
            for peer in &mut peers {
                peer.write_all(&[round])?;
            }
            for stream in &mut streams {
                assert_eq!(*stream.recv().await?, [round]);
            }
        }
        io::Result::Ok(())
    });
}

#[test]
fn sockets_that_stall_take_no_worker_thread_of_the_kernel() {
    const TEST: &str = "sockets_that_stall_take_no_worker_thread_of_the_kernel";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    test_support::run(TEST, Some(Driver::Uring), || async {
        let mut stalled = Vec::new();
        let mut tasks = JoinSet::new();
        let (listener, address) = listener().await?;
        for number in 0..100 {
            let (mut stream, peer) = unix_peer()?;
            stalled.push(peer);
            tasks.spawn(async move {
                match number % 3 {
                    0 => drop(stream.recv().await),
                    1 => drop(stream.read(Vec::with_capacity(64)).await),
                    _ => drop(stream.write_all(vec![0; 1 << 20]).await),
                }
            });
        }
        tasks.spawn(async move { drop(listener.accept().await) });
        for _ in 0..100 {
            yield_now().await;
        }
        let workers = thread_names().iter().filter(|name| name.starts_with("iou-wrk")).count();
        assert_eq!(workers, 0);
        drop(std::net::TcpStream::connect(address)?);
        io::Result::Ok(())
    });
}

fn thread_names() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("proc is mounted");
    let name = |task: io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.expect("proc lists").path().join("comm")).ok()
    };
    tasks.filter_map(name).collect()
}

#[test]
fn default_builder_is_what_the_runtime_begins_with() {
    assert_eq!(format!("{:?}", Builder::default()), format!("{:?}", Runtime::builder()));
}
