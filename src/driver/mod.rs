//! Layer 2: what carries operations to the kernel and their completions back: a ring, or epoll with
//! a pool of threads.
//!
//! It knows nothing of tasks (a waker is all it sees) and nothing of what an operation does. It
//! never runs code of the user's, a waker's or a buffer's, while its state is borrowed.
//!
//! The files stand in reading order, and a file uses those above it. Read `operation.rs` first, then
//! `submit.rs` (an operation as a future; what users hold of one is in `single.rs`), `flight/mod.rs`
//! and `driver.rs` (the round). `flight/kernel.rs` is the seam to the interfaces of the kernel.

mod limits;
mod metrics;
mod standing;

mod operand;
mod operation;
mod shared_fd;
mod ready;
mod flight;
mod timers;
mod memory;
mod pool;
#[expect(clippy::module_inception, reason = "it is what the folder is named after")]
mod driver;
mod submit;
mod multi;
mod posted;
mod readable;
mod alarm;
mod deadline;
mod single;
mod dropped;

pub use deadline::{SingleOperation, Within, within};
pub use limits::ReceivePolicy;
pub use metrics::Metrics;

pub(crate) use alarm::Alarm;
pub(crate) use deadline::{deadline_after, sealed::Sealed};
pub(crate) use driver::{Driver, Parts, current, is_running, with_current};
pub(crate) use dropped::dropped_have_ended;
pub(crate) use flight::Backend;
pub(crate) use limits::Limits;
pub(crate) use metrics::count;
pub(crate) use multi::Multi;
pub(crate) use operand::Operand;
pub(crate) use operation::{Call, Direction, Disk, Held, Multishot, Operation, Raises, Waits};
pub(crate) use pool::Job;
pub(crate) use posted::{Post, Posted};
pub(crate) use readable::ReadableWait;
pub(crate) use shared_fd::{CutBy, SharedFd};
pub(crate) use single::{Single, single, single_with};
pub(crate) use standing::timed_out;
pub(crate) use submit::{Submit, Trail, submit};
