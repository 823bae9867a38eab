//! Handles by which any thread reaches a shard: closures and tasks that are sent there, and what becomes
//! of them when the runtime ends.

#[path = "common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use child::Child;
use corering::{
    Driver, Handle, RemoteHandle, Runtime, ShardError, ShardSender, shard_channel, spawn,
    spawn_blocking, test_support, yield_now,
};
use net::Random;

/// A runtime on a thread of its own, which runs until it is ended.
struct Served {
    handle: Handle,
    thread: JoinHandle<()>,
    end: ShardSender<()>,
}

impl Served {
    fn on(driver: Driver) -> Self {
        let (sender, receiver) = mpsc::channel();
        let (end, mut ended) = shard_channel();
        let thread = thread::spawn(move || {
            let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
            sender.send(runtime.handle()).expect("the test waits for it");
            runtime.block_on(async move { ended.recv().await });
        });
        Served { handle: receiver.recv().expect("it was sent"), thread, end }
    }

    fn thread(&self) -> ThreadId {
        self.thread.thread().id()
    }

    /// Ends the runtime, and waits until it is gone.
    fn end(self) {
        drop(self.end);
        self.thread.join().expect("the runtime ends in peace");
    }
}

/// A thread of this process, and a runtime that runs elsewhere, on each driver.
fn beside_a_runtime(body: impl Fn(&Served)) {
    for driver in test_support::drivers() {
        let served = Served::on(driver);
        body(&served);
        served.end();
    }
}

fn idle_runtimes() -> impl Iterator<Item = Runtime> {
    let build = |driver| Runtime::builder().driver(driver).build().expect("the driver is there");
    test_support::drivers().into_iter().map(build)
}

/// Sends the thread that it is dropped on.
struct DroppedOn(mpsc::Sender<ThreadId>);

impl Drop for DroppedOn {
    fn drop(&mut self) {
        // Nobody listens only if the test has failed already.
        let _ = self.0.send(thread::current().id());
    }
}

#[test]
fn handles_go_to_any_thread() {
    fn goes_anywhere<T: Send + Sync + Unpin + 'static>() {}
    goes_anywhere::<Handle>();
    goes_anywhere::<RemoteHandle<Cell<u8>>>();
}

#[test]
fn closure_and_future_run_on_the_thread_of_the_handle() {
    beside_a_runtime(|served| {
        let answer = served.handle.block_on(|| {
            let made_on = thread::current().id();
            // It may hold what cannot be sent.
            let local = Rc::new(Cell::new(0));
            async move {
                yield_now().await;
                local.set(7);
                (made_on, thread::current().id(), local.get())
            }
        });
        assert_eq!(answer.expect("it ends"), (served.thread(), served.thread(), 7));
    });
}

#[test]
fn task_of_another_runtime_is_awaited_here() {
    beside_a_runtime(|served| {
        for runtime in idle_runtimes() {
            let task = served.handle.spawn(|| async { thread::current().id() });
            let ran_on = runtime.block_on(task).expect("it ends");
            assert_eq!(ran_on, served.thread());
        }
    });
}

#[corering::test]
async fn task_of_the_same_shard_is_awaited_on_it() {
    let handle = Handle::current();
    let task = handle.spawn(|| async { Rc::new(thread::current().id()).as_ref().to_owned() });
    assert!(!task.is_finished(), "it runs in a later round");
    assert_eq!(task.await.expect("it ends"), thread::current().id());
}

#[corering::test]
async fn finished_handle_gives_its_output_at_its_first_poll() {
    let mut task = Handle::current().spawn(|| async { 7 });
    net::until(|| task.is_finished()).await;
    let polled = net::poll_once(&mut task).await;
    assert!(matches!(polled, std::task::Poll::Ready(Ok(7))), "{polled:?}");
}

#[test]
fn panics_come_back_and_the_shard_lives_on() {
    beside_a_runtime(|served| {
        let in_closure = served.handle.block_on(|| {
            panic!("in the closure");
            #[allow(unreachable_code)]
            std::future::ready(())
        });
        let in_future = served.handle.block_on(|| async {
            yield_now().await;
            panic!("in the future")
        });
        let in_drop = served.handle.block_on(|| {
            struct Grumpy;
            impl Drop for Grumpy {
                fn drop(&mut self) {
                    panic!("in the drop");
                }
            }
            let grumpy = Grumpy;
            std::future::poll_fn(move |_| {
                let _held = &grumpy;
                std::task::Poll::Ready(())
            })
        });
        for (ended, told) in
            [(in_closure, "in the closure"), (in_future, "in the future"), (in_drop, "in the drop")]
        {
            let error = ended.expect_err("it panicked");
            assert!(error.is_panic() && error.to_string().contains(told), "{error}");
        }
        assert_eq!(served.handle.block_on(|| async { 3 }).expect("it lives on"), 3);
    });
}

