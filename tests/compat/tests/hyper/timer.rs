//! `compat::HyperTimer`, and what its sleeps are on other threads.

use std::task::{Context, Waker};
use std::thread;

use corering::compat::HyperTimer;
use corering::time::{self, Duration};
use hyper::rt::Timer;

const SOON: Duration = Duration::from_millis(1);
const NEVER: Duration = Duration::from_secs(3_600);

#[corering::test]
async fn reset_sleep_ends_at_its_new_deadline() {
    let begin = time::now();
    let mut sleep = HyperTimer.sleep(NEVER);
    let place = std::ptr::from_ref(&*sleep).cast::<()>();
    assert!(futures_util::poll!(&mut sleep).is_pending());
    HyperTimer.reset(&mut sleep, begin + SOON);
    let place_now = std::ptr::from_ref(&*sleep).cast::<()>();
    assert_eq!(place_now, place, "the box was not used again");
    (&mut sleep).await;
    assert!(time::now() >= begin + SOON);
    // One that has ended, too.
    HyperTimer.reset(&mut sleep, begin + NEVER);
    assert!(futures_util::poll!(&mut sleep).is_pending());
}

#[corering::test]
async fn sleep_that_is_dropped_elsewhere_takes_its_timer_away() {
    let mut sleep = HyperTimer.sleep(NEVER);
    assert!(futures_util::poll!(&mut sleep).is_pending());
    assert_eq!(corering::metrics().timers, 1);
    thread::spawn(move || drop(sleep)).join().expect("a drop does not panic");
    // The message is there, and a round of the shard reads it.
    corering::yield_now().await;
    assert_eq!(corering::metrics().timers, 0);
}

#[corering::test]
async fn sleep_that_is_polled_elsewhere_panics_with_a_sentence() {
    let mut sleep = HyperTimer.sleep(NEVER);
    let polled = thread::spawn(move || {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = sleep.as_mut().poll(&mut cx);
    });
    let payload = polled.join().expect_err("it is polled on another thread");
    let message = payload.downcast_ref::<String>().expect("a panic has a text");
    assert!(message.contains("HyperTimer's sleep is of use only on the thread"), "{message}");
}
