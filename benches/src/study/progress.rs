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
    kept: usize,
    invalid: usize,
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
        Progress { bar, cells, done: 0, kept: 0, invalid: 0 }
    }

    /// One more was finished in an earlier session.
    pub(super) fn kept(&mut self, is_valid: bool) {
        self.kept += 1;
        self.done += 1;
        self.invalid += usize::from(!is_valid);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    pub(super) fn begin(&mut self, title: &str, left: Duration) {
        let left = about(left);
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{left} left: {title}"));
            return;
        }
        self.tell_of_kept();
        eprintln!("cell {} of {}, {left} left: {title}", self.done + 1, self.cells);
    }

    pub(super) fn done(&mut self, is_valid: bool) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        if !is_valid {
            self.invalid += 1;
        }
    }

    fn tell_of_kept(&mut self) {
        if std::mem::take(&mut self.kept) > 0 {
            eprintln!("{} of {} cells were finished before", self.done, self.cells);
        }
    }

    pub(super) fn end(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.tell_of_kept();
        let (done, cells) = (self.done, self.cells);
        eprintln!("{done} of {cells} cells are measured, {} of them in vain", self.invalid);
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
