//! What is done with timers, on any runtime: they are futures, and nothing more is asked of them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::poll;

/// Timers that fire together.
pub(super) const FIRING: usize = 10_000;

/// Timers that are armed in the background, and never fire.
pub(super) const ARMED: usize = 1_000_000;

/// Further away than any measurement lasts.
pub(super) const FAR: Duration = Duration::from_secs(24 * 3600);

/// Arms `count` timers.
pub(super) async fn arm<S: Future>(count: usize, sleep: impl Fn() -> S) -> Vec<Pin<Box<S>>> {
    let mut timers: Vec<_> = (0..count).map(|_| Box::pin(sleep())).collect();
    for timer in &mut timers {
        // A timer that is due already needs no second poll.
        let _ = poll!(timer);
    }
    timers
}

/// Arms a timer and drops it, `count` times.
pub(super) async fn cancel<S: Future>(count: u64, sleep: impl Fn() -> S) -> u64 {
    for _ in 0..count {
        let mut timer = std::pin::pin!(sleep());
        assert!(poll!(&mut timer).is_pending(), "it is far away");
    }
    count
}

/// Arms [`FIRING`] timers for the same moment and awaits all of them. To arm them takes about as
/// long as they wait.
pub(super) async fn fire<S: Future>(sleep_until: impl Fn(Instant) -> S) -> u64 {
    let due = Instant::now() + Duration::from_millis(1);
    let mut timers: Vec<_> = (0..FIRING).map(|_| Some(Box::pin(sleep_until(due)))).collect();
    let mut first = 0;
    let mut is_armed = false;
    poll_fn(|cx| {
        let unarmed = if is_armed { first..first } else { 0..FIRING };
        for timer in &mut timers[unarmed] {
            timer.take_if(|timer| timer.as_mut().poll(cx).is_ready());
        }
        is_armed = true;
        while let Some(place) = timers.get_mut(first) {
            if place.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_pending()) {
                return Poll::Pending;
            }
            first += 1;
        }
        Poll::Ready(())
    })
    .await;
    FIRING as u64
}
