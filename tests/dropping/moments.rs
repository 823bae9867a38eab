//! The moments of a future's life at which it is dropped, on a kernel and on a simulated one.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use corering::time::sleep;
use corering::yield_now;

use crate::net::Random;

/// When a future is dropped: the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    NotBegun,
    /// In the round in which it was first polled.
    Waiting,
    /// After a visit to the kernel.
    InFlight,
    /// What it waited for has happened, and it was not polled since.
    Done,
    /// A part of that has happened, and it was polled since.
    PartlyDone,
}

pub(crate) const MOMENTS: [Moment; 5] =
    [Moment::NotBegun, Moment::Waiting, Moment::InFlight, Moment::Done, Moment::PartlyDone];

/// A future of a row.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Where a body runs, and so how time passes in it.
pub(crate) struct World {
    simulated: Option<RefCell<Random>>,
    /// More bytes than two sockets take.
    pub(crate) too_much: usize,
}

#[allow(dead_code, reason = "each test crate has one of the worlds")]
impl World {
    pub(crate) fn real() -> Self {
        World { simulated: None, too_much: crate::net::TOO_MUCH }
    }

    pub(crate) fn simulated(seed: u64) -> Self {
        World { simulated: Some(RefCell::new(Random(seed))), too_much: 600_000 }
    }
}

impl World {
    /// Lets the kernel take what is staged, and perhaps answer.
    pub(crate) async fn turn(&self) {
        match &self.simulated {
            None => yield_now().await,
            Some(numbers) => {
                let microseconds = numbers.borrow_mut().below(40);
                sleep(Duration::from_micros(microseconds as u64)).await;
            }
        }
    }

    /// Lets everything happen that is under way.
    pub(crate) async fn settle(&self) {
        match &self.simulated {
            None => {
                for _ in 0..20 {
                    yield_now().await;
                }
            }
            Some(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn poll_once<T>(future: &mut Boxed<'_, T>) -> Poll<T> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Brings a future to a moment of its life and drops it there. `provoke` makes happen what the future
/// waits for, or a part of it. Some if it had ended when it was polled.
pub(crate) async fn drop_at<T>(
    world: &World,
    moment: Moment,
    mut future: Boxed<'_, T>,
    provoke: impl AsyncFnOnce(),
) -> Option<T> {
    if moment == Moment::NotBegun {
        return None;
    }
    if let Poll::Ready(output) = poll_once(&mut future).await {
        return Some(output);
    }
    match moment {
        Moment::NotBegun | Moment::Waiting => {}
        Moment::InFlight => world.turn().await,
        Moment::Done | Moment::PartlyDone => {
            provoke().await;
            world.settle().await;
        }
    }
    if moment == Moment::PartlyDone {
        if let Poll::Ready(output) = poll_once(&mut future).await {
            return Some(output);
        }
        world.turn().await;
    }
    None
}
