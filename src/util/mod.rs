//! Layer 0: plain data structures and the blocking pool. Nothing here knows of I/O, of tasks or of
//! the kernel's rings, and no structure runs user code while it is being changed: what a caller
//! stored is moved out, and the caller drops or calls it afterwards.
//!
//! Read `linked_slab.rs` first: the timer wheel and the waiting lines of `sync` stand on it.

// The time module and the runtime's loop are the users.
#[allow(dead_code)]
pub(crate) mod linked_slab;
#[allow(dead_code)]
pub(crate) mod timer_wheel;
// The runtime (`spawn_blocking`) and the epoll driver are the users.
#[allow(dead_code)]
pub(crate) mod pool;

// The runtime's loop, which parks, and `submit_to` are the users.
#[allow(dead_code)]
pub(crate) mod mailbox;
pub(crate) mod sync_types;
pub(crate) mod unwind;

#[cfg(test)]
pub(crate) mod test_waker;
