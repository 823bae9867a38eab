//! What a drop leaves behind: a table of all operations.
//!
//! [`time::timeout`], [`select_biased!`](crate::select_biased), [`JoinHandle::abort`] and [`CancelToken::run`] end a future by dropping it. A drop
//! never waits, and it loses neither bytes that a peer has sent, nor a connection, nor a descriptor. What it leaves
//! depends on how far the operation was:
//!
//! - *not begun*: the future was never polled;
//! - *waiting*: it was polled, and the operation waits for its turn, for the shard's next visit to the kernel, or for its
//!   descriptor to be ready;
//! - *in flight*: the kernel, or a thread of the pool, works on it;
//! - *done*: it has ended, and the future was not polled since;
//! - *partly done*: it takes several steps, and some are done. A dash is for what takes one.
//!
//! The kernel, or a thread of the pool, may finish what it began before the cancel reached it. Buffers and
//! descriptors are freed when both have given them back. [`time::within`] gives the buffer to the caller instead, and tells
//! how the operation ended. A future that is not dropped at its limit (`timeout(limit, &mut future)`) goes on where it was.
//!
//! # Streams
//!
//! "Bytes" are those that come, or have come, in order. `WriteAbandoned`: the next write on the stream, and only that,
//! fails with a [`WriteAbandoned`] that says how many bytes were sent, which may be none; nothing more is sent of the dropped one.
//!
//! | | not begun | waiting | in flight | done | partly done |
//! |---|---|---|---|---|---|
//! | [`ByteStream::recv`], [`ByteStream::read`], [`ReadHalf::recv`], [`ReadHalf::read`] | nothing | bytes for the next call | bytes for the next call | bytes for the next call | – |
//! | [`ByteStream::peek`], [`ByteStream::readable`], [`ReadHalf::peek`], [`ReadHalf::readable`] | nothing | bytes for the next call | bytes for the next call | bytes for the next call | – |
//! | [`ByteStream::writable`], [`WriteHalf::writable`] | nothing | nothing | nothing | nothing | – |
//! | [`ByteStream::read_exact`], [`ReadHalf::read_exact`] | nothing | bytes for the next call | bytes for the next call | bytes for the next call | bytes for the next call |
//! | [`ByteStream::write`], [`WriteHalf::write`] | nothing | nothing, or `WriteAbandoned` | `WriteAbandoned` | `WriteAbandoned` | – |
//! | [`ByteStream::write_all`], [`ByteStream::send_all`], [`WriteHalf::write_all`], [`WriteHalf::send_all`] | nothing | nothing, or `WriteAbandoned` | `WriteAbandoned` | `WriteAbandoned` | `WriteAbandoned` |
//! | [`ByteStream::send_file`], [`ByteStream::send_file_after`], [`ByteStream::send_cached_after`], [`WriteHalf::send_file`], [`WriteHalf::send_file_after`], [`WriteHalf::send_cached_after`] | nothing | nothing, or `WriteAbandoned` | nothing, or `WriteAbandoned` | `WriteAbandoned` | `WriteAbandoned` |
//! | [`io::copy`], [`io::copy_bidirectional`], [`io::read_until`] | nothing | bytes for the next call of the reader | bytes for the next call of the reader | bytes for the next call of the reader | bytes for the next call of the reader; those that were written are on their way |
//! | [`Lines::next_line`] | nothing | the same line for the next call | the same line for the next call | the same line for the next call | the same line for the next call |
//! | [`ByteStream::shutdown`], [`WriteHalf::shutdown`] | nothing | nothing | – | sides that have ended | – |
//! | [`ByteStream::close`], [`ByteStream::detach`], [`ByteStream::into_std`] | a stream that is closed | a stream that is closed | a stream that is closed | a stream that is closed | a stream that is closed |
//! | [`ReadHalf::close`] | a half that is gone | a half that is gone | a half that is gone | a half that is gone | – |
//! | [`WriteHalf::close`] | a sending side that has ended | a sending side that has ended | a sending side that has ended | a sending side that has ended | a sending side that has ended |
//! | [`TcpStream::connect`], [`UnixStream::connect`] | nothing | nothing | nothing; the peer may see a connection that ends | nothing; the peer sees a connection that ends | nothing; a lookup goes on by itself |
//!
//! # Pipes
//!
//! A pipe is read and written by plain calls when it is ready, so nothing of it is in flight. Of a file at its own position
//! (standard streams that are redirected) a thread reads a piece ahead, and writes a copy of a piece.
//!
//! | | not begun | waiting | in flight | done | partly done |
//! |---|---|---|---|---|---|
//! | [`PipeReader::recv`], [`PipeReader::read`] | nothing | bytes for the next call | bytes for the next call | bytes for the next call | – |
//! | [`PipeReader::read_exact`] | nothing | bytes for the next call | bytes for the next call | bytes for the next call | bytes for the next call |
//! | [`Stdin::recv`], [`Stdin::read`] | nothing | bytes for the next call, also of another handle | bytes for the next call, also of another handle | bytes for the next call, also of another handle | – |
//! | [`Stdin::read_exact`] | nothing | bytes for the next call, also of another handle | bytes for the next call, also of another handle | bytes for the next call, also of another handle | bytes for the next call, also of another handle |
//! | [`PipeWriter::write`], [`Stdout::write`], [`Stderr::write`] | nothing | nothing | `WriteAbandoned` | nothing | – |
//! | [`PipeWriter::write_all`], [`Stdout::write_all`], [`Stderr::write_all`] | nothing | nothing, or `WriteAbandoned` | `WriteAbandoned` | `WriteAbandoned` | `WriteAbandoned` |
//! | [`PipeReader::open`], [`PipeWriter::open`] | nothing | nothing | nothing | nothing; what was opened is closed | nothing |
//! | [`PipeReader::into_parts`], [`PipeWriter::into_fd`], [`PipeWriter::close`] | a descriptor that is closed | a descriptor that is closed | a descriptor that is closed | a descriptor that is closed | – |
//!
//! # Listeners and datagrams
//!
//! | | not begun | waiting | in flight | done | partly done |
//! |---|---|---|---|---|---|
//! | [`Listener::accept`], [`Listener::incoming`] | nothing | connections for the next call | connections for the next call | connections for the next call | – |
//! | [`TcpListener::bind`], [`TcpListenerBuilder::bind`], [`UdpSocket::bind`] | nothing | nothing | nothing; a lookup goes on by itself | nothing | nothing |
//! | [`UnixListener::bind`] | nothing | nothing | – | – | – |
//! | [`UdpSocket::connect`] | the old peer | the old peer or the new one | the old peer or the new one | the new peer | the old peer; a lookup goes on by itself |
//! | [`UdpSocket::recv`], [`UdpSocket::recv_from`] | nothing | datagrams for the next call | – | datagrams for the next call | – |
//! | [`UdpSocket::send`], [`UdpSocket::send_to`] | nothing | a datagram that was sent whole, or not | a datagram that was sent whole, or not | a datagram that was sent | – |
//!
//! # Files
//!
//! A dropped read of a pipe, or of another file without offsets, loses what it received before its cancel was submitted.
//!
//! | | not begun | waiting | in flight | done | partly done |
//! |---|---|---|---|---|---|
//! | [`File::open`] | nothing | nothing | nothing | nothing; what was opened is closed | – |
//! | [`File::create`], [`OpenOptions::open`] | nothing | a file that may have been created or emptied | a file that may have been created or emptied | a file that was created or emptied, and is closed | – |
//! | [`Dir::open`], [`Dir::open_dir`], [`Dir::open_file`] | nothing | nothing | nothing | nothing; what was opened is closed | – |
//! | [`Dir::create_file`], [`Dir::open_with`] | nothing | a file that may have been created or emptied | a file that may have been created or emptied | a file that was created or emptied, and is closed | – |
//! | [`Dir::read`], [`Dir::metadata`], [`Dir::symlink_metadata`], [`Dir::exists`], [`Dir::read_dir`], [`Dir::read_link`] | nothing | nothing | nothing | nothing | nothing |
//! | [`Dir::write`] | nothing | a file that may have been written | a file that may have been written | a file that was written | a file that has a first part |
//! | [`Dir::create_dir`], [`Dir::symlink`], [`Dir::hard_link`] | nothing | a name that may have been made | a name that may have been made | a name that was made | nothing |
//! | [`Dir::create_dir_all`] | nothing | folders of which the first may have been made | folders of which the first may have been made | folders of which the first were made | folders of which the first were made |
//! | [`Dir::remove_file`], [`Dir::remove_dir`] | nothing | a name that may be gone | a name that may be gone | a name that is gone | nothing |
//! | [`Dir::rename`] | the old name | the old name or the new one | the old name or the new one | the new name | the old name |
//! | [`Dir::set_permissions`] | the old ones | the old ones, or the new ones, soon | the old ones, or the new ones, soon | the new ones | the old ones |
//! | [`Dir::remove_dir_all`] | nothing | nothing, or a folder that will be gone | nothing, or a folder that will be gone | a folder that is gone | nothing |
//! | [`File::read_at`], [`File::read_vectored_at`] | nothing | nothing | nothing | nothing | – |
//! | [`File::read_exact_at`], [`File::read_to_end`], [`fs::read`], [`fs::read_to_string`] | nothing | nothing | nothing | nothing | nothing |
//! | [`File::write_at`], [`File::write_vectored_at`] | nothing | a file that may have been written | a file that may have been written | a file that was written | – |
//! | [`File::write_all_at`], [`fs::write`] | nothing | a file that may have been written | a file that may have been written | a file that was written | a file that has a first part |
//! | [`fs::tempfile`], [`fs::tempfile_in`], [`TempFile::new`], [`TempFile::new_in`] | nothing | nothing | nothing | nothing; what was opened is closed | – |
//! | [`TempFile::persist`], [`TempFile::persist_new`] | nothing | a name that will be given | a name that will be given | a name that was given | – |
//! | [`fs::atomic_write`] | nothing | the old contents | the old contents, or soon the new ones | the old contents or the new ones | the old contents, or soon the new ones |
//! | [`File::sync_all`], [`File::sync_data`] | nothing | a disk that may have all | a disk that may have all | a disk that has all | – |
//! | [`File::metadata`], [`fs::metadata`], [`fs::symlink_metadata`], [`fs::exists`] | nothing | nothing | nothing | nothing | – |
//! | [`FileCache::get`] | nothing | nothing | nothing | nothing; what was opened is closed | nothing; what was opened is closed |
//! | [`FileCache::follow_changes`] | nothing | entries that are as they were, and no watch | – | entries of which the changed ones may have gone, and no watch | entries of which the changed ones have gone, and no watch |
//! | [`File::set_len`] | the old length | the old length or the new one | the old length or the new one | the new length | – |
//! | [`File::allocate`] | nothing | room that may be reserved | room that may be reserved | room that is reserved | – |
//! | [`File::seek_data`], [`File::seek_hole`] | nothing | nothing | nothing | nothing | – |
//! | [`File::lock`], [`File::lock_shared`] | nothing | nothing | – | – | – |
//! | [`File::into_std`] | a descriptor that is closed | a descriptor that is closed | – | a descriptor that is closed | – |
//! | [`File::punch_hole`] | nothing | bytes of which some may be zeroes | bytes of which some may be zeroes | zeroes | – |
//! | [`File::sync_range`] | nothing | a disk that may have the bytes | a disk that may have the bytes | a disk that has the bytes | – |
//! | [`File::advise`] | nothing | advice that may have been taken | advice that may have been taken | advice that was taken | – |
//! | [`File::set_permissions`] | the old ones | the old ones or the new ones | the old ones or the new ones | the new ones | – |
//! | [`File::set_times`], [`File::set_modified`], [`fs::set_times`] | the old ones | the old ones or the new ones | the old ones or the new ones | the new ones | – |
//! | [`DirBuilder::create`](fs::DirBuilder::create) | nothing | folders of which the first may have been made | folders of which the first may have been made | folders of which the first were made | folders of which the first were made |
//! | [`File::prefetch`] | nothing | bytes that may be in memory | bytes that may be in memory | bytes on their way to memory | – |
//! | [`File::close`] | a descriptor that is closed | a descriptor that is closed | a descriptor that is closed | a descriptor that is closed | – |
//! | [`fs::remove_file`], [`fs::remove_dir`] | nothing | a name that may be gone | a name that may be gone | a name that is gone | – |
//! | [`fs::rename`] | the old name | the old name or the new one | the old name or the new one | the new name | – |
//! | [`fs::read_link`], [`fs::canonicalize`], [`fs::read_dir`], [`DirEntry::file_type`], [`DirEntry::metadata`] | nothing | nothing | nothing | nothing | – |
//! | [`ReadDir::next_entry`] | nothing | entries for the next call | entries for the next call | entries for the next call | – |
//! | [`fs::copy`] | nothing | a target that gets a first part, soon | a target that gets a first part, soon | a target with a first part, or all | a target that gets a first part, soon |
//! | [`fs::symlink`], [`fs::hard_link`] | nothing | a name that may have been made | a name that may have been made | a name that was made | – |
//! | [`fs::set_permissions`] | the old ones | the new ones, soon | the new ones, soon | the new ones | – |
//! | [`fs::remove_dir_all`] | nothing | a folder that will be gone | a folder that will be gone | a folder that is gone | – |
//! | [`fs::create_dir_all`] | nothing | folders of which the first may have been made | folders of which the first may have been made | folders of which the first were made | folders of which the first were made |
//! | [`fs::create_dir`] | nothing | a folder that may have been made | a folder that may have been made | a folder that was made | – |
//! | [`Cursor::seek`] | nothing | the old position | – | the old position | the old position |
//! | [`fs::watch`], [`Watcher::add`], [`Watches::add`] | nothing | nothing | nothing | nothing | – |
//! | [`Watcher::recv`] | nothing | events for the next call | – | events for the next call | – |
//!
//! # Channels, queues and locks
//!
//! They wait for tasks and threads and not for the kernel, so none is ever in flight.
//!
//! | | not begun | waiting | in flight | done | partly done |
//! |---|---|---|---|---|---|
//! | [`Sender::send`], [`BoundedShardSender::send`], [`TaskQueue::put`] | the value is dropped | the value is dropped | – | the value is dropped, and another has the room | – |
//! | [`Sender::reserve`], [`BoundedShardSender::reserve`], [`Mutex::lock`], [`Mutex::lock_owned`], [`Semaphore::acquire`], [`Semaphore::acquire_many`], [`Semaphore::acquire_owned`], [`Semaphore::acquire_many_owned`], [`Notify::notified`] | nothing | nothing | – | another's turn | – |
//! | [`Sender::reserve_owned`] | a sender that is gone | a sender that is gone | – | a sender that is gone, and another's turn | – |
//! | [`Sender::closed`], [`ShardSender::closed`], [`BoundedShardSender::closed`], [`TaskQueue::join`] | nothing | nothing | – | nothing | – |
//! | [`Receiver::recv`], [`Receiver::recv_many`], [`ShardReceiver::recv`], [`TaskQueue::get`] | nothing | values for the next call | – | values for the next call | – |
//!
//! # Processes
//!
//! A process of a dropped [`Child`] goes on, or is killed with
//! [`Command::kill_on_drop`]; it is reaped when it ends.
//!
//! | | not begun | waiting | in flight | done | partly done |
//! |---|---|---|---|---|---|
//! | [`Command::spawn`] | nothing | nothing, or a process as of a dropped `Child` | a process as of a dropped `Child` | a process as of a dropped `Child` | – |
//! | [`Command::output`], [`Command::status`] | nothing | nothing, or a process as of a dropped `Child` | a process as of a dropped `Child` | a process that has ended; its output is dropped | a process as of a dropped `Child`; what came of its output is dropped |
//! | [`Child::communicate`], [`Child::wait_with_output`] | a process as of a dropped `Child` | a process as of a dropped `Child` | – | a process that has ended; its output is dropped | a process as of a dropped `Child`; what came of its output is dropped |
//! | [`Child::wait`] | nothing | the end for the next call | the end for the next call | the end for the next call | – |
//! | [`Child::kill`] | nothing | a process that is killed, and its end for the next call | a process that is killed, and its end for the next call | a process that is killed, and its end for the next call | – |
//!
//! # Everything else
//!
//! | | not begun | waiting | in flight | done | partly done |
//! |---|---|---|---|---|---|
//! | [`io::nop`], [`Watched::readable`], [`Watched::writable`] | nothing | nothing | nothing | nothing | – |
//! | [`time::sleep`], [`time::sleep_until`], [`time::sleep_until_wall`], [`Interval::tick`], [`task::yield_now`] | nothing | nothing; the same tick for the next call | – | nothing; the same tick for the next call | – |
//! | [`time::timeout`], [`time::timeout_at`], [`time::timeout_with`], [`time::within`], [`CancelToken::run`], [`task::cooperative`], [`task::unconstrained`], [`LocalKey::scope`] | as the future in it | as the future in it | as the future in it | as the future in it | as the future in it |
//! | [`CancelToken::cancelled`] | nothing | nothing | – | nothing | – |
//! | [`signal::ctrl_c`], [`signal::terminate`], [`signal::shutdown`] | nothing | nothing; the others that wait are told | – | nothing; the others that wait are told | – |
//! | [`Signals::recv`] | nothing | the signal for the next call | – | the signal for the next call | – |
//! | [`JoinSet::join_next`] | nothing | outputs for the next call | – | outputs for the next call | – |
//! | [`JoinSet::shutdown`] | nothing | tasks that are aborted, for the next call | – | tasks that are aborted, for the next call | tasks that are aborted, for the next call |
//! | [`JoinSet::join_all`], [`TaskGroup::join`] | tasks that are aborted | tasks that are aborted | – | outputs and errors are dropped | tasks that are aborted; outputs and errors are dropped |
//! | [`task::local_group`] | nothing | the futures in it are dropped | – | the futures in it are dropped | the futures in it are dropped |
//! | [`JoinHandle`] | a task that goes on | a task that goes on | – | its output is dropped | – |
//! | [`Shard::submit_to`], [`RemoteHandle`] | a task that goes on there | a task that goes on there | a task that goes on there | its output is dropped | – |
//! | [`BlockingHandle`] | a closure that runs all the same | a closure that runs all the same | a closure that runs all the same | its output is dropped | – |
//! | [`PoolHandle`] | nothing; a closure that has begun goes on | nothing; a closure that has begun goes on | a closure that goes on | its output is dropped | – |
//! | [`ThreadPool::shutdown`] | nothing | a pool that ends all the same | a pool that ends all the same | a pool that has ended | – |

#![forbid(unsafe_code)]

#[cfg(doc)]
use crate::{
    fs::{
        self, Cursor, Dir, DirEntry, File, FileCache, OpenOptions, ReadDir, TempFile, Watcher,
        Watches,
    },
    io::{self, Lines, PipeReader, PipeWriter, Stderr, Stdin, Stdout, Watched},
    net::{
        ByteStream, Listener, ReadHalf, TcpListener, TcpListenerBuilder, TcpStream, UdpSocket,
        UnixListener, UnixStream, WriteAbandoned, WriteHalf,
    },
    process::{Child, Command},
    runtime::{BlockingHandle, RemoteHandle, Shard},
    signal::{self, Signals},
    sync::{
        Mutex, Notify, Semaphore, TaskQueue,
        channel::{Receiver, Sender},
        shard_channel::{BoundedShardSender, ShardReceiver, ShardSender},
    },
    task::{self, CancelToken, JoinHandle, JoinSet, LocalKey, PoolHandle, TaskGroup, ThreadPool},
    time::{self, Interval},
};
