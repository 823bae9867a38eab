//! An io_uring completion-based runtime for Linux: one thread, one ring and one executor per core.
//!
//! A submission and a completion ring replace readiness polling. The executor owns the buffers of
//! what is in flight and resumes a task when its completion is reaped. The same program runs on
//! io_uring, and on epoll where io_uring is refused.
//!
//! ```
//! use corering::net::{TcpListener, TcpStream};
//!
//! #[corering::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     corering::spawn(async move {
//!         let mut stream = listener.accept().await?;
//!         let bytes = stream.recv().await?;
//!         stream.write_all(bytes).await?;
//!         Ok::<(), std::io::Error>(())
//!     });
//!     let mut stream = TcpStream::connect(address).await?;
//!     stream.write_all("hello").await?;
//!     assert_eq!(stream.recv().await?, "hello");
//!     Ok(())
//! }
//! ```
//!
//! # Where to begin
//!
//! - [`guide`]: getting started, coming from asyncio or tokio, and what a dropped future leaves.
//! - [`main`] and [`spawn`]: a program and its tasks. [`Runtime::builder`]: everything that can be
//!   set. [`Builder::run`]: several shards, each on a core of its own.
//! - [`net`], [`fs`], [`time`], [`signal`]: what programs wait for. [`net::serve`]: a server that ends
//!   gracefully. [`sync`]: channels and locks of one shard; [`shard_channel`], [`Handle`] and
//!   [`Shard::submit_to`] between shards and threads. [`spawn_blocking`]: work that blocks or computes;
//!   [`task::ThreadPool`]: a pool of its own for what computes.
//! - [`buf`]: what a buffer is. Operations take buffers by value and give them back with the result;
//!   an error gives the buffer back, too ([`BufError`]).
//! - [`probe`]: what this kernel can do, in plain sentences. [`metrics`]: what a shard has counted.
//!
//! # What ends a future early
//!
//! One thing does: a drop. It loses nothing, since a stream owns what it has received and a listener
//! what it has accepted; the next call has it. [`cancel_safety`] says of each operation what is left.
//!
//! | | drops | when |
//! |---|---|---|
//! | [`time::timeout`] | its future | the time is over |
//! | [`select_biased!`] | the futures of the other branches | one is ready |
//! | [`CancelToken::run`](task::CancelToken::run) | its future | the token is cancelled, by whatever thread |
//! | [`JoinHandle::abort`], or the drop of a [`JoinSet`](task::JoinSet) | the future of a task | the task would run next |
//! | the end of a [`TaskGroup`](task::TaskGroup), by the first failure for instance | the futures of its tasks | its grace time is over |
//! | the end of a [`local_group`](task::local_group) | the futures in it | the first of them fails |
//! | the end of a [`Runtime`] | the futures of its tasks | [`Builder::drain_timeout`] is over |
//!
//! [`time::within`] ends an operation otherwise: it cancels, and waits for the outcome.
//!
//! # Several futures in one task
//!
//! [`join!`], [`try_join!`] and [`select_biased!`] are those of `futures-util`, and poll in the order in
//! which the branches stand. There is no `select!` among them: it takes its order from random numbers
//! of its own, so a run on the simulated kernel could not be repeated from its seed.
//!
//! Code that was written for tokio keeps its `tokio::select!`, which needs tokio's feature `macros` and
//! nothing else of it. `biased;` makes its order the one that is written, too:
//!
// Compiled in tests/compat, since the library does without tokio.
#![cfg_attr(not(doctest), doc = include_str!("tokio_select.md"))]
//!
//! # Tasks stay on their shard
//!
//! Tasks, streams and buffers are `!Send`: nothing on the hot path is shared. A `Waker` is `Send`,
//! as its contract demands, so anything may wake a task from any thread. So are errors, also those
//! that give a buffer back: they become a `Box<dyn Error + Send + Sync>` or an `anyhow::Error` by `?`.
//! And so is a [`Handle`], by which any thread spawns tasks on a shard and awaits them.
//!
//! # What differs between the drivers
//!
//! Programs see the same results on io_uring and on epoll. What a program can see that looks closely:
//!
//! | | io_uring | epoll |
//! |---|---|---|
//! | a stream's `recv` that is polled only once (`now_or_never`) while bytes wait in the socket | pending: the poll has begun the receive, and a later round brings it | the bytes, unless the stream has waited before and no event has told of them yet |
//! | after a `recv` that was dropped or timed out | the kernel may receive on, for the stream: a duplicate of its descriptor (std's `try_clone`) does not get those bytes; `detach` gives them | bytes stay in the socket, for whoever asks first |
//! | a write to a stream that was dropped in flight | sends until its cancel is submitted, in the shard's next visit to the kernel | sends no more from then on |
//! | a read of a pipe, by a [`File`](fs::File), that was dropped in flight | may take what comes until its cancel is submitted | takes nothing |
//!
//! # Signals
//!
//! No call of the runtime ends the process by SIGPIPE or SIGXFSZ: what raises them is an error, also
//! where the program has set SIGPIPE to its default. A ring looks at the limit of file sizes
//! (`RLIMIT_FSIZE`) and at these signals when its shard first writes a file.
//!
//! # Features
//!
//! - `macros` (default): [`main`] and [`test`]; [`join!`], [`try_join!`] and [`select_biased!`], for which
//!   `syn` is compiled.
//! - `bytes`: `bytes::Bytes` and `bytes::BytesMut` as buffers.
//! - `tracing`: log lines through `tracing` instead of standard error.
//! - `hyper`: hyper's I/O traits, executor and timer, in [`compat`].
//! - `hyper-client`: a connector for hyper-util's client, which keeps connections for the next request.
//! - `axum`: a server for axum, tonic and other tower services, in [`compat`]; `axum-ws`: WebSockets in
//!   axum's handlers, too.
//! - `futures-io`: streams with the I/O traits of `futures`, and `tokio-io`: with those of tokio, in both
//!   directions and without its runtime, in [`compat`].
//! - `process-pool`: `process::Pool`, functions in processes of their own; with it come serde and `postcard`.
//! - `tokio-guest`: tokio's runtime beside the shards, for libraries that need it, in [`compat`].
//! - `sim`: the simulated kernel. Test support, not yet public API.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("corering runs on 64-bit Linux only");

