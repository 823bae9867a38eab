//! Signals as futures and as streams, each test in a process of its own, since a handler is the process's.

#[path = "common/child.rs"]
mod child;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use child::Child;
use corering::signal::{SignalKind, Signals};
use corering::time::timeout;
use corering::{Driver, Runtime, signal, spawn_blocking};
use futures_util::future::FusedFuture;
use futures_util::{FutureExt, StreamExt, poll};

/// Runs a body in a child process, once on each driver that tests run on.
fn in_a_child<F: Future<Output = ()>>(test: &str, body: impl Fn() -> F) {
    if !child::is_child() {
        return Child::of(test).passes();
    }
    for driver in corering::test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver was asked for");
        runtime.block_on(body());
    }
}

#[test]
fn ctrl_c_completes_at_sigint_and_terminate_does_not() {
    in_a_child("ctrl_c_completes_at_sigint_and_terminate_does_not", || async {
        let mut terminated = signal::terminate();
        let interrupted = signal::ctrl_c();
        raise(libc::SIGINT);
        interrupted.await.expect("the handler is installed");
        assert!(poll!(&mut terminated).is_pending());
    });
}

#[test]
fn shutdown_completes_at_either_signal() {
    in_a_child("shutdown_completes_at_either_signal", || async {
        for number in [libc::SIGINT, libc::SIGTERM] {
            let stopped = signal::shutdown();
            raise(number);
            stopped.await.expect("the handler is installed");
        }
    });
}

#[test]
fn signal_says_that_it_has_ended_and_its_clone_for_itself() {
    in_a_child("signal_says_that_it_has_ended_and_its_clone_for_itself", || async {
        let mut stopped = signal::shutdown();
        raise(libc::SIGTERM);
        assert!(!stopped.is_terminated());
        (&mut stopped).await.expect("the handler is installed");
        assert!(stopped.is_terminated());
        let again = stopped.clone();
        assert!(!again.is_terminated());
        again.await.expect("it has come");
    });
}

#[test]
fn a_signal_wakes_a_shard_that_sleeps() {
    in_a_child("a_signal_wakes_a_shard_that_sleeps", || async {
        let stopped = signal::shutdown();
        let process = std::process::id() as i32;
        // Another thread, so that the shard may have gone to sleep by then or not.
        let sender = std::thread::spawn(move || kill(process, libc::SIGTERM));
        stopped.await.expect("the handler is installed");
        sender.join().expect("kill does not panic");
    });
}

#[test]
fn every_shard_gets_the_signal() {
    if !child::is_child() {
        return Child::of("every_shard_gets_the_signal").passes();
    }
    for driver in corering::test_support::drivers() {
        let builder = Runtime::builder().driver(driver).shards(3).oversubscribe(true);
        let told = builder.run(|shard| async move {
            let stopped = signal::shutdown();
            // The last one to answer has installed its listener, and so have the others.
            for other in 0..shard.count() {
                shard.submit_to(other, || async {}).await.expect("all shards serve");
            }
            if shard.id() == 0 {
                raise(libc::SIGTERM);
            }
            stopped.await.is_ok()
        });
        assert_eq!(told.expect("three shards can be started"), [true; 3], "on {driver}");
    }
}

#[test]
fn a_clone_hears_what_came_before_its_shard_asked() {
    if !child::is_child() {
        return Child::of("a_clone_hears_what_came_before_its_shard_asked").passes();
    }
    for driver in corering::test_support::drivers() {
        let stopped = signal::shutdown();
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let told = builder.run(|shard| {
            let stopped = stopped.clone();
            async move {
                if shard.id() == 0 {
                    raise(libc::SIGTERM);
                    stopped.clone().await.expect("the handler is installed");
                }
                // The other shard asks only when this one has seen the signal.
                shard.submit_to(1 - shard.id(), || async {}).await.expect("both shards serve");
                // Also a clone that is made only now.
                timeout(Duration::from_secs(60), stopped.clone())
                    .await
                    .is_ok_and(|told| told.is_ok())
            }
        });
        assert_eq!(told.expect("two shards can be started"), [true; 2], "on {driver}");
    }
}

