//! Synchronisation between tasks of one shard.
#![forbid(unsafe_code)]

mod line;
mod mutex;
mod notify;
mod semaphore;

pub use mutex::{Mutex, MutexGuard, TryLockError};
pub use notify::{Notified, Notify};
pub use semaphore::{AcquireError, OwnedPermit, Permit, Semaphore, TryAcquireError};