#[test]
fn abort_from_another_thread_drops_the_future_at_home() {
    beside_a_runtime(|served| {
        let (sender, dropped) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let task = served.handle.spawn(move || async move {
            let _dropped = DroppedOn(sender);
            begun.send(()).expect("the test waits for it");
            pending::<()>().await
        });
        has_begun.recv().expect("it begins");
        assert!(!task.is_finished());
        task.abort();
        task.abort();
        let error = task.join().expect_err("it was aborted");
        assert!(error.is_cancelled(), "{error}");
        // By then the future is gone.
        assert_eq!(dropped.try_recv(), Ok(served.thread()));
    });
}

#[test]
fn abort_before_the_closure_ran_keeps_it_from_running() {
    for runtime in idle_runtimes() {
        let (sender, dropped) = mpsc::channel();
        let guard = DroppedOn(sender);
        let task = runtime.handle().spawn(move || {
            let _guard = guard;
            async { panic!("it ran") }
        });
        task.abort();
        let ended: Result<(), _> = runtime.block_on(task);
        assert!(ended.expect_err("it was aborted").is_cancelled());
        assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
    }
}

#[corering::test]
async fn abort_from_its_own_poll_ends_a_task() {
    let (sender, mut receiver) = shard_channel::<Arc<RemoteHandle<()>>>();
    let task = Handle::current().spawn(move || async move {
        let itself = receiver.recv().await.expect("it was sent");
        itself.abort();
        drop(itself);
        pending::<()>().await
    });
    let task = Arc::new(task);
    sender.send(task.clone()).expect("the task waits");
    net::until(|| task.is_finished()).await;
    let task = Arc::into_inner(task).expect("the task is gone");
    assert!(task.await.expect_err("it was aborted").is_cancelled());
}

#[corering::test]
async fn abort_after_the_end_keeps_the_output() {
    let task = Handle::current().spawn(|| async { 7 });
    net::until(|| task.is_finished()).await;
    task.abort();
    assert_eq!(task.await.expect("it had ended"), 7);
}

#[test]
fn dropped_handle_lets_its_task_go_on() {
    beside_a_runtime(|served| {
        let (sender, receiver) = mpsc::channel();
        drop(served.handle.spawn(move || async move {
            yield_now().await;
            sender.send(thread::current().id()).expect("the test waits for it");
        }));
        assert_eq!(receiver.recv(), Ok(served.thread()));
    });
}

#[test]
fn posted_closures_run_in_order_past_a_panic() {
    beside_a_runtime(|served| {
        let (sender, receiver) = mpsc::channel();
        for number in 0..100 {
            let sender = sender.clone();
            let posted = served.handle.post(move || {
                sender.send((number, thread::current().id())).expect("the test waits for it");
                assert_ne!(number, 50, "a panic that ends here");
            });
            posted.expect("the runtime runs");
        }
        drop(sender);
        let ran: Vec<_> = receiver.iter().collect();
        assert_eq!(ran, (0..100).map(|number| (number, served.thread())).collect::<Vec<_>>());
    });
}

#[test]
fn closure_waits_while_its_runtime_is_not_inside_block_on() {
    for runtime in idle_runtimes() {
        let task = runtime.handle().spawn(|| async { 7 });
        assert!(!task.is_finished());
        runtime.block_on(async {
            net::until(|| task.is_finished()).await;
            assert_eq!(task.await.expect("it runs now"), 7);
        });
    }
}

#[test]
fn closure_of_a_runtime_that_never_ran_it_is_dropped_at_home() {
    for driver in test_support::drivers() {
        let (sender, receiver) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let home = thread::spawn(move || {
            let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
            sender.send(runtime.handle()).expect("the test waits for it");
            may_go_on.recv().expect("the test says so");
            runtime.block_on(async {});
        });
        let handle = receiver.recv().expect("it was sent");
        let (sender, dropped) = mpsc::channel();
        let guard = DroppedOn(sender);
        let task = handle.spawn(move || async move { drop(guard) });
        let id = home.thread().id();
        drop(handle);
        go_on.send(()).expect("the thread waits for it");
        home.join().expect("the runtime ends in peace");
        // A `block_on` that is ready at its first poll makes no round.
        assert!(task.join().expect_err("its runtime has ended").is_cancelled());
        assert_eq!(dropped.try_recv(), Ok(id));
    }
}

