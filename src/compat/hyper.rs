//! hyper, straight from ring buffers: its I/O traits, its executor and its timer.
//!
//! hyper wants its I/O to be `Send`, for upgrades, and what sleeps to be `Send` and `Sync`. Nothing of a
//! shard is, so what is here is bound to its thread: see `util/sent_home.rs`.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::hyper::rt::{Executor, Read, ReadBufCursor, Timer, Write};

use super::lending::Lending;
use crate::io::{Lend, PollWrite};
use crate::task;
use crate::time;
use crate::util::sent_home::SentHome;

/// A stream as hyper's `Read` and `Write`, in both directions with one copy at most: what was received
/// is copied from the shard's buffer into hyper's.
///
/// It is `Send`, as hyper demands, but of use on its own thread only. Dropped on another, the stream
/// goes back to its shard and is closed there; if that has ended, it is leaked, and
/// [`Metrics::leaked_elsewhere`](crate::Metrics::leaked_elsewhere) counts it.
///
/// # Panics
///
/// Every method does on another thread than that which made it.
///
/// # Examples
///
/// `hyper::server::conn::http1::Builder::serve_connection` takes it as it is. By hand:
///
/// ```
/// use std::future::poll_fn;
/// use std::pin::Pin;
///
/// use corering::compat::Hyper;
/// use corering::net::UnixStream;
/// use hyper::rt::{Read, ReadBuf, Write};
///
/// # corering::block_on(async {
/// let (one, mut other) = UnixStream::pair()?;
/// let mut io = Hyper::new(one);
/// other.write_all("hello").await?;
///
/// let mut memory = [0; 4];
/// let mut buf = ReadBuf::new(&mut memory);
/// poll_fn(|cx| Pin::new(&mut io).poll_read(cx, buf.unfilled())).await?;
/// assert_eq!(buf.filled(), b"hell");
/// poll_fn(|cx| Pin::new(&mut io).poll_write(cx, b"yes")).await?;
/// assert_eq!(&*other.recv().await?, b"yes");
///
/// assert_eq!(io.into_inner().recv().await?, "o");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Hyper<S: 'static> {
    bound: SentHome<Lending<S>>,
}

impl<S> Hyper<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Hyper { bound: SentHome::new(Lending::new(stream), task::current_mailbox()) }
    }

    /// The stream, for instance to ask for its addresses.
    pub fn get_ref(&self) -> &S {
        match self.bound.get() {
            Some(lending) => &lending.stream,
            None => not_at_home("Hyper"),
        }
    }

    /// The stream, with all bytes that were not read by this. Behind an upgrade what hyper has read comes
    /// first: `stream.put_back(Vec::from(parts.read_buf).into())`, of [`Lend`].
    pub fn into_inner(self) -> S {
        match self.bound.into_inner() {
            Some(lending) => lending.into_inner(),
            None => not_at_home("Hyper"),
        }
    }

    #[inline]
    fn lending(self: Pin<&mut Self>) -> &mut Lending<S> {
        match self.get_mut().bound.get_mut() {
            Some(lending) => lending,
            None => not_at_home("Hyper"),
        }
    }
}

/// The stream is never pinned: its methods take it by reference.
impl<S> Unpin for Hyper<S> {}

impl<S: Lend> Read for Hyper<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.lending().poll_take(cx, |bytes| {
            let taken = bytes.len().min(buf.remaining());
            buf.put_slice(&bytes[..taken]);
            taken
        });
        read.map_ok(drop)
    }
}

impl<S: PollWrite> Write for Hyper<S> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lending().stream.poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lending().stream.poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lending().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lending().stream.poll_shutdown(cx)
    }
}

impl<S> fmt::Debug for Hyper<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hyper").finish_non_exhaustive()
    }
}

/// hyper's executor: it spawns onto the shard of the thread it is used on. The futures need not be
/// `Send`.
///
/// # Panics
///
/// Where [`spawn`](crate::spawn) does, outside a runtime.
///
/// # Examples
///
/// ```
/// use corering::compat::HyperExecutor;
/// use corering::sync::oneshot;
/// use hyper::rt::Executor;
///
/// corering::block_on(async {
///     let (sender, receiver) = oneshot::channel();
///     HyperExecutor.execute(async move { sender.send("spawned") });
///     assert_eq!(receiver.await, Ok("spawned"));
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperExecutor;

impl<F: Future + 'static> Executor<F> for HyperExecutor {
    #[inline]
    fn execute(&self, future: F) {
        drop(task::spawn(future));
    }
}

/// hyper's timer, on the timer wheel of the shard it is used on and by [the clock](crate::time::now)
/// of its timers.
///
/// A sleep is of use on the thread that made it only, as [`Hyper`] is, and `reset` allocates nothing.
///
/// # Panics
///
/// A sleep does when it is polled or reset on another thread, or polled outside a runtime.
///
/// # Examples
///
/// ```
/// use corering::compat::HyperTimer;
/// use corering::time::Duration;
/// use hyper::rt::Timer;
///
/// corering::block_on(async {
///     let begin = HyperTimer.now();
///     let mut sleep = HyperTimer.sleep(Duration::MAX);
///     HyperTimer.reset(&mut sleep, begin + Duration::from_millis(1));
///     sleep.await;
///     assert!(HyperTimer.now() - begin >= Duration::from_millis(1));
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperTimer;

impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Sleep::boxed(time::sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Sleep::boxed(time::sleep_until(deadline))
    }

    fn now(&self) -> Instant {
        time::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn ::hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(ours) => ours.timer().reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

struct Sleep(SentHome<time::Sleep>);

impl Sleep {
    fn boxed(timer: time::Sleep) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Box::pin(Sleep(SentHome::new(timer, task::current_mailbox())))
    }

    #[inline]
    fn timer(self: Pin<&mut Self>) -> &mut time::Sleep {
        match self.get_mut().0.get_mut() {
            Some(timer) => timer,
            None => not_at_home("HyperTimer's sleep"),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self.timer()).poll(cx)
    }
}

impl ::hyper::rt::Sleep for Sleep {}

#[cold]
pub(super) fn not_at_home(what: &str) -> ! {
    panic!(
        "a corering::compat::{what} is of use only on the thread that made it: serve a connection on \
         the shard that accepted it, and take what it gives by upgrade there, too"
    )
}
