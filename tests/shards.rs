//! Several shards of one program: closures, values and connections that go from one to another.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/child.rs"]
mod child;
#[allow(dead_code)]
#[path = "common/net.rs"]
mod net;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use child::Child;
use corering::net::{TcpDetached, TcpListener, TcpStream};
use corering::sync::channel::SendError;
use corering::time::within;
use corering::{
    Builder, Runtime, Shard, ShardError, ShardFailure, shard_channel, spawn, spawn_blocking,
    test_support, yield_now,
};
use net::{POLICIES, drop_in_flight, pattern, poll_once, receive_all, tcp_peer, unix_peer};

/// So many shards on each driver under test, on however few processors.
fn on_shards<T: Send, F: Future<Output = T>>(
    count: usize,
    main: impl Fn(Shard) -> F + Send + Sync,
) -> Vec<Vec<T>> {
    let run = |driver| {
        let builder = Runtime::builder().driver(driver).shards(count).oversubscribe(true);
        builder.run(&main).expect("shards can be started")
    };
    test_support::drivers().into_iter().map(run).collect()
}

#[test]
fn what_shards_return_comes_by_number() {
    for outputs in on_shards(4, |shard| async move { (shard.id(), shard.count()) }) {
        assert_eq!(outputs, [(0, 4), (1, 4), (2, 4), (3, 4)]);
    }
}

#[test]
fn shards_run_on_the_driver_that_was_asked_for() {
    let drivers = test_support::drivers();
    for (driver, told) in
        drivers.into_iter().zip(on_shards(2, |shard| async move { shard.driver() }))
    {
        assert_eq!(told, [driver; 2]);
    }
}

#[test]
fn build_refuses_several_shards_and_says_what_run_says() {
    for driver in test_support::drivers() {
        let builder = |count| Runtime::builder().driver(driver).shards(count);
        for count in [0, 4000] {
            let built = builder(count).build().expect_err("it is not one");
            let run = builder(count).run(|_| async {}).expect_err("too many, or none");
            assert_eq!((built.kind(), built.to_string()), (run.kind(), run.to_string()));
        }
        let error = builder(2).oversubscribe(true).build().expect_err("it is not one");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("run(..)"), "{error}");
        builder(1).build().expect("it is one").block_on(async {});
    }
}

#[test]
fn each_shard_has_a_thread_of_its_own() {
    for threads in on_shards(3, |_| async { thread::current().id() }) {
        assert!(threads[0] != threads[1] && threads[1] != threads[2] && threads[0] != threads[2]);
    }
}

#[test]
fn closure_runs_on_the_other_shard_and_its_result_comes_back() {
    on_shards(3, |shard| async move {
        for other in 0..shard.count() {
            let here = thread::current().id();
            // The future is made there, so it may hold what cannot be sent.
            let there = shard.submit_to(other, move || async move {
                let local = Rc::new(Cell::new(other));
                yield_now().await;
                (thread::current().id(), local.get())
            });
            let (there, number) = there.await.expect("the shard is there");
            assert_eq!((there == here, number), (other == shard.id(), other));
        }
    });
}

#[test]
fn thousand_closures_from_all_sides_are_all_answered() {
    for sums in on_shards(3, |shard| async move {
        let mut sum = 0;
        for round in 0..1000_usize {
            let answer = shard.submit_to((shard.id() + round) % 3, move || async move { round });
            sum += answer.await.expect("the shard is there");
        }
        sum
    }) {
        assert_eq!(sums, [499_500; 3]);
    }
}

#[test]
fn closure_does_io_on_the_other_shard() {
    on_shards(2, |shard| async move {
        let other = 1 - shard.id();
        let received = shard.submit_to(other, || async {
            let (mut stream, mut peer) = unix_peer()?;
            peer.write_all(b"over there")?;
            io::Result::Ok(stream.recv().await?.to_vec())
        });
        assert_eq!(
            received.await.expect("the shard is there").expect("sockets work"),
            b"over there"
        );
    });
}

