//! A process that was started: its streams, its end, and signals to it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

use super::reap::{Kept, Started};
use crate::io::{PipeReader, PipeWriter};
use crate::util::budget;
use crate::util::shard_bound::{AwaitTheChildOnItsShard, ShardBound};

/// A process that [`Command::spawn`](super::Command::spawn) has started.
///
/// Dropped, the process goes on, unless [`kill_on_drop`](super::Command::kill_on_drop) says otherwise; it is
/// reaped when it ends, so it leaves no zombie. The streams are closed with it, if they were not taken out.
///
/// # Examples
///
/// ```
/// use corering::process::{Command, Stdio};
///
/// # corering::block_on(async {
/// let mut command = Command::new("tr");
/// command.args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped());
/// let mut child = command.spawn().await?;
/// let mut stdin = child.stdin.take().expect("it is piped");
/// stdin.write_all("hello").await?;
/// drop(stdin);
/// let stdout = child.stdout.as_mut().expect("it is piped");
/// assert_eq!(stdout.recv().await?, "HELLO");
/// assert!(child.wait().await?.success());
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Child {
    /// What the process reads, if it was started with [`Stdio::piped`](super::Stdio::piped). Dropping or closing it is
    /// the end of that.
    ///
    /// # Examples
    ///
    /// As [`Child`].
    pub stdin: Option<PipeWriter>,
    /// What the process prints, if it was started with [`Stdio::piped`](super::Stdio::piped).
    ///
    /// # Examples
    ///
    /// As [`Child`].
    pub stdout: Option<PipeReader>,
    /// The errors that the process prints, if it was started with [`Stdio::piped`](super::Stdio::piped).
    pub stderr: Option<PipeReader>,
    kept: ShardBound<Kept, dyn AwaitTheChildOnItsShard>,
}

impl Child {
    pub(super) fn new(started: Started) -> Self {
        let mut kept = started.keep();
        let process = kept.process().as_std();
        Child {
            stdin: process.stdin.take().map(|end| PipeWriter::from(OwnedFd::from(end))),
            stdout: process.stdout.take().map(|end| PipeReader::from(OwnedFd::from(end))),
            stderr: process.stderr.take().map(|end| PipeReader::from(OwnedFd::from(end))),
            kept: ShardBound::new(kept),
        }
    }

    /// The number of the process. `None` once it was waited for: the number may be another's then.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("true").spawn().await?;
    /// assert!(child.id().is_some());
    /// child.wait().await?;
    /// assert_eq!(child.id(), None);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn id(&self) -> Option<u32> {
        self.kept.as_process().id()
    }

    /// Waits until the process has ended, and says how. Asked again, it says the same.
    ///
    /// The process's standard input is closed first, if it was not taken out: a process that reads to the
    /// end of it would otherwise wait for this program, which waits for it. What it prints is for others to
    /// read meanwhile: it stops while a pipe is full.
    ///
    /// An end by signal is told apart by `ExitStatusExt::signal` of the standard library.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the process as it is; a later call has its end. Standard input stays
    /// closed.
    ///
    /// # Errors
    ///
    /// If the program ignores SIGCHLD, or other code in it has waited for the process; if there is no
    /// runtime on this thread, or it has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("sleep").arg("1000").spawn().await?;
    /// child.terminate()?;
    /// let status = child.wait().await?;
    /// assert_eq!((status.code(), status.signal()), (None, Some(15)));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "pidfd_open")]
    #[doc(alias = "waitpid")]
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.kept.process().wait().await
    }

    /// How the process has ended, if it has, without waiting.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("sleep").arg("1000").spawn().await?;
    /// assert!(child.try_wait()?.is_none());
    /// child.kill().await?;
    /// assert!(child.try_wait()?.is_some());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.kept.process().try_wait()
    }

    /// Kills the process (SIGKILL), and waits until it has ended. The processes that it has started go on:
    /// see [`signal_group`](Self::signal_group).
    ///
    /// # Cancel safety
    ///
    /// Once polled, the process is killed; a later [`wait`](Self::wait) has its end.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it was waited for already; `PermissionDenied` if it has become another user's; and
    /// as [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("sleep").arg("1000").spawn().await?;
    /// child.kill().await?;
    /// let again = child.kill().await.unwrap_err();
    /// assert_eq!(again.kind(), std::io::ErrorKind::InvalidInput);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn kill(&mut self) -> io::Result<()> {
        budget::pay().await;
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// Kills the process (SIGKILL), and does not wait for its end.
    ///
    /// # Errors
    ///
    /// As [`send_signal`](Self::send_signal).
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("sleep").arg("1000").spawn().await?;
    /// child.start_kill()?;
    /// assert!(!child.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start_kill(&self) -> io::Result<()> {
        self.send_signal(libc::SIGKILL)
    }

    /// Asks the process to end (SIGTERM). It may take its time, or not comply.
    ///
    /// # Errors
    ///
    /// As [`send_signal`](Self::send_signal).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use corering::process::Command;
    /// use corering::time::timeout;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("sleep").arg("1000").spawn().await?;
    /// child.terminate()?;
    /// if timeout(Duration::from_secs(5), child.wait()).await.is_err() {
    ///     child.kill().await?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SIGTERM")]
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(libc::SIGTERM)
    }

    /// Sends the process a signal, by its number or as a [`SignalKind`](crate::signal::SignalKind). It reaches this process and no later one of the same
    /// number, also where the program ignores SIGCHLD (by `pidfd_send_signal(2)`, Linux 5.3).
    ///
    /// A process that has ended and was not waited for takes signals without effect.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it was waited for, or for a number that is no signal's; `PermissionDenied` if it
    /// has become another user's.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// use corering::process::Command;
    /// use corering::signal::SignalKind;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("sleep").arg("1000").spawn().await?;
    /// child.send_signal(SignalKind::user_defined1())?;
    /// assert_eq!(child.wait().await?.signal(), Some(SignalKind::user_defined1().into()));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "pidfd_send_signal")]
    pub fn send_signal(&self, signal: impl Into<i32>) -> io::Result<()> {
        self.kept.as_process().send_signal(signal.into())
    }

    /// Sends a signal to the process and to all in its group: those that it has started, if they have not
    /// left the group. The process has to lead it, by [`process_group(0)`](super::Command::process_group) or
    /// [`new_session`](super::Command::new_session).
    ///
    /// The group is signalled before the process is waited for: once that has happened, the number of the
    /// group may be another's.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the process leads no group, and as [`send_signal`](Self::send_signal).
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    /// use corering::signal::SignalKind;
    ///
    /// # corering::block_on(async {
    /// let mut shell = Command::new("sh");
    /// let mut child = shell.args(["-c", "sleep 1000 & wait"]).process_group(0).spawn().await?;
    /// child.signal_group(SignalKind::terminate())?;
    /// assert!(!child.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal_group(&self, signal: impl Into<i32>) -> io::Result<()> {
        self.kept.as_process().send_signal_to_group(signal.into())
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("id", &self.id()).finish_non_exhaustive()
    }
}
