//! Synchronisation between tasks of one shard.
//!
//! Everything here but [`shard_channel`] is `!Send` and costs no atomic operation: tasks of a shard run
//! one after the other on one thread, so what they share needs no lock, only a way to wait. Between
//! shards, and between shards and threads, values go through a [`shard_channel`].
//!
//! | to do this | use |
//! |---|---|
//! | pass values between tasks, many to many, with back-pressure | [`channel::bounded`] |
//! | the same without a bound, from code that cannot wait | [`channel::unbounded`] |
//! | hand out work, and wait until all of it is done | [`Queue`] |
//! | the same, the smallest or the last first | [`PriorityQueue`], [`LifoQueue`] |
//! | pass values to another shard, or from and to a thread without a runtime | [`shard_channel`] |
//! | pass a single value, such as the answer to a request | [`oneshot::channel`] |
//! | say that something has changed, without a value | [`Notify`] |
//! | limit how many tasks do something at once | [`Semaphore`] |
//! | keep others out of a value while a task *awaits* | [`Mutex`] |
//!
//! A value that no task holds across an `.await` needs none of these: `Rc<Cell<T>>` or
//! `Rc<RefCell<T>>` is enough.
//!
//! All lines are first come, first served, and all waiting is cancel safe: a future that is dropped
//! leaves its line, and what it had been given but had not yet returned goes to the next in line: a
//! [table](crate::cancel_safety#channels-queues-and-locks) says what each leaves. In steady state waiting
//! allocates nothing.
//!
//! A future that is forgotten with [`std::mem::forget`] cannot leave its line. It keeps for good what
//! it is given when its turn comes: a permit, the lock of a mutex, a place in a channel, a
//! notification. Those behind it get what comes after that; who waits for a lock that is kept, or
//! behind one that asked for more permits than ever come, waits for ever.
#![forbid(unsafe_code)]

pub mod channel;
mod line;
mod mutex;
mod notify;
pub mod oneshot;
mod queue;
mod semaphore;
pub mod shard_channel;
mod store;

pub use mutex::{Mutex, MutexGuard, OwnedMutexGuard, TryLockError};
pub use notify::{Notified, Notify};
pub use queue::{FirstIn, LastIn, LifoQueue, Order, PriorityQueue, Queue, Smallest, TaskQueue};
pub use semaphore::{AcquireError, OwnedPermit, Permit, PermitOf, Semaphore, TryAcquireError};
