//! A task that wants to run every few milliseconds, as the tasks of a server do.

use std::cell::Cell;
use std::rc::Rc;

use corering::JoinHandle;
use corering::time::{Duration, Instant, now, sleep};

/// How often it wants to run.
pub(crate) const PERIOD: Duration = Duration::from_millis(5);

/// What a ticker has seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    pub(crate) count: u64,
    /// The longest time in which it did not run.
    pub(crate) gap: Duration,
    last: Instant,
}

/// A ticker that runs beside some work.
pub(crate) struct Ticker {
    seen: Rc<Cell<Ticks>>,
    task: JoinHandle<()>,
}

impl Ticker {
    /// Starts the task.
    pub(crate) fn start() -> Self {
        let seen = Rc::new(Cell::new(Ticks { count: 0, gap: Duration::ZERO, last: now() }));
        let own = seen.clone();
        let task = corering::spawn(async move {
            loop {
                sleep(PERIOD).await;
                let ticks = pass(own.get());
                own.set(Ticks { count: ticks.count + 1, ..ticks });
            }
        });
        Ticker { seen, task }
    }

    /// Ends it. Its last gap is up to now.
    pub(crate) fn end(self) -> Ticks {
        self.task.abort();
        pass(self.seen.get())
    }
}

/// Counts the time since the last tick.
fn pass(ticks: Ticks) -> Ticks {
    let now = now();
    Ticks { gap: ticks.gap.max(now - ticks.last), last: now, ..ticks }
}
