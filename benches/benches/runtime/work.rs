//! What every runtime does in the same way: two tasks that hand a turn over, and what is done with
//! timers. The peers, which are a package of their own, include this file.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::poll_fn;
use futures_util::poll;
use futures_util::task::AtomicWaker;

/// The number of tasks that are spawned before the first is awaited.
pub(crate) const CROWD: usize = 1000;

/// Timers that fire together.
pub(crate) const FIRING: usize = 10_000;

/// Timers that are armed in the background, and never fire.
pub(crate) const ARMED: usize = 1_000_000;

/// Further away than any measurement lasts.
pub(crate) const FAR: Duration = Duration::from_secs(24 * 3600);

/// A turn that two tasks hand to each other.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    count: AtomicU64,
    wakers: [AtomicWaker; 2],
}

impl Turn {
    /// Plays one of the sides (0 or 1) until `turns` have been taken by both together.
    pub(crate) async fn play(&self, side: usize, turns: u64) {
        loop {
            let is_over = poll_fn(|cx| {
                self.wakers[side].register(cx.waker());
                let count = self.count.load(Ordering::Relaxed);
                let is_over = count >= turns;
                let is_mine = count % 2 == side as u64;
                if is_over || is_mine { Poll::Ready(is_over) } else { Poll::Pending }
            })
            .await;
            if is_over {
                break;
            }
            self.count.fetch_add(1, Ordering::Relaxed);
            self.wakers[1 - side].wake();
        }
        self.wakers[1 - side].wake();
    }
}

/// Arms `count` timers.
pub(crate) async fn arm<S: Future>(count: usize, sleep: impl Fn() -> S) -> Vec<Pin<Box<S>>> {
    let mut timers: Vec<_> = (0..count).map(|_| Box::pin(sleep())).collect();
    for timer in &mut timers {
        // A timer that is due already needs no second poll.
        let _ = poll!(timer);
    }
    timers
}

/// Arms `FIRING` timers, again and again. To drop them is not measured.
pub(crate) async fn insert_timers<S: Future>(rounds: u64, sleep: impl Fn() -> S) -> Duration {
    let mut taken = Duration::ZERO;
    let mut timers = Vec::with_capacity(FIRING);
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..FIRING {
            let mut timer = Box::pin(sleep());
            assert!(poll!(&mut timer).is_pending(), "it is far away");
            timers.push(timer);
        }
        taken += start.elapsed();
        timers.clear();
    }
    taken
}

/// Drops `FIRING` timers that are armed, again and again. To arm them is not measured.
pub(crate) async fn cancel_timers<S: Future>(rounds: u64, sleep: impl Fn() -> S) -> Duration {
    let mut taken = Duration::ZERO;
    for _ in 0..rounds {
        let timers = arm(FIRING, &sleep).await;
        let start = Instant::now();
        drop(timers);
        taken += start.elapsed();
    }
    taken
}

/// Arms `FIRING` timers for the same moment and awaits all of them, again and again. To arm them
/// takes about as long as they wait.
pub(crate) async fn fire_timers<S: Future>(
    rounds: u64,
    sleep_until: impl Fn(Instant) -> S,
) -> Duration {
    let start = Instant::now();
    for _ in 0..rounds {
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
    }
    start.elapsed()
}
