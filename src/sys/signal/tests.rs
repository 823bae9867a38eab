//! Listeners without a shard: a test does by hand what the round of a shard does.

use super::*;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Wake;
use std::thread;

/// A waker that sends a message.
struct Bell(mpsc::Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

fn raise(signal: libc::c_int) {
    // SAFETY: raise takes no pointer.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
    // What the round of a shard does.
    deliver();
}

/// Each test takes a signal of its own, for the process has one handler for each.
fn wait_on_thread(signal: libc::c_int) -> (mpsc::Receiver<()>, thread::JoinHandle<()>) {
    let (parked, is_parked) = mpsc::channel();
    let listener = Listener::install(&[signal]).expect("a handler can be installed");
    let thread = thread::spawn(move || {
        let (send, receive) = mpsc::channel();
        let waker = Waker::from(Arc::new(Bell(send)));
        let mut context = Context::from_waker(&waker);
        assert!(listener.poll(&mut context).is_pending());
        parked.send(()).expect("the test waits");
        receive.recv().expect("the listener holds the waker");
        assert!(listener.poll(&mut context).is_ready());
    });
    (is_parked, thread)
}

#[test]
fn all_who_wait_on_different_threads_get_the_signal() {
    let waiting: Vec<_> = (0..4).map(|_| wait_on_thread(libc::SIGUSR1)).collect();
    waiting.iter().for_each(|(parked, _)| parked.recv().expect("the thread polls"));
    raise(libc::SIGUSR1);
    waiting.into_iter().for_each(|(_, thread)| thread.join().expect("it was woken"));
}

#[test]
fn signal_without_listener_does_not_reach_a_later_one() {
    drop(Listener::install(&[libc::SIGUSR2]).expect("a handler can be installed"));
    raise(libc::SIGUSR2);
    let other = Listener::install(&[libc::SIGWINCH]).expect("a handler can be installed");
    raise(libc::SIGWINCH);
    wait(&other);
    // All that came before SIGWINCH has been delivered, so this one can only see what is new.
    let late = Listener::install(&[libc::SIGUSR2]).expect("a handler can be installed");
    let mut context = Context::from_waker(Waker::noop());
    assert!(late.poll(&mut context).is_pending());
}

#[test]
fn number_that_cannot_be_listened_for_is_invalid() {
    let reserved = libc::SIGRTMIN() - 1;
    let no_signals = [0, -1, i32::MIN, i32::MAX, reserved, LAST + 1];
    let mut refused: Vec<_> = no_signals.iter().chain(FORBIDDEN).copied().collect();
    refused.push(libc::SIGBUS);
    for &number in &refused {
        let error = Listener::install(&[libc::SIGURG, number]).expect_err("it is refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}");
        let start = format!("signal {number} cannot be listened for: ");
        assert!(error.to_string().starts_with(&start), "{error}");
    }
    for number in (1..=LAST).filter(|number| !refused.contains(number)) {
        let exists = !(32..libc::SIGRTMIN()).contains(&number);
        assert_eq!(check(number).is_ok(), exists, "{number}");
    }
    let last = Listener::install(&[LAST]).expect("it is a signal in real time");
    raise(LAST);
    wait(&last);
}

fn wait(listener: &Listener) {
    let (send, receive) = mpsc::channel();
    let waker = Waker::from(Arc::new(Bell(send)));
    let mut context = Context::from_waker(&waker);
    let mut future = Box::pin(poll_fn(|context| listener.poll(context)));
    while future.as_mut().poll(&mut context).is_pending() {
        receive.recv().expect("the listener holds the waker");
    }
}

fn try_next(listener: &Listener) -> Option<libc::c_int> {
    match listener.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(signal) => Some(signal),
        Poll::Pending => None,
    }
}

#[test]
fn signals_that_come_before_one_is_taken_are_one() {
    let signal = libc::SIGRTMIN() + 1;
    let listener = Listener::install(&[signal]).expect("a handler can be installed");
    for _ in 0..3 {
        raise(signal);
    }
    assert_eq!(try_next(&listener), Some(signal));
    assert_eq!(try_next(&listener), None);
    raise(signal);
    assert_eq!(try_next(&listener), Some(signal));
}

#[test]
fn signal_that_no_round_has_seen_is_taken_by_a_poll() {
    let signal = libc::SIGRTMIN() + 2;
    let listener = Listener::install(&[signal]).expect("a handler can be installed");
    // SAFETY: raise takes no pointer.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
    assert_eq!(try_next(&listener), Some(signal));
}

#[test]
fn signal_that_always_comes_holds_up_no_other() {
    let [first, second, last] = [libc::SIGRTMIN() + 3, libc::SIGRTMIN() + 4, LAST - 1];
    let listener = Listener::install(&[first, second, last]).expect("handlers can be installed");
    for signal in [first, second, last] {
        raise(signal);
    }
    let mut taken = Vec::new();
    while let Some(signal) = try_next(&listener) {
        taken.push(signal);
        if taken.len() < 6 {
            raise(first);
            raise(last);
        }
    }
    assert_eq!(taken[..6], [first, second, last, first, last, first]);
}

#[test]
fn listeners_take_the_same_signal_each_for_itself() {
    let signal = libc::SIGRTMIN() + 5;
    let first = Listener::install(&[signal]).expect("a handler can be installed");
    let second = Listener::install(&[signal]).expect("a handler can be installed");
    raise(signal);
    let clone = first.clone();
    for listener in [&first, &second, &clone] {
        assert_eq!(try_next(listener), Some(signal));
        assert_eq!(try_next(listener), None);
    }
    assert_eq!(try_next(&first.clone()), None, "what was taken is not there for a clone");
}

#[test]
fn listener_for_no_signal_gets_none() {
    let listener = Listener::install(&[]).expect("there is nothing to refuse");
    assert_eq!(try_next(&listener), None);
}
