//! An io_uring completion-based runtime for Linux.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("corering runs on 64-bit Linux only");

pub mod buf;
mod driver;
pub mod fs;
pub mod net;
mod op;
mod runtime;
pub mod signal;
pub mod sync;
mod sys;
pub mod task;
pub mod time;
mod util;

pub use sys::probe::{Capabilities, probe};
pub use sys::refusal::Refusal;
