//! Synchronisation between tasks of one shard.
#![forbid(unsafe_code)]

mod line;
mod mutex;
mod semaphore;

pub use mutex::{Mutex, MutexGuard, TryLockError};
pub use semaphore::{AcquireError, OwnedPermit, Permit, Semaphore, TryAcquireError};