#[test]
fn ended_runtime_refuses_closure_which_is_dropped_here() {
    for driver in test_support::drivers() {
        let served = Served::on(driver);
        let handle = served.handle.clone();
        served.end();
        let (sender, dropped) = mpsc::channel();
        let (first, second) = (DroppedOn(sender.clone()), DroppedOn(sender));
        let task = handle.spawn(move || async move { drop(first) });
        assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
        assert!(task.is_finished());
        assert!(task.join().expect_err("it has ended").is_cancelled());
        let posted = handle.post(move || drop(second));
        assert!(matches!(posted, Err(ShardError::Gone)), "{posted:?}");
        assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
        let ended = handle.block_on(|| async {});
        assert!(ended.expect_err("it has ended").is_cancelled());
    }
}

#[test]
fn task_that_its_runtime_drops_is_told_as_cancelled() {
    for driver in test_support::drivers() {
        let served = Served::on(driver);
        let (begun, has_begun) = mpsc::channel();
        let task = served.handle.spawn(move || async move {
            begun.send(()).expect("the test waits for it");
            pending::<()>().await
        });
        has_begun.recv().expect("it begins");
        let joined = thread::spawn(move || task.join());
        served.end();
        let error = joined.join().expect("it does not panic").expect_err("its runtime has ended");
        assert!(error.is_cancelled(), "{error}");
    }
}

#[test]
fn spawned_task_is_one_task() {
    for runtime in idle_runtimes() {
        let task = runtime.handle().spawn(pending::<()>);
        runtime.block_on(async {
            yield_now().await;
            yield_now().await;
        });
        assert_eq!(runtime.shut_down().cancelled_tasks, 1);
        assert!(task.is_finished());
    }
}

#[test]
fn blocking_inside_a_runtime_is_refused() {
    fn told(code: impl FnOnce()) -> String {
        let payload = catch_unwind(AssertUnwindSafe(code)).expect_err("it is refused");
        payload.downcast_ref::<String>().expect("it has a text").clone()
    }
    beside_a_runtime(|served| {
        let other = served.handle.clone();
        let checks = move || {
            let (own, task) = (Handle::current(), other.spawn(|| async {}));
            let mut limited = other.spawn(|| async {});
            for handle in [own, other] {
                let told = told(|| drop(handle.block_on(|| async {})));
                assert!(told.starts_with("Handle::block_on inside a corering runtime"), "{told}");
                assert!(told.contains("await"), "{told}");
            }
            let with_a_limit = told(|| drop(limited.join_timeout(Duration::ZERO)));
            assert!(
                with_a_limit.starts_with("RemoteHandle::join_timeout inside"),
                "{with_a_limit}"
            );
            let without = told(|| drop(task.join()));
            assert!(without.starts_with("RemoteHandle::join inside"), "{without}");
        };
        served.handle.block_on(|| async move { checks() }).expect("each check holds");
        // On a thread of the pool it blocks no shard.
        for runtime in idle_runtimes() {
            let other = served.handle.clone();
            let answer = runtime
                .block_on(async { spawn_blocking(move || other.block_on(|| async { 7 })).await });
            assert_eq!(answer.expect("it does not panic").expect("it ends"), 7);
        }
    });
}

#[test]
fn current_handle_is_refused_outside_a_runtime() {
    assert!(Handle::try_current().is_none());
    let payload = catch_unwind(Handle::current).expect_err("there is no runtime");
    let told = payload.downcast_ref::<&str>().expect("it has a text");
    assert!(told.starts_with("Handle::current needs a corering runtime"), "{told}");
    // Between two `block_on`, too.
    for runtime in idle_runtimes() {
        runtime.block_on(async { assert!(Handle::try_current().is_some()) });
        assert!(Handle::try_current().is_none());
    }
}

#[test]
fn handles_of_shards_reach_each_and_no_others() {
    for driver in test_support::drivers() {
        let builder = Runtime::builder().driver(driver).shards(3).oversubscribe(true);
        let ran = builder.run(async |shard| {
            let here = thread::current().id();
            for number in 0..3 {
                let there = shard.handle(number).expect("there are three");
                let ran_on = there.spawn(|| async { thread::current().id() });
                let ran_on = ran_on.await.expect("it ends");
                assert_eq!(ran_on == here, number == shard.id());
            }
            let error = shard.handle(3).expect_err("there are three");
            assert!(matches!(error, ShardError::NoSuchShard { shard: 3, count: 3 }));
        });
        ran.expect("shards can be started");
    }
}