#[test]
fn closure_runs_though_nobody_waits_for_its_result() {
    let ran = Arc::new(AtomicUsize::new(0));
    on_shards(2, |shard| {
        let ran = ran.clone();
        async move {
            let before = ran.load(Ordering::SeqCst);
            if shard.id() == 1 {
                return;
            }
            let count = ran.clone();
            drop(shard.submit_to(1, move || async move {
                yield_now().await;
                count.fetch_add(1, Ordering::SeqCst);
            }));
            net::until(|| ran.load(Ordering::SeqCst) > before).await;
        }
    });
    assert_eq!(ran.load(Ordering::SeqCst), test_support::drivers().len());
}

#[test]
fn shard_that_does_not_exist_is_an_error_that_says_how_many_there_are() {
    on_shards(2, |shard| async move {
        let error = shard.submit_to(2, || async {}).await.expect_err("there are two");
        assert!(matches!(error, ShardError::NoSuchShard { shard: 2, count: 2 }));
        assert!(error.to_string().contains("no shard 2: the 2 shards"), "{error}");
    });
}

#[test]
fn shard_that_has_ended_is_an_error() {
    for shards in on_shards(2, |shard| async move { shard }) {
        let runtime = Runtime::builder().driver(shards[0].driver()).build().expect("it was there");
        let answer = runtime.block_on(shards[0].submit_to(1, || async { 7 }));
        assert!(matches!(answer, Err(ShardError::Gone)));
    }
}

#[test]
fn task_that_its_shard_ended_before_its_end_is_an_error() {
    for mut answers in on_shards(2, |shard| async move {
        if shard.id() == 1 {
            return None;
        }
        // Never ends; when both main futures have, its shard drops it.
        Some(Box::pin(shard.submit_to(1, std::future::pending::<()>)))
    }) {
        let answer = answers.swap_remove(0).expect("shard 0 returned it");
        let runtime = Runtime::builder().build().expect("a driver is there");
        assert!(matches!(runtime.block_on(answer), Err(ShardError::Gone)));
    }
}

#[test]
fn panic_on_the_other_shard_is_an_error_here_and_the_shard_lives_on() {
    on_shards(2, |shard| async move {
        let other = 1 - shard.id();
        let in_future = shard.submit_to(other, || async { panic!("in the future") });
        let error = in_future.await.expect_err("it panicked");
        assert!(
            matches!(&error, ShardError::Panicked(_))
                && error.to_string().contains("in the future"),
            "{error}"
        );
        let in_closure = shard.submit_to(other, || {
            panic!("in the closure");
            #[allow(unreachable_code)]
            std::future::ready(())
        });
        let error = in_closure.await.expect_err("it panicked");
        assert!(error.to_string().contains("in the closure"), "{error}");
        assert_eq!(shard.submit_to(other, || async { 3 }).await.expect("it lives on"), 3);
    });
}

#[test]
fn panic_in_a_main_future_is_passed_on_when_the_others_have_ended() {
    let ended = AtomicUsize::new(0);
    let run = catch_unwind(AssertUnwindSafe(|| {
        let builder = Runtime::builder().driver(test_support::drivers()[0]).shards(3);
        builder.oversubscribe(true).run(|shard| {
            let ended = &ended;
            async move {
                if shard.id() == 1 {
                    panic!("on shard 1");
                }
                for _ in 0..100 {
                    yield_now().await;
                }
                ended.fetch_add(1, Ordering::SeqCst);
            }
        })
    }));
    let payload = run.expect_err("it is passed on");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"on shard 1"));
    assert_eq!(ended.load(Ordering::SeqCst), 2);
}

/// Runs a test again in a child, once for each driver, and gives what it said on standard error.
fn told_by_child(test: &str) -> String {
    let output = Child::of(test).output();
    let told = child::text(&output.stderr);
    assert!(output.status.success(), "{told}\n{}", child::text(&output.stdout));
    told
}

