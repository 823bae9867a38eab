//! Synchronisation between tasks of one shard.
#![forbid(unsafe_code)]

mod line;
mod mutex;
mod notify;
pub mod oneshot;
mod semaphore;
mod waker_cell;

pub use mutex::{Mutex, MutexGuard, TryLockError};
pub use notify::{Notified, Notify};
pub use semaphore::{AcquireError, OwnedPermit, Permit, Semaphore, TryAcquireError};