#[test]
fn a_dropped_future_takes_the_signal_from_no_other() {
    in_a_child("a_dropped_future_takes_the_signal_from_no_other", || async {
        let (kept, dropped) = (signal::ctrl_c(), signal::ctrl_c());
        raise(libc::SIGINT);
        drop(dropped);
        kept.await.expect("the handler is installed");
    });
}

#[test]
fn outside_a_runtime_the_future_is_an_error() {
    in_a_child("outside_a_runtime_the_future_is_an_error", || async {});
    let error = futures_util::FutureExt::now_or_never(signal::ctrl_c()).expect("it does not wait");
    assert!(error.expect_err("nobody would wake it").to_string().contains("no corering runtime"));
}

#[test]
fn a_signal_after_the_futures_are_gone_is_swallowed() {
    if !child::is_child() {
        return Child::of("a_signal_after_the_futures_are_gone_is_swallowed").passes();
    }
    drop(signal::ctrl_c());
    // The process would end here.
    raise(libc::SIGINT);
}

#[test]
fn a_forked_child_ends_at_the_signal_as_by_default() {
    if !child::is_child() {
        return Child::of("a_forked_child_ends_at_the_signal_as_by_default").passes();
    }
    let runtime = Runtime::builder().driver(Driver::Epoll).build().expect("epoll is there");
    runtime.block_on(async {
        let mut terminated = signal::terminate();
        // SAFETY: the child calls nothing that is not async-signal-safe.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            raise(libc::SIGTERM);
            // SAFETY: _exit takes no pointer and runs no destructor.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: the pointer leads to an integer that outlives the call.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGTERM, "{status}");
        assert!(poll!(&mut terminated).is_pending(), "the parent got the signal");
    });
}

/// How often handlers of another library have run.
static HEARD: AtomicU32 = AtomicU32::new(0);

#[test]
fn handler_that_another_library_installed_before_still_runs() {
    extern "C" fn count(_signal: libc::c_int) {
        HEARD.fetch_add(1, Ordering::Relaxed);
    }
    if child::is_child() {
        let handler: extern "C" fn(libc::c_int) = count;
        // SAFETY: the handler is a function for the life of the program, and adds to an atomic.
        let before = unsafe { libc::signal(libc::SIGINT, handler as *const () as usize) };
        assert_ne!(before, libc::SIG_ERR);
    }
    in_a_child("handler_that_another_library_installed_before_still_runs", || async {
        let interrupted = signal::ctrl_c();
        raise(libc::SIGINT);
        interrupted.await.expect("the handler is installed");
        assert_eq!(HEARD.swap(0, Ordering::Relaxed), 1);
    });
}

#[test]
fn actions_registered_by_another_library_run_beside_ours() {
    static REGISTERED: AtomicU32 = AtomicU32::new(0);
    fn register() {
        let count = || _ = HEARD.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the action adds to an atomic and does nothing else.
        let registered = unsafe { signal_hook_registry::register(libc::SIGTERM, count) };
        registered.expect("an action can be registered");
        REGISTERED.fetch_add(1, Ordering::Relaxed);
    }
    in_a_child("actions_registered_by_another_library_run_beside_ours", || async {
        register();
        let terminated = signal::terminate();
        register();
        raise(libc::SIGTERM);
        terminated.await.expect("the handler is installed");
        assert_eq!(HEARD.swap(0, Ordering::Relaxed), REGISTERED.load(Ordering::Relaxed));
    });
}

/// What a stream gives before the limit of a test has passed.
async fn next(signals: &mut Signals) -> SignalKind {
    let received = timeout(Duration::from_secs(60), signals.recv()).await;
    received.expect("the signal comes").expect("the shard watches for signals")
}

fn listen(kind: SignalKind) -> Signals {
    signal::signal(kind).expect("it can be caught")
}

fn has_nothing(signals: &mut Signals) -> bool {
    signals.recv().now_or_never().is_none()
}

#[test]
fn stream_has_what_came_before_its_first_poll_as_one() {
    in_a_child("stream_has_what_came_before_its_first_poll_as_one", || async {
        let mut signals = listen(SignalKind::user_defined1());
        for _ in 0..3 {
            raise(libc::SIGUSR1);
        }
        assert_eq!(next(&mut signals).await, SignalKind::user_defined1());
        assert!(has_nothing(&mut signals));
        raise(libc::SIGUSR1);
        assert_eq!(next(&mut signals).await, SignalKind::user_defined1());
    });
}

