//! Where the runtime says the few things that a person should read: `tracing`, or standard error.

use std::fmt;
use std::io::{self, Write};

use super::signal_mask::without_broken_pipe;

/// Says one line. With feature `tracing` and a subscriber it is an event of level WARN, else a line on
/// standard error that starts with `corering:`. A closed standard error is no reason to fail.
pub(crate) fn warn(message: fmt::Arguments<'_>) {
    #[cfg(feature = "tracing")]
    if tracing::dispatcher::has_been_set() {
        tracing::warn!("{message}");
        return;
    }
    // One write, so that lines of several shards do not mix.
    let line = format!("corering: {message}\n");
    let _ = without_broken_pipe(|| io::stderr().write_all(line.as_bytes()));
}
