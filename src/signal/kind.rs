//! Which signal.

/// The number of a signal, such as `SIGHUP`.
///
/// Which numbers can be listened for, [`signal`](super::signal()) says.
///
/// # Examples
///
/// ```
/// use corering::signal::SignalKind;
///
/// assert_eq!(SignalKind::terminate().as_raw_value(), 15);
/// assert_eq!(SignalKind::from_raw(15), SignalKind::terminate());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignalKind(i32);

impl SignalKind {
    /// The signal of a number. Those in real time have numbers from `SIGRTMIN` on, which the C
    /// library says (34 with glibc, 35 with musl), up to 64.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::signal::{self, SignalKind};
    ///
    /// let resized = signal::signal(SignalKind::from_raw(28))?;
    /// let in_real_time = signal::signal(SignalKind::from_raw(40))?;
    /// // SIGKILL cannot be caught.
    /// let error = signal::signal(SignalKind::from_raw(9)).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const fn from_raw(number: i32) -> Self {
        SignalKind(number)
    }

    /// The number, for `kill(2)` and its like.
    pub const fn as_raw_value(&self) -> i32 {
        self.0
    }

    /// `SIGALRM`: a timer of `alarm(2)` has ended.
    #[doc(alias = "SIGALRM")]
    pub const fn alarm() -> Self {
        SignalKind(libc::SIGALRM)
    }

    /// `SIGCHLD`: a child has ended, was stopped, or goes on.
    #[doc(alias = "SIGCHLD")]
    pub const fn child() -> Self {
        SignalKind(libc::SIGCHLD)
    }

    /// `SIGHUP`: the terminal is gone. Services read their configuration again.
    #[doc(alias = "SIGHUP")]
    pub const fn hangup() -> Self {
        SignalKind(libc::SIGHUP)
    }

    /// `SIGINT`: `Ctrl-C`.
    #[doc(alias = "SIGINT")]
    pub const fn interrupt() -> Self {
        SignalKind(libc::SIGINT)
    }

    /// `SIGIO`: a descriptor that was asked to say so is ready.
    #[doc(alias = "SIGIO")]
    #[doc(alias = "SIGPOLL")]
    pub const fn io() -> Self {
        SignalKind(libc::SIGIO)
    }

    /// `SIGPIPE`: a write to a pipe or a socket that has no reader.
    #[doc(alias = "SIGPIPE")]
    pub const fn pipe() -> Self {
        SignalKind(libc::SIGPIPE)
    }

    /// `SIGQUIT`: `Ctrl-\`, which by default ends the process with a core dump.
    #[doc(alias = "SIGQUIT")]
    pub const fn quit() -> Self {
        SignalKind(libc::SIGQUIT)
    }

    /// `SIGTERM`: service managers and container engines ask the program to end.
    #[doc(alias = "SIGTERM")]
    pub const fn terminate() -> Self {
        SignalKind(libc::SIGTERM)
    }

    /// `SIGUSR1`: what the program makes of it.
    #[doc(alias = "SIGUSR1")]
    pub const fn user_defined1() -> Self {
        SignalKind(libc::SIGUSR1)
    }

    /// `SIGUSR2`: what the program makes of it.
    #[doc(alias = "SIGUSR2")]
    pub const fn user_defined2() -> Self {
        SignalKind(libc::SIGUSR2)
    }

    /// `SIGWINCH`: the terminal has another size.
    #[doc(alias = "SIGWINCH")]
    pub const fn window_change() -> Self {
        SignalKind(libc::SIGWINCH)
    }
}

impl From<i32> for SignalKind {
    fn from(number: i32) -> Self {
        SignalKind::from_raw(number)
    }
}

impl From<SignalKind> for i32 {
    fn from(kind: SignalKind) -> Self {
        kind.as_raw_value()
    }
}