#[test]
fn last_signal_of_a_burst_is_never_lost() {
    const BURST: u32 = 5;
    static RAISED: AtomicU32 = AtomicU32::new(0);
    in_a_child("last_signal_of_a_burst_is_never_lost", || async {
        RAISED.store(0, Ordering::Relaxed);
        let mut signals = listen(SignalKind::user_defined2());
        let (more, asked) = std::sync::mpsc::channel();
        let raises = thread::spawn(move || {
            for () in asked {
                for _ in 0..BURST {
                    RAISED.fetch_add(1, Ordering::Relaxed);
                    raise(libc::SIGUSR2);
                }
            }
        });
        for burst in 1..=2_000 {
            more.send(()).expect("the thread waits for it");
            // Each is counted before it is raised, so one that comes later is counted here.
            while RAISED.load(Ordering::Relaxed) < burst * BURST {
                next(&mut signals).await;
            }
        }
        drop(more);
        raises.join().expect("raise does not fail");
    });
}

#[test]
fn shards_all_see_the_last_signal_of_a_burst() {
    const BURST: u32 = 5;
    const BURSTS: u32 = 1_000;
    static RAISED: AtomicU32 = AtomicU32::new(0);
    in_a_child_without_runtime("shards_all_see_the_last_signal_of_a_burst", |driver| {
        RAISED.store(0, Ordering::Relaxed);
        let signals = listen(SignalKind::user_defined2());
        let (told, all_are_told) = std::sync::mpsc::channel();
        let raises = thread::spawn(move || {
            for _ in 0..BURSTS {
                for _ in 0..BURST {
                    RAISED.fetch_add(1, Ordering::Relaxed);
                    raise(libc::SIGUSR2);
                }
                for _ in 0..2 {
                    all_are_told.recv().expect("the shards go on");
                }
            }
        });
        let shards = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let ended = shards.run(|_| {
            let (told, mut signals) = (told.clone(), signals.clone());
            async move {
                for burst in 1..=BURSTS {
                    while RAISED.load(Ordering::Relaxed) < burst * BURST {
                        next(&mut signals).await;
                    }
                    told.send(()).expect("the thread waits for it");
                }
            }
        });
        ended.expect("two shards can be started");
        raises.join().expect("raise does not fail");
    });
}

#[test]
fn each_of_many_signals_that_are_waited_for_wakes() {
    in_a_child("each_of_many_signals_that_are_waited_for_wakes", || async {
        let mut signals = listen(SignalKind::user_defined1());
        let (more, asked) = std::sync::mpsc::channel();
        let raises = thread::spawn(move || asked.iter().for_each(|()| raise(libc::SIGUSR1)));
        for _ in 0..10_000 {
            more.send(()).expect("the thread waits for it");
            next(&mut signals).await;
        }
        drop(more);
        raises.join().expect("raise does not fail");
        assert!(has_nothing(&mut signals), "there were more signals than raises");
    });
}

#[test]
fn recreated_stream_begins_with_what_comes_then() {
    in_a_child("recreated_stream_begins_with_what_comes_then", || async {
        let mut first = listen(SignalKind::hangup());
        raise(libc::SIGHUP);
        let mut kept = first.clone();
        assert_eq!(next(&mut first).await, SignalKind::hangup());
        raise(libc::SIGHUP);
        drop(first);
        raise(libc::SIGHUP);
        let mut second = listen(SignalKind::hangup());
        assert!(has_nothing(&mut second));
        raise(libc::SIGHUP);
        assert_eq!(next(&mut second).await, SignalKind::hangup());
        assert_eq!(next(&mut kept).await, SignalKind::hangup());
    });
}

#[test]
fn dropped_recv_leaves_its_signal_to_the_next() {
    in_a_child("dropped_recv_leaves_its_signal_to_the_next", || async {
        let mut signals = listen(SignalKind::user_defined1());
        let mut waiting = Box::pin(signals.recv());
        assert!(poll!(&mut waiting).is_pending());
        raise(libc::SIGUSR1);
        drop(waiting);
        assert_eq!(next(&mut signals).await, SignalKind::user_defined1());
    });
}

