//! How a run goes on: a bar on a terminal, a line each second elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::report::grouped;

/// What is shown while a run goes on, on standard error.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    duration: Duration,
    /// Whole seconds that were told of.
    told_s: u64,
}

impl Progress {
    pub(super) fn new(duration: Duration) -> Self {
        let style = ProgressStyle::with_template("{bar:40} {msg}").expect("a valid template");
        let bar = io::stderr().is_terminal().then(|| {
            ProgressBar::new(duration.as_millis() as u64).with_style(style).with_message("warm-up")
        });
        Progress { bar, duration, told_s: 0 }
    }

    /// Tells how far a run is.
    pub(super) fn show(&mut self, taken: Duration, answered: u64) {
        if taken < RATE_FROM {
            if let Some(bar) = &self.bar {
                bar.tick();
            }
            return;
        }
        let rate = grouped(answered as f64 / taken.as_secs_f64());
        let (all_s, taken_s) = (self.duration.as_secs_f64(), taken.as_secs_f64());
        let text = format!("{taken_s:.0} s of {all_s:.0} s, {rate} requests/s");
        match &self.bar {
            Some(bar) => {
                bar.set_position(taken.as_millis() as u64);
                bar.set_message(text);
            }
            None if taken.as_secs() > self.told_s => {
                self.told_s = taken.as_secs();
                eprintln!("{text}");
            }
            None => {}
        }
    }
}

/// Before this a rate says nothing.
const RATE_FROM: Duration = Duration::from_millis(200);

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
