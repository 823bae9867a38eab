//! A limit in time for any future.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Duration, Instant, Sleep, sleep, sleep_until};

/// Awaits `future` for `duration` at most, counted from this call. `Duration::MAX` is no limit.
///
/// When the time is over the future is dropped as it stands: [`cancel_safety`](crate::cancel_safety)
/// says what that leaves. For an I/O operation it means that the buffer it was given is lost; what a
/// stream had received stays for the next call. Use [`within`](super::within) to have the buffer back.
///
/// The future is polled before the timer, so a future that is ready wins. A limit that does not pass
/// costs no allocation, no system call and no cancel; one whose future is ready at once costs no timer.
///
/// The limit can be moved while the future runs: by [`Timeout::reschedule`] from outside, and inside
/// the future itself with [`timeout_with`].
///
/// # Cancel safety
///
/// That of `future`.
///
/// # Errors
///
/// [`Elapsed`] when the time is over.
///
/// # Panics
///
/// When polled outside a runtime, and if `future` panics.
///
/// # Examples
///
/// ```
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     let slow = time::sleep(Duration::MAX);
///     assert!(time::timeout(Duration::from_millis(1), slow).await.is_err());
///
///     let quick = async { 42 };
///     assert_eq!(time::timeout(Duration::from_secs(60), quick).await, Ok(42));
/// });
/// ```
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), limit: sleep(duration) }
}

/// Awaits `future` until `deadline` at most.
///
/// As [`timeout`] otherwise.
///
/// # Cancel safety
///
/// That of `future`.
///
/// # Errors
///
/// [`Elapsed`] when the deadline has passed.
///
/// # Panics
///
/// When polled outside a runtime, and if `future` panics.
///
/// # Examples
///
/// ```
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     // One deadline for two steps.
///     let deadline = time::now() + Duration::from_millis(1);
///     assert_eq!(time::timeout_at(deadline, async { 1 }).await, Ok(1));
///     assert!(time::timeout_at(deadline, std::future::pending::<()>()).await.is_err());
/// });
/// ```
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), limit: sleep_until(deadline) }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::time::{self, Duration};
    /// use std::pin::pin;
    ///
    /// corering::block_on(async {
    ///     let mut work = pin!(time::timeout(Duration::from_millis(1), async {
    ///         time::sleep(Duration::from_millis(5)).await;
    ///         "done"
    ///     }));
    ///     assert!(work.as_mut().await.is_err() && work.is_expired());
    ///     // It has not lost what it has done so far.
    ///     work.as_mut().reschedule(None);
    ///     assert_eq!(work.deadline(), None);
    ///     assert_eq!(work.await, Ok("done"));
    /// });
    /// ```
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        limit: Sleep,
    }
}

impl<F> Timeout<F> {
    /// When the limit passes, or `None` for never.
    pub fn deadline(&self) -> Option<Instant> {
        self.limit.deadline()
    }

    /// Whether the limit has passed before the future ended, as [`Elapsed`] has said.
    pub fn is_expired(&self) -> bool {
        self.limit.is_elapsed()
    }

    /// Moves the limit, nearer or further; `None` for no limit. The task that waits has to poll it
    /// again, as one that selects between this and something else does.
    ///
    /// Once the limit has passed, and was not awaited by value, the future stands as it was: with
    /// another limit it goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::select_biased;
    /// use corering::sync::Notify;
    /// use corering::time::{self, Duration, Elapsed};
    /// use futures_util::FutureExt;
    /// use std::pin::pin;
    ///
    /// /// Ends when there was no sign of life for a while.
    /// async fn watch(alive: &Notify, work: impl Future) -> Result<(), Elapsed> {
    ///     let patience = Duration::from_millis(1);
    ///     let mut work = pin!(time::timeout(patience, work));
    ///     loop {
    ///         select_biased! {
    ///             worked = work.as_mut().fuse() => return worked.map(drop),
    ///             () = alive.notified() => work.as_mut().reschedule(time::now() + patience),
    ///         }
    ///     }
    /// }
    ///
    /// corering::block_on(async {
    ///     let alive = Notify::new();
    ///     alive.notify_one();
    ///     assert!(watch(&alive, std::future::pending::<()>()).await.is_err());
    /// });
    /// ```
    pub fn reschedule(self: Pin<&mut Self>, deadline: impl Into<Option<Instant>>) {
        self.project().limit.reset_to(deadline.into());
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.limit.poll_alarm(cx).map(|()| Err(Elapsed))
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("deadline", &self.deadline())
            .field("is_expired", &self.is_expired())
            .finish_non_exhaustive()
    }
}

/// Awaits what `body` does until `deadline` at most, or without a limit (`None`), and lets the body
/// move its own limit.
///
/// As [`timeout_at`] otherwise. A limit that the body moves counts from when the body waits the next
/// time.
///
/// # Cancel safety
///
/// That of the body's future.
///
/// # Errors
///
/// [`Elapsed`] when the deadline has passed.
///
/// # Panics
///
/// When polled outside a runtime, and if the body panics.
///
/// # Examples
///
/// ```
/// use corering::net::{TcpStream, UnixStream};
/// use corering::time::{self, Duration};
/// use std::io;
///
/// /// Every message has a second, however many come.
/// async fn receive_all(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
///     const PATIENCE: Duration = Duration::from_secs(1);
///     let mut received = Vec::new();
///     time::timeout_with(time::now() + PATIENCE, async |limit| loop {
///         let bytes = stream.recv().await?;
///         if bytes.is_empty() {
///             return Ok(received);
///         }
///         received.extend_from_slice(&bytes);
///         limit.reschedule(time::now() + PATIENCE);
///     })
///     .await?
/// }
///
/// corering::block_on(async {
///     let (mut ours, mut theirs) = UnixStream::pair()?;
///     theirs.write_all("hello").await?;
///     drop(theirs);
///     assert_eq!(receive_all(&mut ours).await?, b"hello");
///     io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub async fn timeout_with<T>(
    deadline: impl Into<Option<Instant>>,
    body: impl AsyncFnOnce(&Limit) -> T,
) -> Result<T, Elapsed> {
    let limit = Limit { deadline: Cell::new(deadline.into()) };
    let mut sleep = Sleep::new(limit.deadline());
    let mut body = pin!(body(&limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = body.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if sleep.deadline() != limit.deadline() {
            sleep.reset_to(limit.deadline());
        }
        sleep.poll_alarm(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// The limit of a body that runs in [`timeout_with`].
///
/// # Examples
///
/// ```
/// use corering::time::{self, Duration, Limit};
///
/// async fn work(limit: &Limit) {
///     assert_eq!(limit.deadline(), None);
///     // It is known now how long the rest may take.
///     limit.reschedule(time::now() + Duration::from_millis(1));
///     std::future::pending().await
/// }
///
/// corering::block_on(async {
///     assert!(time::timeout_with(None, async |limit| work(limit).await).await.is_err());
/// });
/// ```
#[derive(Debug)]
pub struct Limit {
    /// `None`: never.
    deadline: Cell<Option<Instant>>,
}

impl Limit {
    /// When the body is ended, or `None` for never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// Moves the limit, nearer or further; `None` for no limit.
    pub fn reschedule(&self, deadline: impl Into<Option<Instant>>) {
        self.deadline.set(deadline.into());
    }
}

/// The limit of a [`timeout`] was reached before the future ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit was reached")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
