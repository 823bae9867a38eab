//! Running a child to its end: its input is written while its output is collected.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Output};
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;

use super::command::Unset;
use super::exchange::{Exchange, Stopped};
use super::{Child, Command};
use crate::buf::IoBuf;
use crate::time::{self, Duration};

impl Child {
    /// Writes all of `input` to the child's standard input and closes it, collects what the child
    /// writes meanwhile, and waits for its end.
    ///
    /// Whichever pipe fills, the others go on, so neither side waits for the other. A child that closes
    /// its standard input before it has read everything is no error. Outputs that are not
    /// [piped](super::Stdio::piped) are empty, and so is one whose stream was taken out of the child.
    ///
    /// An output has ended when every process that has it has closed it: what the child leaves running
    /// keeps the wait going, unless [`time_limit`](Communicate::time_limit) ends it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops the child: its pipes are closed, and what had come of its output is lost. The
    /// child runs on, and is reaped when it ends, unless
    /// [`kill_on_drop`](Command::kill_on_drop) was set, which kills it.
    ///
    /// # Errors
    ///
    /// [`CommunicateError`], which has what came until then: a limit has passed, `InvalidInput` for an
    /// input without a pipe to write it to, and those of the pipes and of [`wait`](Child::wait). Each
    /// of them kills the child and waits for its end. What the child has started is killed only with its
    /// group, if the child leads one: by [`process_group(0)`](Command::process_group), for instance.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::process::{Command, Stdio};
    ///
    /// let mut command = Command::new("tr");
    /// command.args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    /// let output = command.spawn().await?.communicate("shout").await?;
    /// assert!(output.status.success());
    /// assert_eq!(output.stdout, b"SHOUT");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "TimeoutExpired")]
    pub fn communicate<B: IoBuf>(self, input: B) -> Communicate<'static> {
        Communicate::new(move |limits| Box::pin(run(self, Some(input), limits)))
    }

    /// Closes the child's standard input, collects what the child writes, and waits for its end.
    ///
    /// It is [`communicate`](Self::communicate) without an input.
    ///
    /// # Cancel safety
    ///
    /// As [`communicate`](Self::communicate).
    ///
    /// # Errors
    ///
    /// As [`communicate`](Self::communicate).
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::process::{Command, Stdio};
    ///
    /// let child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn().await?;
    /// assert_eq!(child.wait_with_output().await?.stdout, b"hello\n");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_with_output(self) -> Communicate<'static> {
        Communicate::new(move |limits| Box::pin(run(self, None::<&str>, limits)))
    }
}

impl Command {
    /// Starts the program, collects what it writes, and waits for its end.
    ///
    /// Its standard output and standard error are collected, and its standard input is empty, unless
    /// they were set otherwise. (What was set before this command was made of a
    /// [`std::process::Command`] is not known, and does not count.)
    ///
    /// # Cancel safety
    ///
    /// As [`Child::communicate`]; dropped before the program was started, as [`spawn`](Self::spawn).
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn) and of [`Child::communicate`].
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::process::Command;
    ///
    /// let output = Command::new("echo").arg("hello").output().await?;
    /// assert!(output.status.success());
    /// assert_eq!((&*output.stdout, &*output.stderr), (&b"hello\n"[..], &b""[..]));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "check_output")]
    pub fn output(&mut self) -> Communicate<'_> {
        Communicate::new(|limits| {
            Box::pin(async move {
                match self.start(Unset::IsCaptured).await {
                    Ok(child) => run(child, None::<&str>, limits).await,
                    Err(error) => Err(CommunicateErrorKind::Io(error).with_nothing()),
                }
            })
        })
    }

    /// Starts the program, and waits for its end. What it has as standard streams is what was set, or else
    /// inherited; one that is piped is closed at the end, and nobody reads it before.
    ///
    /// # Cancel safety
    ///
    /// As [`spawn`](Self::spawn), and as a [`Child`] that is dropped: it goes on, unless
    /// [`kill_on_drop`](Self::kill_on_drop) was set, and is reaped.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn) and of [`Child::wait`].
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::process::shell;
    ///
    /// assert_eq!(shell("exit 3").status().await?.code(), Some(3));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn().await?.wait().await
    }
}

/// A child on its way to its end, from [`Child::communicate`], [`Child::wait_with_output`] or
/// [`Command::output`].
///
/// It is awaited; methods before that set limits. It stays on its shard.
///
/// # Examples
///
/// ```
/// # corering::block_on(async {
/// use corering::process::{Command, CommunicateErrorKind};
/// use corering::time::Duration;
///
/// let mut endless = Command::new("yes");
/// let error = endless.output().max_output(1000).await.expect_err("it writes more");
/// assert!(matches!(error.kind, CommunicateErrorKind::OutputLimit(1000)));
/// assert_eq!(error.stdout, b"y\n".repeat(500));
///
/// let mut idle = Command::new("sleep");
/// let limit = Duration::from_millis(10);
/// let error = idle.arg("1000").output().time_limit(limit).await.expect_err("it takes longer");
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::TimedOut);
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a future does nothing unless it is awaited"]
pub struct Communicate<'a> {
    limits: Limits,
    stage: Stage<'a>,
}

/// What ends a child early.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes_max: usize,
    time_max: Duration,
}

type Running<'a> = LocalBoxFuture<'a, Result<Output, CommunicateError>>;

enum Stage<'a> {
    /// Takes the limits when it is first polled.
    NotBegun(Option<Box<dyn FnOnce(Limits) -> Running<'a> + 'a>>),
    Running(Running<'a>),
}

