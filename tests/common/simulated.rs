//! What the tests on the simulated kernel share: numbers from a seed, virtual waiting, and the
//! account at the end, in which nothing may be left.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use corering::sim::{SimulatedRun, Simulation};
use corering::time::{Sleep, sleep};
use corering::{Builder, Metrics, Runtime};
use futures_util::future::{Either, select};

/// Numbers from a seed, the same on every machine. Not those of the simulated kernel, so that what
/// a test does and what the kernel does are drawn apart.
pub(crate) struct Numbers {
    state: u64,
}

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Numbers { state: seed ^ 0x5851_f42d_4c95_7f2d }
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range.
    pub(crate) fn within(&mut self, range: Range<usize>) -> usize {
        range.start + (self.bits() % (range.end - range.start) as u64) as usize
    }

    /// True once in so many.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.within(0..times) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.within(0..choices.len())]
    }

    /// From a microsecond to some milliseconds: as long as things take in the simulated world.
    pub(crate) fn moment(&mut self) -> Duration {
        let most = self.of(&[10, 1_000, 20_000]);
        Duration::from_micros(self.within(1..most) as u64)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.bits() as u8).collect()
    }

    /// Numbers of its own for a part of the test.
    pub(crate) fn fork(&mut self) -> Numbers {
        Numbers { state: self.bits() }
    }
}

/// Lets so much virtual time pass.
pub(crate) fn pause(duration: Duration) -> Sleep {
    sleep(duration)
}

/// Polls a future for so long and then drops it, wherever it is.
pub(crate) async fn drop_after<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(pause(duration))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Polls a future so many times, each time that it is woken, and then drops it.
pub(crate) async fn drop_after_polls<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The last poll is followed by the drop at once, not by a wake that may never come.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Names the seed if the test fails while this lives.
pub(crate) struct Seed(pub(crate) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

/// Runs a future in the world of a seed; at the end nothing may be left: no slot, buffer, timer or
/// operation of the runtime, no descriptor or operation of the world.
pub(crate) fn run<F: Future>(seed: u64, builder: Builder, main: F) -> SimulatedRun<F::Output> {
    run_in(&Simulation::new(seed), seed, builder, main)
}

/// As [`run`], in a world in which faults may have been arranged.
pub(crate) fn run_in<F: Future>(
    sim: &Simulation,
    seed: u64,
    builder: Builder,
    main: F,
) -> SimulatedRun<F::Output> {
    let _seed = Seed(seed);
    let run = sim.run_with(builder, settled(main)).expect("the configuration is valid");
    assert_nothing_held(&run.metrics);
    assert_eq!(run.report.leaked_operations, 0, "operations were leaked");
    assert_eq!(run.report.cancelled_tasks, 0, "tasks had not ended");
    assert_world_is_empty(sim);
    run
}

/// The future, and then as long as everything that was abandoned may take to end.
pub(crate) async fn settled<F: Future>(main: F) -> F::Output {
    let output = main.await;
    pause(Duration::from_secs(1)).await;
    output
}

pub(crate) fn assert_nothing_held(metrics: &Metrics) {
    assert_eq!(metrics.operations_in_flight, 0, "{metrics}");
    assert_eq!(metrics.slots_in_use, 0, "{metrics}");
    assert_eq!(metrics.group_buffers_out, 0, "{metrics}");
    assert_eq!(metrics.lent_buffers_out, 0, "{metrics}");
    assert_eq!(metrics.registrations, 0, "{metrics}");
    assert_eq!(metrics.timers, 0, "{metrics}");
}

pub(crate) fn assert_world_is_empty(sim: &Simulation) {
    assert_eq!(sim.open_descriptors(), 0, "descriptors of the world were not closed");
    assert_eq!(sim.operations_in_flight(), 0, "the world still works on operations");
}

/// The default configuration.
pub(crate) fn defaults() -> Builder {
    Runtime::builder()
}
