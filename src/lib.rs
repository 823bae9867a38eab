//! An io_uring completion-based runtime for Linux.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("corering runs on 64-bit Linux only");

// What `#[corering::test]` expands to names the crate, in the crate's own tests, too.
#[cfg(test)]
extern crate self as corering;

pub mod buf;
mod driver;
pub mod fs;
pub mod io;
pub mod net;
mod op;
mod runtime;
pub mod signal;
pub mod sync;
mod sys;
pub mod task;
pub mod time;
mod util;

#[cfg(feature = "macros")]
pub use corering_macros::{main, test};

pub use buf::{BufError, BufResult, RecvBuf};
pub use driver::{IoFuture, Metrics, ReceivePolicy, Timeout};
#[cfg(feature = "sim")]
#[doc(hidden)]
pub use runtime::sim;
#[doc(hidden)]
pub use runtime::test_support;
pub use runtime::{
    BlockingHandle, Builder, Driver, Runtime, Shard, ShardError, ShardReceiver, ShardSender,
    ShutdownReport, block_on, metrics, shard_channel, spawn_blocking,
};
pub use sys::probe::{Capabilities, probe};
pub use sys::refusal::Refusal;
pub use task::{JoinHandle, spawn, yield_now};