impl<'a> Communicate<'a> {
    fn new(begin: impl FnOnce(Limits) -> Running<'a> + 'a) -> Self {
        let limits = Limits { bytes_max: usize::MAX, time_max: Duration::MAX };
        Communicate { limits, stage: Stage::NotBegun(Some(Box::new(begin))) }
    }

    /// Sets the most bytes to keep, of standard output and standard error together. A child that writes
    /// more is killed. No limit if this is not called.
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.limits.bytes_max = bytes;
        self
    }

    /// Sets how long it may take until the child has ended and its outputs are closed. Then the child is
    /// killed. The time counts from the first poll, or, of [`Command::output`], from when the program was
    /// started. No limit if this is not called.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limits.time_max = limit;
        self
    }
}

impl Future for Communicate<'_> {
    type Output = Result<Output, CommunicateError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let limits = self.limits;
        if let Stage::NotBegun(begin) = &mut self.stage {
            let begin = begin.take().expect("a stage that has begun is another");
            self.stage = Stage::Running(begin(limits));
        }
        match &mut self.stage {
            Stage::Running(running) => running.as_mut().poll(cx),
            Stage::NotBegun(_) => unreachable!("it has begun"),
        }
    }
}

impl fmt::Debug for Communicate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Communicate").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why a child was not brought to its end by itself, and what it had written until then.
#[non_exhaustive]
pub struct CommunicateError {
    /// What happened.
    pub kind: CommunicateErrorKind,
    /// How the child has ended, or `None` if there is no child or its end could not be learned.
    pub status: Option<ExitStatus>,
    /// What came of its standard output.
    pub stdout: Vec<u8>,
    /// What came of its standard error.
    pub stderr: Vec<u8>,
}

/// What ended a child early.
#[derive(Debug)]
#[non_exhaustive]
pub enum CommunicateErrorKind {
    /// It wrote more than this number of bytes, see [`max_output`](Communicate::max_output).
    OutputLimit(usize),
    /// It took longer than this, see [`time_limit`](Communicate::time_limit).
    TimeLimit(Duration),
    /// A call failed.
    Io(io::Error),
}

impl CommunicateErrorKind {
    fn with_nothing(self) -> CommunicateError {
        CommunicateError { kind: self, status: None, stdout: Vec::new(), stderr: Vec::new() }
    }
}

/// The output may be long, so it is counted and not shown.
impl fmt::Debug for CommunicateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommunicateError { kind, status, stdout, stderr } = self;
        f.debug_struct("CommunicateError")
            .field("kind", kind)
            .field("status", status)
            .field("stdout", &format_args!("{} bytes", stdout.len()))
            .field("stderr", &format_args!("{} bytes", stderr.len()))
            .finish()
    }
}

impl fmt::Display for CommunicateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            CommunicateErrorKind::OutputLimit(bytes) => {
                write!(f, "the child wrote more than {bytes} bytes, its limit, and was killed")
            }
            CommunicateErrorKind::TimeLimit(limit) => {
                write!(f, "the child and its output had not ended after {limit:?}, its limit")
            }
            CommunicateErrorKind::Io(error) => error.fmt(f),
        }
    }
}

impl Error for CommunicateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            CommunicateErrorKind::Io(error) => error.source(),
            _ => None,
        }
    }
}

/// An error of kind `TimedOut` for a limit in time and `FileTooLarge` for one of the output, with the
/// [`CommunicateError`] in it; of a failed call its own error.
impl From<CommunicateError> for io::Error {
    fn from(failed: CommunicateError) -> Self {
        let kind = match failed.kind {
            CommunicateErrorKind::Io(error) => return error,
            CommunicateErrorKind::OutputLimit(_) => io::ErrorKind::FileTooLarge,
            CommunicateErrorKind::TimeLimit(_) => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, failed)
    }
}

/// Runs a child to its end, or to that of its limits.
async fn run<B: IoBuf>(
    mut child: Child,
    input: Option<B>,
    limits: Limits,
) -> Result<Output, CommunicateError> {
    let is_lost = child.stdin.is_none() && input.as_ref().is_some_and(|it| it.bytes_len() > 0);
    let input = child.stdin.take().zip(input);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut exchange = Exchange::new(input, stdout, stderr, limits.bytes_max);
    let to_its_end = async {
        if is_lost {
            return Err(CommunicateErrorKind::Io(no_pipe()));
        }
        match poll_fn(|cx| exchange.poll(cx)).await {
            Ok(()) => child.wait().await.map_err(CommunicateErrorKind::Io),
            Err(Stopped::Full) => Err(CommunicateErrorKind::OutputLimit(limits.bytes_max)),
            Err(Stopped::Failed(error)) => Err(CommunicateErrorKind::Io(error)),
        }
    };
    let ended = time::timeout(limits.time_max, to_its_end).await;
    let kind = match ended {
        Ok(Ok(status)) => {
            let (stdout, stderr) = exchange.end();
            return Ok(Output { status, stdout, stderr });
        }
        Ok(Err(kind)) => kind,
        Err(_) => CommunicateErrorKind::TimeLimit(limits.time_max),
    };
    // Before its pipes are closed, or it might end by SIGPIPE. It may have ended meanwhile.
    if child.signal_group(libc::SIGKILL).is_err() {
        let _ = child.start_kill();
    }
    let (stdout, stderr) = exchange.end();
    let status = child.wait().await.ok();
    Err(CommunicateError { kind, status, stdout, stderr })
}

fn no_pipe() -> io::Error {
    let text = "the child's standard input is no pipe to write the input to: spawn it with \
                `stdin(Stdio::piped())`";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