#[test]
fn forked_child_has_an_error_from_the_handle_of_its_parent() {
    const TEST: &str = "forked_child_has_an_error_from_the_handle_of_its_parent";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    for runtime in idle_runtimes() {
        let handle = runtime.handle();
        let before = handle.spawn(|| async { 7 });
        let code = runtime.block_on(async {
            // SAFETY: the test runs alone in its process, which has no other thread that holds a lock.
            let pid = unsafe { libc::fork() };
            if pid != 0 {
                let mut status = 0;
                // SAFETY: the pointer leads to an integer that outlives the call.
                assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
                assert_eq!(before.await.expect("the parent runs it"), 7);
                return status;
            }
            let checks = catch_unwind(AssertUnwindSafe(|| {
                let ran = Arc::new(());
                let held = ran.clone();
                let after = handle.spawn(move || async move { drop(held) });
                assert_eq!(Arc::strong_count(&ran), 1, "the closure is dropped");
                assert!(before.is_finished() && after.is_finished());
                assert!(before.join().expect_err("nobody runs it").is_cancelled());
                assert!(after.join().expect_err("nobody runs it").is_cancelled());
                assert!(matches!(handle.post(|| {}), Err(ShardError::Gone)));
                assert!(Handle::try_current().is_none());
            }));
            // SAFETY: _exit takes no pointer and runs no destructor.
            unsafe { libc::_exit(if checks.is_ok() { 0 } else { 1 }) }
        });
        assert_eq!(code, 0, "the child says why");
    }
}

#[test]
fn join_with_a_limit_leaves_a_task_that_takes_longer() {
    beside_a_runtime(|served| {
        let (end, mut ended) = shard_channel::<()>();
        let mut task = served.handle.spawn(move || async move {
            ended.recv().await;
            7
        });
        for limit in [Duration::ZERO, Duration::from_millis(1)] {
            assert!(task.join_timeout(limit).is_none());
        }
        drop(end);
        let joined = task.join_timeout(Duration::MAX);
        assert_eq!(joined.expect("there is no limit").expect("it ends"), 7);
    });
}

/// Counts the closures and futures of a storm that are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a thread of a storm does until the runtime has ended. Returns how many results it has got.
fn storm(handle: &Handle, alive: &Arc<AtomicUsize>, seed: u64) -> usize {
    let mut random = Random(seed);
    let mut kept = Vec::new();
    let mut results = 0;
    loop {
        let (yields, number) = (random.below(4), random.below(1000));
        let counted = Alive::new(alive);
        let task = handle.spawn(move || async move {
            let _counted = counted;
            for _ in 0..yields {
                yield_now().await;
            }
            if yields == 3 && number < 500 {
                pending::<()>().await;
            }
            number
        });
        match random.below(6) {
            0 => drop(task),
            1 => {
                task.abort();
                // It may have been faster.
                assert!(task.join().map_or_else(|error| error.is_cancelled(), |it| it == number));
            }
            2 if yields < 3 => match task.join() {
                Ok(result) => {
                    assert_eq!(result, number);
                    results += 1;
                }
                Err(error) => {
                    assert!(error.is_cancelled(), "{error}");
                    break;
                }
            },
            _ => kept.push((task, number)),
        }
        if kept.len() == 50 {
            let (task, _) = kept.swap_remove(random.below(50));
            task.abort();
        }
    }
    // Each has ended: with its result, or since it was aborted or its runtime has ended.
    for (task, number) in kept {
        match task.join() {
            Ok(result) => assert_eq!(result, number),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
    results
}

#[test]
fn storm_of_threads_loses_no_result_while_the_runtime_ends() {
    for driver in test_support::drivers() {
        for round in 0..10 {
            let served = Served::on(driver);
            let alive = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (1..=4)
                .map(|number| {
                    let (handle, alive) = (served.handle.clone(), alive.clone());
                    thread::spawn(move || storm(&handle, &alive, round * 4 + number))
                })
                .collect();
            // It ends amid what they do: after so many tasks of another thread.
            for _ in 0..100 * (round + 1) {
                served.handle.block_on(|| async {}).expect("it runs");
            }
            served.end();
            for thread in threads {
                thread.join().expect("no result is wrong, and none is lost");
            }
            assert_eq!(alive.load(Ordering::SeqCst), 0, "closures and futures are left");
        }
    }
}

#[test]
fn tasks_of_a_handle_may_spawn_and_reach_their_own_shard() {
    beside_a_runtime(|served| {
        let answer = served.handle.block_on(|| async {
            let own = Handle::current();
            let nested = spawn(async move { own.spawn(|| async { 7 }).await });
            nested.await.expect("it ends").expect("it ends")
        });
        assert_eq!(answer.expect("it ends"), 7);
    });
}