// What `#[corering::test]` expands to names the crate, in the crate's own tests, too.
#[cfg(test)]
extern crate self as corering;

// The programs of the README are compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod buf;
pub mod cancel_safety;
pub mod compat;
mod driver;
pub mod fs;
// Its examples name other crates: they are compiled in tests/compat.
#[cfg(all(doc, not(doctest)))]
pub mod guide;
pub mod io;
pub mod net;
mod op;
pub mod process;
mod runtime;
pub mod signal;
pub mod sync;
mod sys;
pub mod task;
pub mod time;
mod util;

#[cfg(feature = "macros")]
pub use corering_macros::{main, test};

/// Polls futures in the order in which they stand, and gives all outputs, as a tuple, when the last has
/// ended. Dropped before, it drops them all.
///
/// It is one task that polls them; [`spawn`] makes a task for each.
///
/// ```
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     let slow = async {
///         time::sleep(Duration::from_millis(1)).await;
///         1
///     };
///     assert_eq!(corering::join!(slow, async { 2 }), (1, 2));
/// });
/// ```
#[cfg(feature = "macros")]
#[doc(inline)]
pub use futures_util::join;

/// As [`join!`](crate::join), of futures that give results: the first error ends it, and drops the
/// others.
///
/// ```
/// use corering::net::{TcpListener, TcpStream};
///
/// # #[corering::main]
/// # async fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let (client, server) = corering::try_join!(TcpStream::connect(address), listener.accept())?;
/// assert_eq!(client.peer_addr()?, server.local_addr()?);
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "macros")]
#[doc(inline)]
pub use futures_util::try_join;

/// Polls futures in the order in which they stand, and runs the branch of the first that is ready.
///
/// The other futures are dropped if the branch holds them, and go on in the next round of a loop if it
/// borrows them. Each says by [`FusedFuture`](futures_util::future::FusedFuture) that it has ended; what
/// does not say so says it after `fuse()`, of `futures_util::FutureExt`.
///
/// ```
/// use corering::sync::channel;
/// use corering::time::{self, Duration};
/// use futures_util::StreamExt;
///
/// corering::block_on(async {
///     let (sender, mut jobs) = channel::bounded(2);
///     corering::spawn(async move {
///         for job in 1..=3 {
///             sender.send(job).await.unwrap();
///         }
///     });
///     let mut limit = time::sleep(Duration::from_secs(60));
///     let mut sum = 0;
///     loop {
///         corering::select_biased! {
///             job = jobs.next() => match job {
///                 Some(job) => sum += job,
///                 None => break,
///             },
///             () = limit => panic!("the jobs took too long"),
///         }
///     }
///     assert_eq!(sum, 6);
/// });
/// ```
#[cfg(feature = "macros")]
#[doc(inline)]
pub use futures_util::select_biased;

pub use buf::{BufError, BufResult, RecvBuf};
pub use driver::{Metrics, ReceivePolicy};
#[cfg(feature = "sim")]
#[doc(hidden)]
pub use runtime::sim;
pub use runtime::{
    BlockingHandle, Builder, Driver, Handle, RemoteHandle, Runtime, Shard, ShardError,
    ShardFailure, ShutdownReport, block_on, metrics, spawn_blocking,
};
#[doc(hidden)]
pub use runtime::{run_main, test_support};
#[doc(inline)]
pub use sync::shard_channel::unbounded as shard_channel;
pub use sync::shard_channel::{BoundedShardSender, ShardReceiver, ShardSender};
pub use sys::probe::{Capabilities, probe};
pub use sys::refusal::Refusal;
pub use task::{JoinHandle, spawn, yield_now};
