//! A value that the compiler keeps on its shard's thread, and of which it says what to use instead.
//!
//! That an `Rc` deep within a type cannot be sent is true and helps nobody. Here the type of the user's
//! value is the end of the compiler's search, and one sentence is what it has to say.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::line::Owner;

/// A value that is neither `Send` nor `Sync`, whatever it is made of; `Instead` is one of the traits
/// below as a `dyn` type, and holds what the compiler says where the value is sent all the same.
#[repr(transparent)]
pub(crate) struct ShardBound<T: ?Sized, Instead: ?Sized> {
    instead: PhantomData<fn(&Instead)>,
    value: T,
}

/// What may leave its shard: nothing.
pub(crate) trait LeavesItsShard {}

// SAFETY: nothing is `LeavesItsShard`: each impl asks for a trait that nothing implements.
unsafe impl<T: ?Sized, Instead: ?Sized> Send for ShardBound<T, Instead> where Self: LeavesItsShard {}

// SAFETY: as above.
unsafe impl<T: ?Sized, Instead: ?Sized> Sync for ShardBound<T, Instead> where Self: LeavesItsShard {}

/// What does not implement the traits below. That it is the same whatever the value is has the compiler
/// report a type with two such fields once; and without a lifetime it would look for an impl at once.
pub(crate) struct AnotherThread<'a>(PhantomData<&'a ()>);

/// Says by a trait of its own what to use instead of another thread.
macro_rules! instead {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        pub(crate) trait $name {}

        impl<'a, T: ?Sized> LeavesItsShard for ShardBound<T, dyn $name> where AnotherThread<'a>: $name {}
    };
}

instead! {
    /// For the channels of `sync`.
    #[diagnostic::on_unimplemented(
        message = "a channel of `corering::sync` stays on its shard; use `corering::shard_channel` across \
                   threads",
        label = "this would take the channel to another thread",
        note = "use `corering::shard_channel` across threads: its sender may go to any of them"
    )]
    UseShardChannelAcrossThreads
}

instead! {
    /// For what tasks wait at.
    #[diagnostic::on_unimplemented(
        message = "what `corering::sync` offers is for the tasks of one shard; use `std::sync` across threads",
        label = "this would share it with another thread",
        note = "use `std::sync` across threads, or `corering::shard_channel` to wait for another shard"
    )]
    UseStdSyncAcrossThreads
}

instead! {
    /// For the tokens of tasks.
    #[diagnostic::on_unimplemented(
        message = "a `CancelToken` stays on its shard; send its `handle()` to other threads",
        label = "this would take the token to another thread",
        note = "send a handle, `let handle = token.handle();`: it cancels the token from any thread"
    )]
    SendItsHandleToOtherThreads
}

instead! {
    /// For the handles of tasks.
    #[diagnostic::on_unimplemented(
        message = "the handle of a task stays on the task's shard; await it there",
        label = "this would take the handle to another thread",
        note = "await the handle on its shard, and send the output by `corering::shard_channel`; or spawn \
                the task by `corering::Handle`, whose handles go to any thread"
    )]
    AwaitTheHandleOnItsShard
}

instead! {
    /// For groups of tasks.
    #[diagnostic::on_unimplemented(
        message = "a group of tasks stays on its shard; send a handle of its token to other threads",
        label = "this would take the group to another thread",
        note = "send a handle, `let handle = group.token().handle();`: it ends the group from any thread"
    )]
    SendAHandleOfTheGroupsToken
}

instead! {
    /// For streams and their halves.
    #[diagnostic::on_unimplemented(
        message = "a stream stays on its shard; `detach().await` gives what may go to another",
        label = "this would take the stream to another thread",
        note = "another shard goes on by `detached.into_stream()`; a thread that blocks takes what \
                `into_std().await` gives"
    )]
    DetachToMoveToAnotherShard
}

instead! {
    /// For streams in memory.
    #[diagnostic::on_unimplemented(
        message = "a `DuplexStream` stays on its shard; use a `UnixStream::pair` across threads",
        label = "this would take the stream to another thread",
        note = "use a `UnixStream::pair` across threads, and send what `detach().await` gives of one \
                end"
    )]
    UseUnixPairAcrossThreads
}

instead! {
    /// For the ends of pipes.
    #[diagnostic::on_unimplemented(
        message = "the end of a pipe stays on its shard; its descriptor may go to another",
        label = "this would take the end of a pipe to another thread",
        note = "send the descriptor that `into_parts().await` gives of a reader, and `into_fd().await` of a \
                writer; `PipeReader::from(fd)` and `PipeWriter::from(fd)` go on there; call `io::stdin()` or \
                `io::stdout()` there once more"
    )]
    GiveTheDescriptorAway
}

instead! {
    /// For watchers of files.
    #[diagnostic::on_unimplemented(
        message = "a `Watcher` and its `Watches` stay on their shard; make a watcher where its events are taken",
        label = "this would take the watcher to another thread",
        note = "make the watcher there, and send its events, which may go anywhere, by \
                `corering::shard_channel`"
    )]
    MakeAWatcherThere
}

instead! {
    /// For the handles of processes.
    #[diagnostic::on_unimplemented(
        message = "a `Child` stays on its shard; start and await the process on one shard",
        label = "this would take the child to another thread",
        note = "a `Command` may go to another shard, which starts the process; its exit status goes to any \
                thread by `corering::shard_channel`"
    )]
    AwaitTheChildOnItsShard
}

instead! {
    /// For open files that are kept.
    #[diagnostic::on_unimplemented(
        message = "a `FileCache` and its entries stay on their shard; each shard has a cache of its own",
        label = "this would take the cache, or an entry of it, to another thread",
        note = "make a cache on each shard, of the same folder; contents may go to any thread: \
                `entry.contents().cloned()` is an `Arc<[u8]>`"
    )]
    UseACacheForEachShard
}

instead! {
    /// For what was received.
    #[diagnostic::on_unimplemented(
        message = "a `RecvBuf` is memory of its shard and stays there; send a copy of its bytes",
        label = "this would take the received bytes to another thread",
        note = "send a copy: `Vec::from(received)`, or `bytes::Bytes::from(received)`"
    )]
    CopyToSendAcrossThreads
}

#[cfg(feature = "process-pool")]
instead! {
    /// For pools of processes.
    #[diagnostic::on_unimplemented(
        message = "a `Pool` of processes stays on its shard; other shards call it by `Handle::spawn`",
        label = "this would take the pool to another thread",
        note = "other threads have it called there, by the `Handle` of its shard and a pool in a \
                `thread_local!`; or each shard has a pool of its own"
    )]
    CallThePoolOnItsShard
}

impl<T, Instead: ?Sized> ShardBound<T, Instead> {
    #[inline]
    pub(crate) const fn new(value: T) -> Self {
        ShardBound { instead: PhantomData, value }
    }

    pub(crate) fn into_inner(self) -> T {
        self.value
    }
}

impl<T: Clone, Instead: ?Sized> Clone for ShardBound<T, Instead> {
    fn clone(&self) -> Self {
        ShardBound::new(self.value.clone())
    }
}

impl<S, O: Owner<S>, Instead: ?Sized> Owner<S> for ShardBound<O, Instead> {
    #[inline(always)]
    fn step<T>(&self, step: impl FnOnce(&mut S) -> T) -> T {
        self.value.step(step)
    }
}

impl<T: fmt::Debug + ?Sized, Instead: ?Sized> fmt::Debug for ShardBound<T, Instead> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: ?Sized, Instead: ?Sized> Deref for ShardBound<T, Instead> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized, Instead: ?Sized> DerefMut for ShardBound<T, Instead> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
