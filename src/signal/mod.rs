//! Signals: those that ask a program to end as futures, and all others as streams.
//!
//! [`shutdown`], [`ctrl_c`] and [`terminate`] are what most programs need. [`signal`](signal()) is a
//! stream of any signal that can be caught, and [`signals`] one of several.
//!
//! Once listened for, a signal keeps its handler for the rest of the process's life: from then on it
//! no longer does what it does by default, such as end the process. What handled it before is called, too,
//! and so is what others register with `signal-hook-registry`. A handler that another library installs
//! later, by `sigaction` and without a call of the one before it, takes the signal from these futures and
//! streams. Any number of tasks on any number of shards may wait at once; each of them gets the signal.
//!
//! Signals are not counted. Those of a kind that come while one waits to be taken are one with it, as they
//! are in the kernel, and here this goes for signals in real time, too. A program that asks for the state
//! of things when a signal comes, and not for how often it came, misses nothing: the last one is never lost.
//!
//! Nothing in corering listens for `SIGCHLD`. A program may ([`SignalKind::child`]); its children are waited
//! for as before. If it ignored the signal until then, the kernel reaped its children, and now does so no more.
//!
//! In a child of `fork` such a signal does what it did before it was listened for, until the child listens
//! itself, in a runtime of its own.

#![forbid(unsafe_code)]

mod kind;
mod stream;

pub use kind::SignalKind;
pub use stream::{Signals, signal, signals};

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};

use futures_util::future::FusedFuture;

use crate::driver;
use crate::sys::signal::Listener;
use crate::util::budget::Toll;

/// Waits for Ctrl-C, which is `SIGINT`.
///
/// The future completes at the first signal that comes after `ctrl_c()` was called, whether or not it
/// had been polled by then.
///
/// # Cancel safety
/// Dropping the future takes nothing away from others that wait. A signal that comes while no future
/// exists is swallowed, also a second Ctrl-C after the futures are gone: a program that wants to be
/// ended by it waits for it again.
///
/// # Errors
/// If no descriptor (`EMFILE`) could be had at first use (a later call tries again), or if there is
/// no runtime on this thread.
///
/// # Examples
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// corering::signal::ctrl_c().await?;
/// println!("stopping");
/// # Ok(())
/// # }
/// ```
#[doc(alias = "SIGINT")]
pub fn ctrl_c() -> Signal {
    Signal::new(&[SignalKind::interrupt()])
}

/// Waits for `SIGTERM`, which service managers and container engines send.
///
/// The future completes at the first signal that comes after `terminate()` was called, whether or not it
/// had been polled by then.
///
/// # Cancel safety
/// As with [`ctrl_c`].
///
/// # Errors
/// As with [`ctrl_c`].
///
/// # Examples
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// corering::signal::terminate().await?;
/// # Ok(())
/// # }
/// ```
#[doc(alias = "SIGTERM")]
pub fn terminate() -> Signal {
    Signal::new(&[SignalKind::terminate()])
}

/// Waits for whichever of `SIGINT` and `SIGTERM` comes first: what a server ends at.
///
/// A server of several shards calls it once, before they start, and gives each a clone. A shard that
/// called it itself would not be told of a signal that came before its thread got that far, when others
/// had already begun to stop.
///
/// # Cancel safety
/// As with [`ctrl_c`].
///
/// # Errors
/// As with [`ctrl_c`].
///
/// # Examples
/// ```no_run
/// # async fn serve() {}
/// # async fn run() -> std::io::Result<()> {
/// use futures_util::FutureExt;
///
/// corering::select_biased! {
///     stopped = corering::signal::shutdown() => stopped?,
///     () = Box::pin(serve()).fuse() => {}
/// }
/// # Ok(())
/// # }
/// ```
pub fn shutdown() -> Signal {
    Signal::new(&[SignalKind::interrupt(), SignalKind::terminate()])
}

/// The future of [`ctrl_c`], [`terminate`] and [`shutdown`].
///
/// A clone completes at the signal that its original completes at, also if that has come already. It
/// may go to another thread.
///
/// # Examples
/// ```no_run
/// # use corering::Runtime;
/// let stop = corering::signal::shutdown();
/// Runtime::builder().shards(2).run(|_shard| {
///     let stop = stop.clone();
///     async move { stop.await }
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a future does nothing until it is awaited"]
pub struct Signal {
    listener: Result<Listener, Option<io::Error>>,
    toll: Toll,
    done: bool,
}

impl Signal {
    fn new(kinds: &[SignalKind]) -> Self {
        Signal { listener: stream::listen(kinds).map_err(Some), toll: Toll::Due, done: false }
    }
}

impl Clone for Signal {
    fn clone(&self) -> Self {
        let listener = match &self.listener {
            Ok(listener) => Ok(listener.clone()),
            Err(Some(error)) => Err(Some(again(error))),
            Err(None) => Err(None),
        };
        Signal { listener, toll: Toll::Due, done: false }
    }
}

/// The error once more: an `io::Error` cannot be cloned.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl Future for Signal {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.poll_listener(context);
        self.done = polled.is_ready();
        polled
    }
}

impl Signal {
    fn poll_listener(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Signal { listener, toll, .. } = self;
        match listener {
            Ok(listener) => {
                driver::current()?.watch_signals()?;
                toll.poll(context, |context| listener.poll(context)).map(Ok)
            }
            Err(error) => Poll::Ready(Err(error
                .take()
                .unwrap_or_else(|| io::Error::other("the error was taken by the poll before")))),
        }
    }
}

impl FusedFuture for Signal {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").finish_non_exhaustive()
    }
}
