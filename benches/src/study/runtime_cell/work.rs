//! What the executor is asked to do.

use clap::ValueEnum;

/// One kind of work for an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuntimeWork {
    /// A trip to the kernel and back that does nothing there.
    NoOp,
    /// Tasks that end at once.
    Spawn,
    /// Tasks that give way to each other.
    Yield,
    /// Timers that fire, beside a million that do not.
    TimerFire,
    /// Timers that are armed and dropped, beside a million that stay.
    TimerCancel,
    /// A message to another shard and back.
    PingPong,
}

/// Trips in a row before the clock is read again.
pub(super) const TRIPS: u64 = 100;

/// Tasks that are spawned before the first is awaited.
pub(super) const SPAWNED: u64 = 1_000;

/// Tasks that give way to each other, and how often each does.
pub(super) const YIELDING: u64 = 100;
pub(super) const YIELDS: u64 = 100;

impl RuntimeWork {
    /// All of them.
    pub const ALL: [RuntimeWork; 6] = [
        RuntimeWork::NoOp,
        RuntimeWork::Spawn,
        RuntimeWork::Yield,
        RuntimeWork::TimerFire,
        RuntimeWork::TimerCancel,
        RuntimeWork::PingPong,
    ];

    /// As the command line and the cell's id have it.
    pub fn name(self) -> &'static str {
        match self {
            RuntimeWork::NoOp => "no-op",
            RuntimeWork::Spawn => "spawn",
            RuntimeWork::Yield => "yield",
            RuntimeWork::TimerFire => "timer-fire",
            RuntimeWork::TimerCancel => "timer-cancel",
            RuntimeWork::PingPong => "ping-pong",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            RuntimeWork::NoOp => "A trip to the kernel that does nothing, one at a time",
            RuntimeWork::Spawn => "Spawn 1,000 tasks and await them",
            RuntimeWork::Yield => "Yield, 100 tasks",
            RuntimeWork::TimerFire => "10,000 timers fire together beside a million that are armed",
            RuntimeWork::TimerCancel => "Arm and drop a timer beside a million that are armed",
            RuntimeWork::PingPong => "A message to another shard and back",
        }
    }

    /// What one of it is called.
    pub fn unit(self) -> &'static str {
        match self {
            RuntimeWork::NoOp => "trip",
            RuntimeWork::Spawn => "task",
            RuntimeWork::Yield => "yield",
            RuntimeWork::TimerFire | RuntimeWork::TimerCancel => "timer",
            RuntimeWork::PingPong => "round trip",
        }
    }

    /// Who can do it. tokio has no operation that does nothing.
    pub fn servers(self) -> &'static [&'static str] {
        match self {
            RuntimeWork::NoOp => &["uring", "epoll", "raw-uring"],
            _ => &["uring", "epoll", "tokio"],
        }
    }
}
