//! Signals as futures, each test in a process of its own, since a handler is the process's.

#[path = "common/child.rs"]
mod child;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use child::Child;
use corering::time::timeout;
use corering::{Driver, Runtime, signal};
use futures_util::future::FusedFuture;
use futures_util::poll;

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

fn raise(number: libc::c_int) {
    // SAFETY: raise takes no pointer.
    assert_eq!(unsafe { libc::raise(number) }, 0);
}

fn kill(process: i32, number: libc::c_int) {
    // SAFETY: kill takes no pointer.
    assert_eq!(unsafe { libc::kill(process, number) }, 0);
}
