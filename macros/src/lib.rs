//! The attributes `#[corering::main]` and `#[corering::test]`, reached through the `corering` crate.
//!
//! The functions are read token by token instead of through a full parser of Rust: all that is
//! needed of a function is where its parts begin, and a program that only wants these two
//! attributes compiles nothing else for them. Nothing here knows how the runtime works: the
//! expansion uses its public builder, and `corering::test_support` for tests.
//!
//! Read `function.rs` first, then `expand.rs`.

mod arguments;
mod expand;
mod function;

use proc_macro::TokenStream;

/// Runs an `async fn main` on a runtime of one shard, on the main thread.
///
/// The function returns what its body returns. If the runtime cannot be built, the reason is
/// printed to standard error and the process ends with status 1.
///
/// `driver = "uring" | "epoll" | "auto"` chooses the driver. The default is `auto`, for which
/// the environment variable `CORERING_DRIVER` decides, and without it the kernel: io_uring
/// where it is allowed, epoll where it is not.
///
/// `worker = FUNCTIONS` lets processes that a `corering::process::Pool` has started serve its calls
/// instead, as a plain `fn main` does that begins with `corering::process::worker(FUNCTIONS)`. It needs
/// the feature `process-pool`.
///
/// A program of several shards uses `corering::Runtime::builder().shards(n).run(..)` instead.
///
/// # Examples
///
/// ```
/// use corering::net::{TcpListener, TcpStream};
///
/// #[corering::main]
/// async fn main() -> std::io::Result<()> {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
///     listener.accept().await?.write_all("hello").await?;
///     assert_eq!(&*client.recv().await?, b"hello");
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::main(arguments, item)
}

/// Runs an `async fn` as a test, once on each driver.
///
/// The drivers are those named in the environment variable `CORERING_TEST_DRIVERS`, separated by
/// commas; the default is `uring,epoll`. Each body gets a fresh runtime. A driver that is named
/// but refused by the kernel fails the test with the reason: nothing is skipped quietly. After
/// the body the runtime is asked whether any operation or buffer was left behind, which fails the
/// test, too.
///
/// The function takes no arguments and returns `()` or `Result<(), E>` with `E: Debug`.
///
/// `driver = "uring" | "epoll"` limits a test to one driver, for behaviour that the other one
/// does not have. Such a test runs no body where `CORERING_TEST_DRIVERS` does not name its driver.
///
/// # Examples
///
/// ```
/// use corering::net::UnixStream;
///
/// #[corering::test]
/// async fn a_closed_peer_reads_as_the_end() -> std::io::Result<()> {
///     let (mut own, peer) = UnixStream::pair()?;
///     drop(peer);
///     assert!(own.recv().await?.is_empty());
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::test(arguments, item)
}
