//! Runs on a simulated kernel, for tests: the same driver, slots, executor and program, on
//! in-memory sockets and a virtual clock, in an order drawn from a seed.
//!
//! Test support behind the feature `sim`, not yet public API.

use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::{Builder, Runtime, ShutdownReport};
use crate::driver::{Backend, Metrics};
use crate::sys::ring::Ring;
use crate::sys::sim::{Fault, SimRing, World};
use crate::sys::support::Support;

/// A world of its own: the same seed and program give the same run.
pub struct Simulation {
    world: Rc<World>,
}

/// What a run ended with.
#[derive(Debug)]
#[non_exhaustive]
pub struct SimulatedRun<T> {
    /// What the main future returned.
    pub output: T,
    /// What the shard had counted, and what it held, when the main future had ended.
    pub metrics: Metrics,
    /// What the end of the runtime found.
    pub report: ShutdownReport,
}

impl Simulation {
    /// A world in which everything that a kernel leaves open is drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        Simulation { world: World::new(seed) }
    }

    /// Lets the `nth` (from 1) result of the operation with this io_uring opcode be `errno`.
    pub fn fail(&self, opcode: u8, nth: u64, errno: i32) -> &Self {
        self.world.fail(Fault { operation: opcode, nth, errno });
        self
    }

    /// Lets so many of a thousand `enter` calls fail with EINTR, EAGAIN, EBUSY or ENOMEM.
    pub fn fail_enter(&self, per_mille: u32) -> &Self {
        self.world.set_enter_failure_rate(per_mille);
        self
    }

    /// Lets every accept that finds no connection fail with EAGAIN, as on a listener that another
    /// process has made non-blocking.
    pub fn refuse_to_wait_for_connections(&self) -> &Self {
        self.world.refuse_to_wait_for_connections();
        self
    }

    /// Lets a multishot receive miss an end that follows bytes at once, as kernels before 7.0 may on
    /// sockets other than those of TCP (liburing#1549).
    pub fn miss_ends(&self) -> &Self {
        self.world.miss_ends();
        self
    }

    /// What the wall clock shows, a day in 2027 at first.
    pub fn wall(&self) -> SystemTime {
        self.world.wall()
    }

    /// Sets the wall clock, forward or back, as an administrator or NTP does.
    pub fn set_wall(&self, to: SystemTime) -> &Self {
        self.world.set_wall(to);
        self
    }

    /// Runs a future on a runtime of one shard in this world, with the default configuration.
    pub fn run<F: Future>(&self, main: F) -> SimulatedRun<F::Output> {
        self.run_with(Runtime::builder(), main).expect("the default configuration is valid")
    }

    /// Runs a future on a runtime with this configuration. The driver is the ring's.
    ///
    /// # Errors
    ///
    /// A size in the configuration is out of its range.
    pub fn run_with<F: Future>(
        &self,
        builder: Builder,
        main: F,
    ) -> io::Result<SimulatedRun<F::Output>> {
        let config = builder.checked()?;
        let _installed = self.world.install();
        let entries = config.ring_entries.next_power_of_two();
        let ring = Ring::Sim(SimRing::new(self.world.clone(), entries, entries * 4));
        let backend = Backend::Uring { ring, support: Support::simulated(self.world.hears_ends()) };
        let runtime = Runtime::new(backend, &config, config.pool())?;
        let output = runtime.block_on(main);
        let metrics = runtime.metrics();
        let report = runtime.shut_down();
        Ok(SimulatedRun { output, metrics, report })
    }

    /// What happened, a line each, without addresses or descriptor numbers: the last 10,000 lines.
    pub fn trace(&self) -> Vec<String> {
        self.world.trace()
    }

    /// A number that differs if anything differs in the whole trace.
    pub fn trace_hash(&self) -> u64 {
        self.world.trace_hash()
    }

    /// The virtual time that has passed.
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    /// Simulated descriptors that nobody has closed.
    pub fn open_descriptors(&self) -> usize {
        self.world.open_descriptors()
    }

    /// Operations that the simulated kernel still works on.
    pub fn operations_in_flight(&self) -> usize {
        self.world.operations_in_flight()
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.world.seed()).finish_non_exhaustive()
    }
}