#[test]
fn stream_of_several_signals_says_which_came() {
    in_a_child("stream_of_several_signals_says_which_came", || async {
        let kinds =
            [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::window_change()];
        let mut signals = signal::signals(kinds).expect("they can be caught");
        for number in [libc::SIGWINCH, libc::SIGHUP, libc::SIGUSR1, libc::SIGHUP] {
            raise(number);
            assert_eq!(next(&mut signals).await.as_raw_value(), number);
        }
        kinds.iter().for_each(|kind| raise(kind.as_raw_value()));
        let mut came = Vec::new();
        while let Some(received) = signals.next().now_or_never() {
            came.push(received.expect("it has no end").expect("the shard watches for signals"));
        }
        came.sort();
        assert_eq!(came, kinds);
    });
}

#[test]
fn stream_goes_on_in_second_runtime() {
    in_a_child_without_runtime("stream_goes_on_in_second_runtime", |driver| {
        let runtime = || Runtime::builder().driver(driver).build().expect("it was asked for");
        let mut signals = listen(SignalKind::user_defined1());
        raise(libc::SIGUSR1);
        runtime().block_on(async {
            next(&mut signals).await;
            assert!(has_nothing(&mut signals));
        });
        raise(libc::SIGUSR1);
        runtime().block_on(async {
            next(&mut signals).await;
            assert!(has_nothing(&mut signals));
            let sender = thread::spawn(|| raise(libc::SIGUSR1));
            next(&mut signals).await;
            sender.join().expect("raise does not fail");
        });
    });
}

#[test]
fn runtimes_and_shards_each_get_the_signal() {
    in_a_child_without_runtime("runtimes_and_shards_each_get_the_signal", |driver| {
        let waiting = Arc::new(Barrier::new(5));
        let original = listen(SignalKind::user_defined2());
        let runtimes = [2, 2].map(|shards| {
            let (waiting, original) = (waiting.clone(), original.clone());
            let builder = Runtime::builder().driver(driver).shards(shards).oversubscribe(true);
            thread::spawn(move || {
                builder.run(|_| {
                    let (waiting, mut clone) = (waiting.clone(), original.clone());
                    async move {
                        let mut own = listen(SignalKind::user_defined2());
                        assert!(has_nothing(&mut own) && has_nothing(&mut clone));
                        waiting.wait();
                        (next(&mut own).await, next(&mut clone).await)
                    }
                })
            })
        });
        waiting.wait();
        raise(libc::SIGUSR2);
        for runtime in runtimes {
            let received = runtime.join().expect("no panic").expect("two shards can be started");
            assert_eq!(received, [(SignalKind::user_defined2(), SignalKind::user_defined2()); 2]);
        }
    });
}

