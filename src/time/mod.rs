//! Layer 6: sleeping, limits in time, and ticks, on the timer wheel of the shard.
//!
//! Nothing here makes a system call: the nearest deadline goes into the wait that the shard makes
//! anyway. A timer never fires early; it may fire late, by the 65 µs of the wheel's tick and by
//! what the shard has to do first. A duration that reaches beyond the clock's end, as
//! [`Duration::MAX`] does, never passes.
//!
//! A limit in time for any future is [`timeout`], or [`timeout_with`] where the future moves its own
//! limit. [`within`] limits a single operation, waits for its end, and so gives the buffer back.
//!
//! Timers go by a clock that nobody sets. [`sleep_until_wall`] goes by the wall clock.
//!
//! # Callbacks
//!
//! asyncio's `loop.call_soon`, `call_later` and `call_at` are tasks that run a closure, and the
//! `cancel` of their handles is [`abort`](crate::JoinHandle::abort). A handle that is dropped cancels
//! nothing, as in asyncio.
//!
//! ```
//! use corering::time::{self, Duration, Instant};
//! use corering::{JoinHandle, spawn};
//!
//! fn call_soon(callback: impl FnOnce() + 'static) -> JoinHandle<()> {
//!     spawn(async move { callback() })
//! }
//!
//! fn call_later(delay: Duration, callback: impl FnOnce() + 'static) -> JoinHandle<()> {
//!     call_at(time::now() + delay, callback)
//! }
//!
//! fn call_at(when: Instant, callback: impl FnOnce() + 'static) -> JoinHandle<()> {
//!     spawn(async move {
//!         time::sleep_until(when).await;
//!         callback();
//!     })
//! }
//!
//! corering::block_on(async {
//!     let later = call_later(Duration::from_millis(1), || println!("later"));
//!     let never = call_later(Duration::from_millis(1), || unreachable!("it is cancelled"));
//!     call_soon(|| println!("soon"));
//!     never.abort();
//!     later.await.unwrap();
//!     assert!(never.await.unwrap_err().is_cancelled());
//! });
//! ```
//!
//! Read `sleep.rs` first.

#![forbid(unsafe_code)]

mod interval;
mod sleep;
mod timeout;
mod wall;

pub use crate::driver::{SingleOperation, Within, within};
pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use std::time::{Duration, Instant, SystemTime};
pub use timeout::{Elapsed, Limit, Timeout, timeout, timeout_at, timeout_with};
pub use wall::{sleep_until_wall, wall};

use crate::sys::clock;

/// The present moment of the clock that timers run on.
///
/// That is the clock of [`Instant::now`], except on a simulated kernel, whose clock is virtual: so
/// measure with this one what is to be repeatable.
///
/// # Examples
///
/// ```
/// use corering::time;
///
/// let begin = time::now();
/// assert!(time::now() >= begin);
/// ```
pub fn now() -> Instant {
    clock::now()
}

#[cfg(test)]
mod tests;
