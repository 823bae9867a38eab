//! What the examples share: the flags of servers, what they print, and how clients fetch.

#![forbid(unsafe_code)]

pub mod client;

use std::fmt::Display;
use std::io::{self, Write};

use clap::builder::RangedU64ValueParser;
use corering::{Driver, Runtime};

/// The flags of every server.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ShardOptions {
    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel
    /// allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    pub driver: Driver,

    /// How many shards serve, each a thread on a CPU of its own.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub shards: usize,
}

impl ShardOptions {
    /// A runtime as these flags want it.
    pub fn runtime(&self) -> corering::Builder {
        Runtime::builder().driver(self.driver).shards(self.shards)
    }
}

/// Prints a line to the standard output. Where that is closed or full the line is dropped and a server
/// goes on; `println!` would panic.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The same to the standard error output.
pub fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
