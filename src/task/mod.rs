//! Tasks of one shard: spawn, wake, join, abort.
//!
//! A task is one allocation that holds a header, a vtable's address and the future, and later, in
//! the future's place, its output. This layer knows nothing of I/O: it uses `sys` and `util` only.
//! It never drops a future or an output on another thread, and holds no borrow while code of the
//! user runs (polls, wakers, and every `Drop`): its lists and flags are `Cell`s.
//!
//! ```text
//!                spawn
//!                  │              wake (own thread: a queue push)
//!                  ▼         ┌────────────────────────────────────────┐
//!   live list ─► queued ◄────┤                                        │
//!   (one          │          └── posted to the mailbox ◄── wake from  │
//!   reference)    │ run           (one reference,          another   │
//!                 ▼               at most once)            thread    │
//!              running ── pending ─────────────────────────────────► idle
//!                 │   └── woken meanwhile, yield_now ─► queued, at the back
//!                 │
//!                 ├── ready ──► output kept ──┐
//!                 ├── panic ──► payload kept ─┤         handle: taken by `.await`
//!                 └── abort ──► cancelled ────┴► complete    or dropped with the handle
//!                     (also from queued, idle)  │       no handle: dropped at once
//!                                               ▼
//!                                   the last reference frees the memory, on any thread:
//!                                   future and output are gone by then
//! ```
//!
//! Who touches what: `state` (the count of references, and whether the task is posted) belongs to
//! all threads; everything else of a task to the shard's thread alone, without atomics. Wakers are
//! the only thing that leaves the shard, and they use `state` and the mailbox.
//!
//! Read `header.rs` first, then `scheduler.rs`, `waker.rs` and `join_handle.rs`. Groups stand on what
//! is public here: `group/mod.rs`.

mod builder;
mod cancel;
mod cell;
mod cooperative;
mod group;
mod header;
mod home;
mod id;
mod join_error;
mod join_handle;
mod join_set;
mod lists;
mod local;
mod local_group;
mod scheduler;
mod waker;
mod yield_now;

pub use builder::{Builder, TaskPanic};
pub use cancel::{CancelHandle, CancelOnDrop, CancelToken, Cancelled, UntilCancelled};
pub use cooperative::{Cooperative, cooperative, unconstrained};
pub use group::{ChildHandle, GroupError, GroupFailure, GroupScope, TaskGroup};
pub use id::Id;
pub use join_error::JoinError;
pub use join_handle::{AbortHandle, JoinHandle};
pub use join_set::JoinSet;
pub use local::{AccessError, LocalKey, LocalScope};
pub use local_group::{LocalGroup, local_group};
pub use scheduler::{all, current, id, spawn, try_id};
pub use yield_now::{YieldNow, yield_now};

// Users look for them beside `spawn`. Nothing here uses them.
pub use crate::runtime::{BlockingHandle, spawn_blocking};
pub use crate::runtime::{PoolHandle, ThreadPool, ThreadPoolBuilder};

pub(crate) use builder::PanicHook;
#[cfg(feature = "process-pool")]
pub(crate) use join_error::message as panic_message;
pub(crate) use local::in_this_context;
pub(crate) use scheduler::{Allowance, Scheduler, current_mailbox, panicked_here};

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