#[test]
fn every_signal_that_can_be_caught_is_received() {
    in_a_child("every_signal_that_can_be_caught_is_received", || async {
        let mut refused = Vec::new();
        for number in 1..=64 {
            match signal::signal(SignalKind::from_raw(number)) {
                Ok(mut signals) => {
                    for _ in 0..3 {
                        raise(number);
                        assert_eq!(next(&mut signals).await.as_raw_value(), number);
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
                    refused.push(number);
                }
            }
        }
        let own =
            [libc::SIGILL, libc::SIGBUS, libc::SIGFPE, libc::SIGKILL, libc::SIGSEGV, libc::SIGSTOP];
        let of_the_c_library = 32..libc::SIGRTMIN();
        assert_eq!(refused, own.into_iter().chain(of_the_c_library).collect::<Vec<_>>());
    });
}

#[test]
fn child_is_waited_for_beside_a_stream_of_sigchld() {
    in_a_child("child_is_waited_for_beside_a_stream_of_sigchld", || async {
        let mut ended = listen(SignalKind::child());
        let child = spawn_blocking(|| Command::new("true").status());
        assert_eq!(next(&mut ended).await, SignalKind::child());
        let status = child.await.expect("it does not panic").expect("the child is waited for");
        assert!(status.success());
    });
}

#[test]
fn signals_are_passed_on_to_a_child_that_is_waited_for() {
    in_a_child("signals_are_passed_on_to_a_child_that_is_waited_for", || async {
        let kinds = [SignalKind::user_defined1(), SignalKind::child()];
        let mut signals = signal::signals(kinds).expect("they can be caught");
        let mut command = corering::process::Command::new("sleep");
        let mut child = command.arg("1000").spawn().await.expect("sleep can be started");
        raise(libc::SIGUSR1);
        let kind = next(&mut signals).await;
        child.send_signal(kind).expect("it has not ended");
        assert_eq!(next(&mut signals).await, SignalKind::child());
        let status = child.wait().await.expect("SIGCHLD is not ignored");
        assert_eq!(status.signal(), Some(libc::SIGUSR1));
    });
}

#[test]
fn stream_outside_a_runtime_is_an_error() {
    in_a_child("stream_outside_a_runtime_is_an_error", || async {});
    let mut signals = listen(SignalKind::window_change());
    let error = signals.recv().now_or_never().expect("it does not wait");
    assert!(error.expect_err("nobody would wake it").to_string().contains("no corering runtime"));
}

#[test]
fn forked_child_listens_in_its_own_runtime() {
    in_a_child_without_runtime("forked_child_listens_in_its_own_runtime", |driver| {
        let mut inherited = listen(SignalKind::window_change());
        let status = forked(|| {
            // It stays as it was until the child listens.
            raise(libc::SIGWINCH);
            // SAFETY: what is closed is this process's own, and nothing that runs here uses it.
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
            let runtime = Runtime::builder().driver(driver).build().expect("a child may");
            runtime.block_on(async {
                assert!(has_nothing(&mut inherited));
                let mut own = listen(SignalKind::user_defined1());
                let sender = thread::spawn(|| {
                    raise(libc::SIGUSR1);
                    raise(libc::SIGWINCH);
                });
                assert_eq!(next(&mut own).await, SignalKind::user_defined1());
                assert_eq!(next(&mut inherited).await, SignalKind::window_change());
                sender.join().expect("raise does not fail");
            });
        });
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status}");
        let runtime = Runtime::builder().driver(driver).build().expect("it was asked for");
        assert!(runtime.block_on(async { has_nothing(&mut inherited) }), "the parent got it");
    });
}

#[test]
fn forked_child_that_does_not_listen_acts_as_before() {
    if !child::is_child() {
        return Child::of("forked_child_that_does_not_listen_acts_as_before").passes();
    }
    // SAFETY: the call takes no pointer.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let numbers = [libc::SIGHUP, libc::SIGCHLD, libc::SIGCONT, libc::SIGUSR1, libc::SIGTSTP];
    let _signals = signal::signals(numbers.map(SignalKind::from_raw)).expect("they can be caught");
    for number in numbers {
        let status = forked(|| raise(number));
        let happened = match number {
            libc::SIGUSR1 => libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == number,
            libc::SIGTSTP => libc::WIFSTOPPED(status),
            _ => libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        };
        assert!(happened, "signal {number}: {status}");
    }
}

/// Runs a body in a child process, once for each driver, without a runtime.
fn in_a_child_without_runtime(test: &str, body: impl Fn(Driver)) {
    if !child::is_child() {
        return Child::of(test).passes();
    }
    corering::test_support::drivers().into_iter().for_each(body);
}

/// Runs a body in a child of `fork`, and gives what `waitpid` says of it. One that was stopped is ended.
fn forked(body: impl FnOnce()) -> libc::c_int {
    // SAFETY: the only other thread of this process is the harness's, which waits for this one.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err();
        // SAFETY: _exit takes no pointer and runs no destructor.
        unsafe { libc::_exit(i32::from(panicked)) };
    }
    let mut status = 0;
    // SAFETY: the pointer leads to an integer that outlives the call.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, libc::WUNTRACED) }, pid);
    if libc::WIFSTOPPED(status) {
        kill(pid, libc::SIGKILL);
        // SAFETY: a null pointer asks for no status.
        assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, pid);
    }
    status
}

fn raise(number: libc::c_int) {
    // SAFETY: raise takes no pointer.
    assert_eq!(unsafe { libc::raise(number) }, 0);
}

fn kill(process: i32, number: libc::c_int) {
    // SAFETY: kill takes no pointer.
    assert_eq!(unsafe { libc::kill(process, number) }, 0);
}
