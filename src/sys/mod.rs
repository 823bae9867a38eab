//! Layer 0: ring memory and the system's calls. Nothing above this layer reaches the kernel, the
//! clock or a simulated world past it.
//!
//! Read `ring.rs` first: it is the seam below which the kernel can be exchanged.

pub(crate) mod affinity;
pub(crate) mod cached;
pub(crate) mod call;
pub(crate) mod clock;
pub(crate) mod copy;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod exit;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod inotify;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod missed_end;
mod mounts;
pub(crate) mod names;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod refusal;
pub(crate) mod ring;
pub(crate) mod setup;
pub(crate) mod signal;
pub(crate) mod signal_mask;
#[cfg(feature = "sim")]
pub(crate) mod sim;
pub(crate) mod socket;
pub(crate) mod support;
#[cfg(feature = "process-pool")]
pub(crate) mod worker;
