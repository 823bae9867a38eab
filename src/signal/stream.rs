//! Signals as they come.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FusedStream, Stream};

use super::SignalKind;
use crate::driver;
use crate::sys::signal::Listener;
use crate::util::budget::Toll;

/// Listens for a signal. The stream has an item when the signal has come since the last one, the first
/// time since this call.
///
/// No runtime is needed until it is polled: what comes before is there then.
///
/// # Errors
///
/// - `InvalidInput`: the kernel lets no program catch the signal (`SIGKILL`, `SIGSTOP`), an instruction of
///   the program raises it (`SIGILL`, `SIGFPE`, `SIGSEGV`, `SIGBUS`), or it is not there: from 1 to 31 all
///   others are, and from `SIGRTMIN` to 64.
/// - No descriptor (`EMFILE`) could be had at first use. A later call tries again.
///
/// # Examples
///
/// ```no_run
/// use corering::signal::{self, SignalKind};
///
/// # fn read_configuration() {}
/// # async fn run() -> std::io::Result<()> {
/// let mut hangups = signal::signal(SignalKind::hangup())?;
/// loop {
///     read_configuration();
///     hangups.recv().await?;
/// }
/// # }
/// ```
pub fn signal(kind: SignalKind) -> io::Result<Signals> {
    signals([kind])
}

/// Listens for several signals. The items of the stream say which one came.
///
/// Of several that have come, each has its turn: one that comes all the time does not hold up the others.
/// A stream of no signal has no items.
///
/// # Errors
///
/// As with [`signal`](signal()), if one of them is refused.
///
/// # Examples
///
/// ```no_run
/// use corering::process::Child;
/// use corering::signal::{self, SignalKind};
///
/// async fn pass_on(child: &Child) -> std::io::Result<()> {
///     let passed_on = [SignalKind::hangup(), SignalKind::user_defined1()];
///     let mut signals = signal::signals(passed_on)?;
///     loop {
///         child.send_signal(signals.recv().await?)?;
///     }
/// }
/// ```
pub fn signals(kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<Signals> {
    let kinds: Vec<_> = kinds.into_iter().collect();
    Ok(Signals { listener: listen(&kinds)?, toll: Toll::Due })
}

pub(super) fn listen(kinds: &[SignalKind]) -> io::Result<Listener> {
    let numbers: Vec<_> = kinds.iter().map(SignalKind::as_raw_value).collect();
    Listener::install(&numbers)
}

/// Signals as they come. Made by [`signal`](signal()) and [`signals`].
///
/// Signals of a kind that come before one of them is taken are one. Each `Signals` gets what comes for
/// itself, and so does a clone, which begins with what has not been taken from its original. It may go to
/// another thread, and goes on in another runtime.
///
/// As a [`Stream`] it gives what [`recv`](Self::recv) gives, and has no end.
///
/// # Examples
///
/// ```
/// use corering::signal::{self, SignalKind};
/// use futures_util::StreamExt;
///
/// # fn terminal_is_resized() {
/// #     // SAFETY: raise takes no pointer.
/// #     unsafe { libc::raise(libc::SIGWINCH) };
/// # }
/// corering::block_on(async {
///     let mut resized = signal::signal(SignalKind::window_change())?;
///     terminal_is_resized();
///     assert_eq!(resized.next().await.unwrap()?, SignalKind::window_change());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "signals that nobody takes are swallowed"]
#[derive(Clone, Debug)]
pub struct Signals {
    listener: Listener,
    toll: Toll,
}

impl Signals {
    /// Waits until a signal has come, and takes it.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken no signal: the next call does.
    ///
    /// # Errors
    ///
    /// If there is no runtime on this thread, or it cannot be woken by signals: on epoll for want of memory
    /// or of watches (`max_user_watches`), and in a forked child on its parent's runtime.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use corering::signal::{self, SignalKind};
    ///
    /// # async fn run() -> std::io::Result<()> {
    /// let mut asked = signal::signal(SignalKind::user_defined1())?;
    /// loop {
    ///     asked.recv().await?;
    ///     println!("{:?}", corering::metrics());
    /// }
    /// # }
    /// ```
    pub async fn recv(&mut self) -> io::Result<SignalKind> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Takes a signal that has come, for futures that are written by hand.
    ///
    /// # Errors
    ///
    /// As with [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<SignalKind>> {
        driver::current()?.watch_signals()?;
        let Signals { listener, toll } = self;
        toll.poll(cx, |cx| listener.poll_next(cx)).map(|number| Ok(SignalKind::from_raw(number)))
    }
}

impl Stream for Signals {
    type Item = io::Result<SignalKind>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedStream for Signals {
    fn is_terminated(&self) -> bool {
        false
    }
}
