//! A value that the compiler keeps on its shard's thread, and of which it says what to use instead.
//!
//! That an `Rc` deep within a type cannot be sent is true and helps nobody. Here the type of the user's
//! value is the end of the compiler's search, and one sentence is what it has to say.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A value that is neither `Send` nor `Sync`, whatever it is made of; `Instead` is one of the traits
/// below as a `dyn` type, and holds what the compiler says where the value is sent all the same.
#[repr(transparent)]
pub(crate) struct ShardBound<T, Instead: ?Sized> {
    value: T,
    instead: PhantomData<fn(&Instead)>,
}

/// What may leave its shard: nothing.
pub(crate) trait LeavesItsShard {}

// SAFETY: nothing is `LeavesItsShard`: each impl asks for a trait that nothing implements.
unsafe impl<T, Instead: ?Sized> Send for ShardBound<T, Instead> where Self: LeavesItsShard {}

// SAFETY: as above.
unsafe impl<T, Instead: ?Sized> Sync for ShardBound<T, Instead> where Self: LeavesItsShard {}

/// For the channels of `sync`.
#[diagnostic::on_unimplemented(
    message = "a channel of `corering::sync` stays on its shard; use `corering::shard_channel` across \
               threads",
    label = "this would take the channel to another thread",
    note = "use `corering::shard_channel` across threads: its sender may go to any of them"
)]
pub(crate) trait UseShardChannelAcrossThreads {}

impl<T> LeavesItsShard for ShardBound<T, dyn UseShardChannelAcrossThreads> where
    T: UseShardChannelAcrossThreads
{
}

/// For the handles of tasks.
#[diagnostic::on_unimplemented(
    message = "the handle of a task stays on the task's shard; await it there",
    label = "this would take the handle to another thread",
    note = "await the handle on its shard, and send the output by `corering::shard_channel`"
)]
pub(crate) trait AwaitTheHandleOnItsShard {}

impl<T> LeavesItsShard for ShardBound<T, dyn AwaitTheHandleOnItsShard> where
    T: AwaitTheHandleOnItsShard
{
}

/// For what was received.
#[diagnostic::on_unimplemented(
    message = "a `RecvBuf` is memory of its shard and stays there; send a copy of its bytes",
    label = "this would take the received bytes to another thread",
    note = "send a copy: `Vec::from(received)`, or `bytes::Bytes::from(received)`"
)]
pub(crate) trait CopyToSendAcrossThreads {}

impl<T> LeavesItsShard for ShardBound<T, dyn CopyToSendAcrossThreads> where
    T: CopyToSendAcrossThreads
{
}

impl<T, Instead: ?Sized> ShardBound<T, Instead> {
    #[inline]
    pub(crate) const fn new(value: T) -> Self {
        ShardBound { value, instead: PhantomData }
    }
}

impl<T: Clone, Instead: ?Sized> Clone for ShardBound<T, Instead> {
    fn clone(&self) -> Self {
        ShardBound::new(self.value.clone())
    }
}

impl<T, Instead: ?Sized> Deref for ShardBound<T, Instead> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, Instead: ?Sized> DerefMut for ShardBound<T, Instead> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
