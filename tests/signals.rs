//! Signals as futures, each test in a process of its own, since a handler is the process's.

#[path = "common/child.rs"]
mod child;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use child::Child;
use corering::signal;

#[test]
fn ctrl_c_completes_at_sigint_and_terminate_does_not() {
    if !child::is_child() {
        return Child::of("ctrl_c_completes_at_sigint_and_terminate_does_not").passes();
    }
    let mut terminated = pin!(signal::terminate());
    let interrupted = signal::ctrl_c();
    raise(libc::SIGINT);
    wait(interrupted).expect("the handler is installed");
    let mut context = Context::from_waker(Waker::noop());
    assert!(terminated.as_mut().poll(&mut context).is_pending());
}

#[test]
fn shutdown_completes_at_either_signal() {
    if !child::is_child() {
        return Child::of("shutdown_completes_at_either_signal").passes();
    }
    for number in [libc::SIGINT, libc::SIGTERM] {
        let stopped = signal::shutdown();
        raise(number);
        wait(stopped).expect("the handler is installed");
    }
}

#[test]
fn a_dropped_future_takes_the_signal_from_no_other() {
    if !child::is_child() {
        return Child::of("a_dropped_future_takes_the_signal_from_no_other").passes();
    }
    let (kept, dropped) = (signal::ctrl_c(), signal::ctrl_c());
    raise(libc::SIGINT);
    drop(dropped);
    wait(kept).expect("the handler is installed");
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
    let mut terminated = pin!(signal::terminate());
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
    let mut context = Context::from_waker(Waker::noop());
    assert!(terminated.as_mut().poll(&mut context).is_pending(), "the parent got the signal");
}

fn raise(number: libc::c_int) {
    // SAFETY: raise takes no pointer.
    assert_eq!(unsafe { libc::raise(number) }, 0);
}

/// Waits on this thread, without a runtime: signals need none.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
