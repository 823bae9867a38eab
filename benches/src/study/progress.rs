//! How far a study has come: a bar on a terminal, plain lines elsewhere.

#![forbid(unsafe_code)]

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Tells of the cells of one study, on standard error.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    cells: usize,
    done: usize,
}

impl Progress {
    pub(super) fn new(cells: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(cells as u64);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} cells, {msg}");
            bar.set_style(style.expect("the template is well formed"));
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Progress { bar, cells, done: 0 }
    }

    /// Counts the cells that an earlier session has finished.
    pub(super) fn kept(&mut self, count: usize) {
        self.done += count;
        match &self.bar {
            Some(bar) => bar.inc(count as u64),
            None if count > 0 => eprintln!("{count} of {} cells were finished before", self.cells),
            None => {}
        }
    }

    pub(super) fn begin(&mut self, title: &str, left: Duration) {
        let left = about(left);
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{left} left: {title}"));
            return;
        }
        eprintln!("cell {} of {}, {left} left: {title}", self.done + 1, self.cells);
    }

    /// One more is measured, well or in vain.
    pub(super) fn done(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// One that was measured in vain is measured again.
    pub(super) fn again(&mut self, title: &str, left: Duration) {
        let left = about(left);
        match &self.bar {
            Some(bar) => bar.set_message(format!("{left} left, again: {title}")),
            None => eprintln!("again, {left} left: {title}"),
        }
    }

    pub(super) fn end(&mut self, invalid: usize) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{} of {} cells are measured, {invalid} of them in vain", self.done, self.cells);
    }
}

/// A time in the unit that a person would choose.
fn about(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("about {seconds} s"),
        120..7200 => format!("about {} min", seconds / 60),
        _ => format!("about {} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::about;

    #[test]
    fn time_is_told_in_the_unit_that_a_person_would_choose() {
        let told = |seconds| about(Duration::from_secs(seconds));
        assert_eq!(told(75), "about 75 s");
        assert_eq!(told(600), "about 10 min");
        assert_eq!(told(10_000), "about 2 h 46 min");
    }
}
