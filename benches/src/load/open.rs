//! The open loop: requests start when they are due, not when the last one has been answered.
//!
//! A server that stops for a while is then charged for every request that was due in the meantime,
//! which a closed loop hides (coordinated omission). Latency counts from the intended start.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::client::{Client, End, Next, PULSE, nanoseconds};
use super::schedule::{Pace, Schedule};
use super::trouble::Trouble;
use super::verdict::{Fault, Reason};
use super::work::{LATE, Work};
use crate::interrupt::Interrupt;
use crate::os;
use crate::outcome::Failure;

impl Client {
    /// Starts requests at `pace` for `duration`, each on the connection that was free for longest,
    /// then lets the last answers come in. A request for which no connection is free waits for one,
    /// and its latency counts the wait.
    ///
    /// What the server does wrong ends the run and is its verdict.
    ///
    /// # Errors
    ///
    /// If the rate is no number above 0, and as [`Client::run_closed`].
    pub fn run_open(
        &mut self,
        pace: Pace,
        duration: Duration,
        interrupt: &Interrupt,
    ) -> Result<Work, Failure> {
        let rate = pace.rate_per_second();
        if !(rate > 0.0 && rate <= RATE_MAX) {
            return Err(Failure::Usage(format!("a rate of {rate} requests a second is no rate")));
        }
        // The default of 50 µs would be in every latency.
        os::set_timer_slack_ns(1)?;
        // All connections once before the first one again.
        self.free.clear();
        for _ in 0..self.plan.depth {
            self.free.extend(0..self.connections.len() as u32);
        }
        self.full_until_ns = 0;
        let spin = spin(pace);
        let work = self.measure(|client, start_ns| {
            let until_ns = start_ns + nanoseconds(duration);
            let (phase, seed) = (client.plan.phase, client.plan.seed);
            client.schedule = Some(Schedule::new(pace, phase, seed, start_ns, until_ns));
            client.drive(spin, until_ns, duration, interrupt)
        });
        self.schedule = None;
        work
    }

    fn drive(
        &mut self,
        spin: Duration,
        until_ns: u64,
        duration: Duration,
        interrupt: &Interrupt,
    ) -> Result<End, Trouble> {
        loop {
            let now_ns = self.now();
            self.start_due(now_ns)?;
            let due_ns = self.schedule.as_ref().and_then(Schedule::due_ns);
            if due_ns.is_none() && self.in_flight == 0 {
                return self.check_rate(until_ns, duration);
            }
            if interrupt.is_set() {
                return Ok(End::Interrupted);
            }
            let timeout = match due_ns {
                Some(due_ns) if !self.free.is_empty() => {
                    let left = Duration::from_nanos(due_ns.saturating_sub(self.now()));
                    PULSE.min(left.saturating_sub(spin))
                }
                Some(due_ns) => {
                    let behind = Duration::from_nanos(now_ns.saturating_sub(due_ns));
                    if behind > self.plan.patience {
                        return Err(not_reached(behind, "and falls further behind"));
                    }
                    PULSE
                }
                None => PULSE,
            };
            self.turn(timeout, Next::Free)?;
        }
    }

    /// Starts what is due and has a connection.
    pub(super) fn start_due(&mut self, mut now_ns: u64) -> Result<(), Trouble> {
        while let Some(due_ns) = self.schedule.as_ref().and_then(Schedule::due_ns)
            && due_ns <= now_ns
            && let Some(index) = self.free.pop_front()
        {
            // Without a free connection the wait is the server's.
            let possible_ns = due_ns.max(self.full_until_ns);
            let lateness = Duration::from_nanos(now_ns.saturating_sub(possible_ns));
            if lateness > LATE {
                self.work.late_starts += 1;
            }
            self.work.lateness_max = self.work.lateness_max.max(lateness);
            self.start(index as usize, 1, due_ns)?;
            if let Some(schedule) = &mut self.schedule {
                schedule.advance();
            }
            now_ns = self.now();
        }
        Ok(())
    }

    /// A server that needs much longer than the schedule does not keep up with it.
    fn check_rate(&self, until_ns: u64, duration: Duration) -> Result<End, Trouble> {
        let over = Duration::from_nanos(self.now().saturating_sub(until_ns));
        if over > OVER_MIN.max(duration.mul_f64(OVER_SHARE_MAX)) {
            return Err(not_reached(over, "at the end"));
        }
        Ok(End::Done)
    }
}

fn not_reached(behind: Duration, when: &str) -> Trouble {
    Trouble::Server(Fault {
        reason: Reason::RateNotReached,
        detail: format!(
            "the server is {:.1} s behind {when}: ask for a lower rate, or for more connections",
            behind.as_secs_f64()
        ),
    })
}

/// How long before a start to look at the clock instead of sleeping.
///
/// Measured on a virtual machine with idle CPUs: a sleep of 1 ms ends 65 µs late with the default
/// slack of timers and 16 µs late without, which is a third of a loopback echo; looking at the clock
/// for the last 20 µs makes that 0.1 µs, for 0.4% of a CPU at 1,000 requests a second. At rates at
/// which it would be a tenth of a CPU, answers wake the client more often than starts do, and on a
/// machine with one CPU the server could not run meanwhile: there the client sleeps.
fn spin(pace: Pace) -> Duration {
    let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    if cpus > 1 && pace.rate_per_second() <= SPIN_RATE_MAX { SPIN } else { Duration::ZERO }
}

const SPIN: Duration = Duration::from_micros(20);

const SPIN_RATE_MAX: f64 = 5_000.0;

/// More requests a second than any clock tells apart.
const RATE_MAX: f64 = 1e9;

/// A server may be late by this share of the time at the end of the schedule.
const OVER_SHARE_MAX: f64 = 0.05;

/// A server that stops for less than this at the wrong moment is not behind.
const OVER_MIN: Duration = Duration::from_millis(500);
