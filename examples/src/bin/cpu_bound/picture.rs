//! Bars for a terminal.

use std::io::{IsTerminal, stdout};

use rustix::termios::tcgetwinsize;

/// Columns where the terminal does not say, or where there is none.
const WIDTH: usize = 80;

/// Columns of this program's terminal.
pub(crate) fn width() -> usize {
    let stdout = stdout();
    if !stdout.is_terminal() {
        return WIDTH;
    }
    match tcgetwinsize(&stdout) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => WIDTH,
    }
}

/// A line for each of the named times, whose bars are as long as the times.
pub(crate) fn bars(times: &[(&str, f64)], width: usize) -> String {
    let name_width = times.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let most = times.iter().map(|(_, seconds)| *seconds).fold(f64::MIN_POSITIVE, f64::max);
    // The name, a space, the time in eight columns, a space.
    let room = width.saturating_sub(name_width + 10).max(10);
    let line = |(name, seconds): &(&str, f64)| {
        let length = (seconds / most * room as f64).round().max(1.0) as usize;
        format!("{name:name_width$} {seconds:6.2} s {}\n", "#".repeat(length))
    };
    times.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::bars;

    #[test]
    fn bars_are_as_long_as_the_times() {
        let times = [("one", 2.0), ("seven", 1.0), ("none", 0.0)];
        let picture = "one     2.00 s ##########\nseven   1.00 s #####\nnone    0.00 s #\n";
        assert_eq!(bars(&times, 25), picture);
        assert_eq!(bars(&times, 0), picture);
        assert!(bars(&times, 80).lines().all(|line| line.len() <= 80));
    }
}
