//! Layer 0: plain data structures and the pool of threads. Nothing here knows of I/O, of tasks or of
//! the kernel's rings, and no structure runs user code while it is being changed: what a caller
//! stored is moved out, and the caller drops or calls it afterwards.
//!
//! Read `linked_slab.rs` first: the timer wheel stands on it, and `line.rs`, the line to wait in.

pub(crate) mod budget;
pub(crate) mod current;
pub(crate) mod expiry;
pub(crate) mod line;
pub(crate) mod linked_slab;
pub(crate) mod mailbox;
pub(crate) mod owned_ref_mut;
pub(crate) mod park;
pub(crate) mod poll_pinned;
pub(crate) mod pool;
#[cfg(any(all(test, not(loom)), feature = "hyper"))]
pub(crate) mod sent_home;
pub(crate) mod sync_types;
pub(crate) mod shard_bound;
pub(crate) mod thread_bound;
pub(crate) mod timer_wheel;
pub(crate) mod unwind;
pub(crate) mod waker_cell;

#[cfg(test)]
pub(crate) mod test_waker;
