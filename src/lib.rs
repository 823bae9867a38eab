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
//! - [`main`] and [`spawn`]: a program and its tasks. [`Runtime::builder`]: everything that can be
//!   set. [`Builder::run`]: several shards, each on a core of its own.
//! - [`net`], [`fs`], [`time`], [`signal`]: what programs wait for. [`sync`]: channels and locks of
//!   one shard; [`shard_channel`] and [`Shard::submit_to`] between shards. [`spawn_blocking`]: work
//!   that blocks or computes.
//! - [`buf`]: what a buffer is. Operations take buffers by value and give them back with the result;
//!   an error gives the buffer back, too ([`BufError`]).
//! - [`time::timeout`], `select!` and [`JoinHandle::abort`] drop a future, and that loses nothing;
//!   [`time::within`] tells how a single operation ended.
//! - [`probe`]: what this kernel can do, in plain sentences. [`metrics`]: what a shard has counted.
//!
//! # Tasks stay on their shard
//!
//! Tasks, streams and buffers are `!Send`: nothing on the hot path is shared. A `Waker` is `Send`,
//! as its contract demands, so anything may wake a task from any thread. So are errors, also those
//! that give a buffer back: they become a `Box<dyn Error + Send + Sync>` or an `anyhow::Error` by `?`.
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
//! - `macros` (default): [`main`] and [`test`].
//! - `bytes`: `bytes::Bytes` and `bytes::BytesMut` as buffers.
//! - `tracing`: log lines through `tracing` instead of standard error.
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
mod driver;
pub mod fs;
pub mod io;
pub mod net;
mod op;
mod runtime;
pub mod signal;
pub mod sync;
mod sys;
pub mod task;
pub mod time;
mod util;

#[cfg(feature = "macros")]
pub use corering_macros::{main, test};

pub use buf::{BufError, BufResult, RecvBuf};
pub use driver::{Metrics, ReceivePolicy};
#[cfg(feature = "sim")]
#[doc(hidden)]
pub use runtime::sim;
pub use runtime::{
    BlockingHandle, Builder, Driver, Runtime, Shard, ShardError, ShardFailure, ShardReceiver,
    ShardSender, ShutdownReport, block_on, metrics, shard_channel, spawn_blocking,
};
#[doc(hidden)]
pub use runtime::{run_main, test_support};
pub use sys::probe::{Capabilities, probe};
pub use sys::refusal::Refusal;
pub use task::{JoinHandle, spawn, yield_now};