fn two_shards(driver: corering::Driver, choice: ShardFailure) -> Builder {
    let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
    builder.on_shard_failure(choice)
}

#[test]
fn error_of_one_shard_is_told_and_ends_the_others_on_demand() {
    const TEST: &str = "error_of_one_shard_is_told_and_ends_the_others_on_demand";
    if !child::is_child() {
        let told = told_by_child(TEST);
        let lines: Vec<_> = told.lines().filter(|line| line.contains("has failed")).collect();
        assert_eq!(lines.len(), test_support::drivers().len(), "{told}");
        let line = "shard 1 of 2 has failed: cannot listen";
        assert!(
            lines.iter().all(|told| told.contains(line) && told.contains("end, too")),
            "{told}"
        );
        return;
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound");
    for driver in test_support::drivers() {
        let dropped = AtomicUsize::new(0);
        let ended = two_shards(driver, ShardFailure::End).try_run(|shard| {
            let dropped = &dropped;
            async move {
                if shard.id() == 1 {
                    // It answers when its main future has been polled, and so has what it counts.
                    shard.submit_to(0, || async {}).await.expect("it serves until this fails");
                    return TcpListener::bind(address).await.map(drop);
                }
                let _counts = OnDrop(|| {
                    dropped.fetch_add(1, Ordering::SeqCst);
                });
                std::future::pending().await
            }
        });
        let error: io::Error = ended.expect_err("the address is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{driver}");
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "{driver}");
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn error_of_one_shard_is_told_while_the_others_go_on() {
    const TEST: &str = "error_of_one_shard_is_told_while_the_others_go_on";
    if !child::is_child() {
        let told = told_by_child(TEST);
        // The line comes before the other shard has ended.
        let failed = told.find("shard 0 of 2 has failed: out of luck; the others go on");
        let ended = told.find("the other has ended");
        assert!(failed.is_some() && failed < ended, "{told}");
        return;
    }
    for driver in test_support::drivers() {
        let failed = Arc::new(AtomicUsize::new(0));
        let ended = two_shards(driver, ShardFailure::GoOn).try_run(|shard| {
            let failed = failed.clone();
            async move {
                if shard.id() == 0 {
                    // The other ends when this future is gone and its failure was told.
                    spawn(async move {
                        yield_now().await;
                        failed.fetch_add(1, Ordering::SeqCst);
                    });
                    return Err(io::Error::other("out of luck"));
                }
                net::until(|| failed.load(Ordering::SeqCst) == 1).await;
                eprintln!("the other has ended");
                Ok(())
            }
        });
        assert_eq!(ended.expect_err("of shard 0").to_string(), "out of luck", "{driver}");
    }
}

#[test]
fn panic_of_one_shard_is_told_and_ends_the_others_on_demand() {
    const TEST: &str = "panic_of_one_shard_is_told_and_ends_the_others_on_demand";
    if !child::is_child() {
        let told = told_by_child(TEST);
        assert!(told.contains("shard 0 of 2 has failed: the task panicked: no luck"), "{told}");
        assert!(told.contains("shard 1 of 2 has failed: the task panicked: no luck"), "{told}");
        return;
    }
    for driver in test_support::drivers() {
        for unlucky in [0, 1] {
            let run = catch_unwind(AssertUnwindSafe(|| {
                two_shards(driver, ShardFailure::End).run(|shard| async move {
                    if shard.id() == unlucky {
                        panic!("no luck");
                    }
                    std::future::pending::<()>().await;
                })
            }));
            assert_eq!(run.expect_err("passed on").downcast_ref::<&str>(), Some(&"no luck"));
        }
    }
}

#[test]
fn shard_whose_main_future_has_ended_serves_the_others() {
    on_shards(2, |shard| async move {
        if shard.id() == 1 {
            return;
        }
        for _ in 0..100 {
            yield_now().await;
        }
        // By now the other has nothing left of its own.
        for number in 0..100 {
            let answer = shard.submit_to(1, move || async move { number }).await;
            assert_eq!(answer.expect("it still serves"), number);
        }
    });
}

#[test]
fn channel_brings_values_to_another_shard_in_order() {
    let drivers = test_support::drivers().len();
    let ends: Vec<_> = (0..drivers).map(|_| shard_channel::<usize>()).collect();
    let (senders, receivers): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
    let (senders, receivers) = (Mutex::new(senders), Mutex::new(receivers));
    on_shards(2, |shard| {
        let (senders, receivers) = (&senders, &receivers);
        async move {
            if shard.id() == 0 {
                let sender = senders.lock().expect("no panic").pop().expect("one for each driver");
                for number in 0..1000 {
                    sender.send(number).expect("the other receives");
                    if number % 100 == 0 {
                        yield_now().await;
                    }
                }
                return;
            }
            let mut receiver =
                receivers.lock().expect("no panic").pop().expect("one for each driver");
            for number in 0..1000 {
                assert_eq!(receiver.recv().await, Some(number));
            }
            assert_eq!(receiver.recv().await, None);
        }
    });
}

#[corering::test]
async fn channel_gives_a_value_back_that_nobody_will_receive() {
    let (sender, receiver) = shard_channel();
    drop(receiver);
    assert_eq!(sender.send("unheard"), Err(SendError("unheard")));
}

#[corering::test]
async fn channel_keeps_a_value_when_its_receive_is_dropped() {
    let (sender, mut receiver) = shard_channel();
    {
        let mut receive = std::pin::pin!(receiver.recv());
        assert!(poll_once(&mut receive).await.is_pending());
        sender.send(1).expect("the receiver is there");
    }
    assert_eq!(receiver.try_recv(), Ok(1));
    let thread = thread::spawn(move || sender.clone().send(2));
    assert_eq!(receiver.recv().await, Some(2));
    thread.join().expect("it does not panic").expect("the receiver was there");
    assert_eq!(receiver.recv().await, None);
}

#[test]
fn connection_goes_to_another_shard_with_its_unread_bytes() {
    for policy in POLICIES {
        for driver in test_support::drivers() {
            let builder = Runtime::builder().driver(driver).receive_policy(policy);
            let builder = builder.shards(2).oversubscribe(true);
            let ends = builder.run(|shard| async move {
                if shard.id() == 1 {
                    return Ok(());
                }
                let (mut stream, mut peer) = tcp_peer().await?;
                // Read in part, with a receive armed and more on its way.
                drop_in_flight(stream.recv()).await;
                peer.write_all(&pattern(1000))?;
                let (_, first) = stream.read(Vec::with_capacity(100)).await?;
                peer.write_all(b"late")?;
                let detached = stream.detach().await?;
                let answered = shard.submit_to(1, move || serve(detached));
                peer.shutdown(std::net::Shutdown::Write)?;
                let rest = answered.await.expect("the shard is there")?;
                let mut expected = pattern(1000);
                expected.extend_from_slice(b"late");
                assert_eq!([first, rest].concat(), expected);
                let mut answer = String::new();
                peer.read_to_string(&mut answer)?;
                assert_eq!(answer, "from the other shard");
                io::Result::Ok(())
            });
            ends.expect("shards can be started")
                .into_iter()
                .for_each(|end| end.expect("sockets work"));
        }
    }
}

async fn serve(detached: TcpDetached) -> io::Result<Vec<u8>> {
    let mut stream = detached.into_stream();
    let all = receive_all(&mut stream).await?;
    stream.write_all("from the other shard").await?;
    Ok(all)
}

#[test]
fn connection_of_either_driver_can_be_used_on_the_other() {
    // A socket of the ring's blocks and one of epoll's does not: each driver sets what it needs.
    let drivers = test_support::drivers();
    for from in drivers.iter().copied() {
        for to in drivers.iter().copied() {
            let first = Runtime::builder().driver(from).build().expect("the driver is there");
            let second = Runtime::builder().driver(to).build().expect("the driver is there");
            let (detached, mut peer) = first
                .block_on(async {
                    let (mut stream, peer) = tcp_peer().await?;
                    drop_in_flight(stream.recv()).await;
                    io::Result::Ok((stream.detach().await?, peer))
                })
                .expect("sockets work");
            second.block_on(async {
                let mut stream = detached.into_stream();
                drop_in_flight(stream.recv()).await;
                peer.write_all(b"question").expect("there is room");
                assert_eq!(&*stream.recv().await.expect("it was sent"), b"question");
                stream.write_all(vec![1; 100_000]).await.expect("there is room");
                stream.close().await.expect("it can be closed");
            });
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).expect("it was sent");
            assert_eq!(answer.len(), 100_000, "{from} to {to}");
        }
    }
}

#[test]
fn detached_stream_that_nobody_takes_is_closed_at_once() {
    for policy in POLICIES {
        let configure = |builder: Builder| builder.receive_policy(policy);
        test_support::run_configured("detached_stream", None, configure, || async {
            let (mut stream, peer) = unix_peer()?;
            drop_in_flight(stream.recv()).await;
            yield_now().await;
            drop(stream.detach().await?);
            // Nothing of the stream is left in this shard's ring, which is not visited before.
            assert!(net::ends(&peer));
            io::Result::Ok(())
        });
    }
}

#[test]
fn listeners_of_all_shards_share_a_port() {
    let drivers = test_support::drivers();
    for driver in drivers {
        let address = Mutex::new(None);
        let served = AtomicUsize::new(0);
        let builder = Runtime::builder().driver(driver).shards(3).oversubscribe(true);
        let ends = builder.run(|shard| {
            let (address, served) = (&address, &served);
            async move {
                let listener = {
                    let known = *address.lock().expect("no panic");
                    match known {
                        Some(known) => TcpListener::builder().reuse_port(true).bind(known).await?,
                        None if shard.id() == 0 => {
                            let listener =
                                TcpListener::builder().reuse_port(true).bind("127.0.0.1:0").await?;
                            *address.lock().expect("no panic") = Some(listener.local_addr()?);
                            listener
                        }
                        None => {
                            net::until(|| address.lock().expect("no panic").is_some()).await;
                            let known = address.lock().expect("no panic").expect("it was set");
                            TcpListener::builder().reuse_port(true).bind(known).await?
                        }
                    }
                };
                let address = listener.local_addr()?;
                let accepting = spawn(async move {
                    loop {
                        let mut stream = listener.accept().await?;
                        let received = stream.recv().await?;
                        stream.write_all(received).await?;
                    }
                    #[allow(unreachable_code)]
                    io::Result::Ok(())
                });
                // Which of the listeners answers is for the kernel to choose.
                for _ in 0..20 {
                    let mut client = TcpStream::connect(address).await?;
                    client.write_all("hello").await?;
                    assert_eq!(client.read_exact(vec![0; 5], 5).await?, b"hello");
                    served.fetch_add(1, Ordering::SeqCst);
                }
                net::until(|| served.load(Ordering::SeqCst) == 60).await;
                accepting.abort();
                io::Result::Ok(())
            }
        });
        ends.expect("shards can be started").into_iter().for_each(|end| end.expect("sockets work"));
    }
}

#[test]
fn more_shards_than_processors_is_an_error_that_gives_both_numbers() {
    let processors = thread::available_parallelism().expect("Linux knows it").get();
    // A quota may be smaller than the number of processors, which is what counts.
    let allowed = allowed_processors().max(processors);
    let builder = Runtime::builder().driver(test_support::drivers()[0]).shards(allowed + 1);
    let error = builder.run(|_| async {}).expect_err("there are too many");
    let told = error.to_string();
    assert!(told.contains(&format!("{} shards on {allowed} processors", allowed + 1)), "{told}");
    assert!(told.contains("oversubscribe"), "{told}");
}

#[test]
fn no_shards_at_all_is_an_error() {
    let error = Runtime::builder().shards(0).run(|_| async {}).expect_err("nothing would run");
    assert!(error.to_string().contains("at least one"), "{error}");
}

#[test]
fn shards_are_pinned_to_processors_of_their_own() {
    for driver in test_support::drivers() {
        let shards = allowed_processors().min(4);
        let main = |_| async {
            let mine = affinity();
            let pool = spawn_blocking(|| affinity().len()).await.expect("it does not panic");
            (mine, pool)
        };
        let all = Runtime::builder().driver(driver).shards(shards).run(main);
        let mut seen = Vec::new();
        for (mine, pool) in all.expect("there are as many processors") {
            let [processor] = mine[..] else { panic!("{mine:?} is not one processor") };
            assert!(!seen.contains(&processor), "two shards on processor {processor}");
            seen.push(processor);
            assert_eq!(pool, allowed_processors(), "a thread of the pool is pinned");
        }
    }
}

#[test]
fn shards_that_are_too_many_are_not_pinned() {
    let main = |_| async { affinity().len() };
    let builder = Runtime::builder().driver(test_support::drivers()[0]);
    let count = allowed_processors() + 1;
    let all = builder.shards(count).oversubscribe(true).run(main).expect("they are allowed");
    assert_eq!(all, vec![allowed_processors(); count]);
}

fn allowed_processors() -> usize {
    affinity().len()
}

/// The processors that the calling thread may run on.
fn affinity() -> Vec<usize> {
    // SAFETY: zeroed is a valid set of processors, the empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer leads to a set of that size; 0 is the calling thread.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) }, 0);
    // SAFETY: the index is within the set.
    (0..1024).filter(|&processor| unsafe { libc::CPU_ISSET(processor, &set) }).collect()
}

#[test]
fn descriptors_are_handed_over_by_one_acceptor() {
    for driver in test_support::drivers() {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..2).map(|_| shard_channel::<TcpDetached>()).unzip();
        let receivers = Mutex::new(receivers);
        let senders = Mutex::new(Some(senders));
        let builder: Builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let ends = builder.run(|shard| {
            let (senders, receivers) = (&senders, &receivers);
            async move {
                let mut receiver = {
                    let mut receivers = receivers.lock().expect("no panic");
                    receivers.pop().expect("one for each shard")
                };
                let worker = spawn(async move {
                    let mut served = 0;
                    while let Some(detached) = receiver.recv().await {
                        let mut stream = detached.into_stream();
                        let received = stream.recv().await?;
                        stream.write_all(received).await?;
                        served += 1;
                    }
                    io::Result::Ok(served)
                });
                if shard.id() == 0 {
                    let senders = senders.lock().expect("no panic").take().expect("taken once");
                    let (listener, address) = net::listener().await?;
                    for number in 0..20_u8 {
                        let mut client = std::net::TcpStream::connect(address)?;
                        let accepted = listener.accept().await?;
                        let to = &senders[usize::from(number) % 2];
                        assert!(to.send(accepted.detach().await?).is_ok());
                        client.write_all(&[number])?;
                        let answered = spawn_blocking(move || {
                            let mut answer = [0];
                            client.read_exact(&mut answer).map(|()| answer)
                        });
                        assert_eq!(answered.await.expect("it does not panic")?, [number]);
                    }
                }
                worker.await.expect("it does not panic")
            }
        });
        let served = ends.expect("shards can be started");
        for end in served {
            assert_eq!(end.expect("sockets work"), 10);
        }
    }
}

#[test]
fn time_limit_on_a_shard_fires_while_others_are_busy() {
    on_shards(2, |shard| async move {
        if shard.id() == 1 {
            for _ in 0..2000 {
                yield_now().await;
            }
            return;
        }
        let (mut stream, _peer) = unix_peer().expect("descriptors are free");
        let limit = std::time::Duration::from_millis(1);
        within(limit, stream.recv()).await.expect_err("nothing is sent");
    });
}
