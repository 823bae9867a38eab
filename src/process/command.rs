//! The builder of a process, and its start on a thread of the pool.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::child::Child;
use super::reap::Started;
use super::{Stdio, spawn_error};
use crate::driver;
use crate::runtime::{BlockingHandle, try_spawn_blocking};
use crate::sys::limits::is_descriptor_limit_raised;
use crate::sys::process as sys;
use crate::task::Scheduler;

/// A program to be started, with its arguments, environment and streams: [`std::process::Command`], whose
/// [`spawn`](Self::spawn) does not block the shard.
///
/// What was set up otherwise comes in by `From<std::process::Command>`. A command can be started again and
/// again, and may go to another thread.
///
/// # Examples
///
/// ```
/// use corering::process::{Command, Stdio};
///
/// # corering::block_on(async {
/// let mut command = Command::new("sh");
/// command.args(["-c", "exit $CODE"]).stdin(Stdio::null());
/// for code in 0..3 {
///     let mut child = command.env("CODE", code.to_string()).spawn().await?;
///     assert_eq!(child.wait().await?.code(), Some(code));
/// }
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    shared: Arc<Mutex<Shared>>,
    kill_on_drop: bool,
}

/// What a thread of the pool starts the process from. It is with the command, too, so that a start that is
/// dropped loses nothing.
struct Shared {
    std: process::Command,
    /// Standard input, output and error.
    streams: [Stream; 3],
    /// The child puts the limit of descriptors back.
    puts_limit_back: bool,
    starts_session: bool,
    joins_stderr: bool,
}

/// What is known of a standard stream.
enum Stream {
    /// Not set, or before this was made of the standard library's.
    Unset,
    /// As `std` has it.
    Set,
    /// It could not be given away.
    Missing(io::Error),
}

/// What a start does with streams that were not set.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unset {
    Inherits,
    /// Output and error are piped, and the input is empty.
    IsCaptured,
}

impl Command {
    /// A program, found by `PATH` if the name has no slash. It has no arguments yet, and inherits
    /// environment, folder and standard streams.
    ///
    /// # Examples
    ///
    /// As [`Command`].
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        process::Command::new(program).into()
    }

    /// Adds an argument. No shell sees it: it is one argument, whatever is in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("test").arg("a b").arg("=").arg("a b").spawn().await?;
    /// assert!(child.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.set(|std| std.arg(argument))
    }

    /// Adds arguments.
    ///
    /// # Examples
    ///
    /// As [`Command`].
    pub fn args(&mut self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> &mut Self {
        self.set(|std| std.args(arguments))
    }

    /// The name that the program sees itself called by, instead of the one it is found by.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut shell = Command::new("sh");
    /// let mut child = shell.arg0("tester").args(["-c", "test $0 = tester"]).spawn().await?;
    /// assert!(child.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.set(|std| std.arg0(name))
    }

    /// Sets a variable of the environment.
    ///
    /// # Examples
    ///
    /// As [`Command`].
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.set(|std| std.env(key, value))
    }

    /// Sets variables of the environment.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut shell = Command::new("sh");
    /// shell.args(["-c", "test $A$B = 12"]).envs([("A", "1"), ("B", "2")]);
    /// assert!(shell.spawn().await?.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn envs<K, V>(&mut self, variables: impl IntoIterator<Item = (K, V)>) -> &mut Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.set(|std| std.envs(variables))
    }

    /// Removes a variable from the environment.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut shell = Command::new("sh");
    /// shell.args(["-c", "test -z $HOME"]).env_remove("HOME");
    /// assert!(shell.spawn().await?.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.set(|std| std.env_remove(key))
    }

    /// Removes all variables from the environment.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut shell = Command::new("/bin/sh");
    /// shell.args(["-c", "test -z $HOME"]).env_clear();
    /// assert!(shell.spawn().await?.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env_clear(&mut self) -> &mut Self {
        self.set(|std| std.env_clear())
    }

    /// The folder that the program works in. Give the program's own path in full then: whether one that is
    /// relative is looked for there or here is not the same on all systems.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut shell = Command::new("sh");
    /// shell.args(["-c", "test $(pwd) = /"]).current_dir("/");
    /// assert!(shell.spawn().await?.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.set(|std| std.current_dir(folder))
    }

    /// What the program reads: by default, what this one does.
    ///
    /// # Examples
    ///
    /// As [`Command`].
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.set_stream(0, stdin.into(), process::Command::stdin)
    }

    /// Where the program prints: by default, where this one does.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::{Command, Stdio};
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("echo").arg("unheard").stdout(Stdio::null()).spawn().await?;
    /// assert!(child.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.set_stream(1, stdout.into(), process::Command::stdout)
    }

    /// Where the program prints its errors: by default, where this one does.
    ///
    /// # Examples
    ///
    /// As [`stdout`](Self::stdout).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.set_stream(2, stderr.into(), process::Command::stderr)
    }

    /// Has the program print its errors where its output goes, in the order in which it writes them: the
    /// shell's `2>&1`. It holds whatever [`stderr`](Self::stderr) says.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::shell;
    ///
    /// # corering::block_on(async {
    /// let mut command = shell("echo output; echo error >&2; echo output");
    /// let output = command.stderr_to_stdout().output().await?;
    /// assert_eq!(output.stdout, b"output\nerror\noutput\n");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "STDOUT")]
    #[doc(alias = "2>&1")]
    pub fn stderr_to_stdout(&mut self) -> &mut Self {
        let mut shared = lock(&self.shared);
        if !shared.joins_stderr {
            shared.joins_stderr = true;
            sys::join_stderr(&mut shared.std);
        }
        drop(shared);
        self.stderr(Stdio::null())
    }

    /// The user that the program runs as, by number (`setuid(2)`). Where this program is the superuser's,
    /// its further groups are given up.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// let mut command = Command::new("id");
    /// command.uid(65534).gid(65534);
    /// ```
    pub fn uid(&mut self, user: u32) -> &mut Self {
        self.set(|std| std.uid(user))
    }

    /// The group that the program runs as, by number (`setgid(2)`).
    ///
    /// # Examples
    ///
    /// As [`uid`](Self::uid).
    pub fn gid(&mut self, group: u32) -> &mut Self {
        self.set(|std| std.gid(group))
    }

    /// Puts the process into a process group: one of its own, which it leads, with 0.
    /// [`Child::signal_group`] reaches all of that, and Ctrl-C at the terminal none.
    ///
    /// # Examples
    ///
    /// As [`Child::signal_group`].
    #[doc(alias = "setpgid")]
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.set(|std| std.process_group(group))
    }

    /// Starts the process in a session of its own, away from the terminal, and so in a group of its own,
    /// too: with [`process_group`](Self::process_group) beside it, [`spawn`](Self::spawn) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("sleep").arg("1000").new_session().spawn().await?;
    /// child.signal_group(15)?;
    /// assert!(!child.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "setsid")]
    pub fn new_session(&mut self) -> &mut Self {
        let mut shared = lock(&self.shared);
        if !shared.starts_session {
            shared.starts_session = true;
            sys::start_session(&mut shared.std);
        }
        drop(shared);
        self
    }

    /// Kills the process when its [`Child`] is dropped, or the [`spawn`](Self::spawn) that has started it.
    /// Default: it goes on.
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
    /// let mut command = Command::new("sleep");
    /// command.arg("1000").kill_on_drop(true);
    /// let work = async { command.spawn().await?.wait().await };
    /// assert!(timeout(Duration::from_millis(10), work).await.is_err());
    /// // By now it is killed.
    /// # });
    /// ```
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Self {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the process, on a thread of the pool: with the signal mask and the processors of the program.
    ///
    /// Where a runtime has raised the limit of open descriptors
    /// ([`Builder::raise_descriptor_limit`](crate::Builder::raise_descriptor_limit)), the process gets the
    /// one that the program was started with: programs that close each descriptor below the limit, or use
    /// `select(2)`, rely on a low one.
    ///
    /// # Cancel safety
    ///
    /// A dropped start may have happened, or still happen if a thread has begun with it. Its process is as
    /// one whose [`Child`] was dropped: it goes on, or is killed with
    /// [`kill_on_drop`](Self::kill_on_drop), and is reaped.
    ///
    /// # Errors
    ///
    /// `NotFound` if the program, the folder to run it in or its interpreter is missing, `PermissionDenied`
    /// if one of them may not be used: the [`SpawnError`](super::SpawnError) in it says which. `WouldBlock` if
    /// the user may have no more processes (`RLIMIT_NPROC`); no descriptor is left for the pipes
    /// (`EMFILE`); no thread can be started for the pool; there is no runtime on this thread. On the
    /// simulated kernel `Unsupported`.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::Command;
    ///
    /// # corering::block_on(async {
    /// let mut child = Command::new("true").spawn().await?;
    /// assert!(child.wait().await?.success());
    /// let missing = Command::new("/no/such/program").spawn().await.unwrap_err();
    /// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn spawn(&mut self) -> io::Result<Child> {
        self.start(Unset::Inherits).await
    }

    pub(super) async fn start(&mut self, unset: Unset) -> io::Result<Child> {
        let mut starting = Starting::begin(self, unset)?;
        let started = starting.started().await?;
        Ok(Child::new(started))
    }

    fn set_stream(
        &mut self,
        number: usize,
        stdio: Stdio,
        set: fn(&mut process::Command, process::Stdio) -> &mut process::Command,
    ) -> &mut Self {
        let mut shared = lock(&self.shared);
        shared.streams[number] = match stdio.into_std() {
            Ok(stdio) => {
                set(&mut shared.std, stdio);
                Stream::Set
            }
            Err(error) => Stream::Missing(error),
        };
        drop(shared);
        self
    }

    fn set(
        &mut self,
        set: impl FnOnce(&mut process::Command) -> &mut process::Command,
    ) -> &mut Self {
        // It is locked only while a start that was dropped goes on.
        set(&mut lock(&self.shared).std);
        self
    }
}

impl From<process::Command> for Command {
    /// All that was set stays, closures to be called before exec among it.
    fn from(std: process::Command) -> Self {
        let streams = [Stream::Unset, Stream::Unset, Stream::Unset];
        let shared = Shared {
            std,
            streams,
            puts_limit_back: false,
            starts_session: false,
            joins_stderr: false,
        };
        Command { shared: Arc::new(Mutex::new(shared)), kill_on_drop: false }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("Command");
        if let Ok(shared) = self.shared.try_lock() {
            output.field("std", &shared.std);
        }
        output.field("kill_on_drop", &self.kill_on_drop).finish_non_exhaustive()
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Each setter leaves the command whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn start(&mut self, unset: Unset) -> io::Result<process::Child> {
        for stream in &self.streams {
            if let Stream::Missing(error) = stream {
                let again = error.raw_os_error().map(io::Error::from_raw_os_error);
                return Err(again.unwrap_or_else(|| error.kind().into()));
            }
        }
        // Without such a closure the standard library does without fork.
        if is_descriptor_limit_raised() && !self.puts_limit_back {
            self.puts_limit_back = true;
            sys::put_descriptor_limit_back(&mut self.std);
        }
        if unset == Unset::IsCaptured {
            self.set_unset(process::Stdio::null, process::Stdio::piped);
        }
        let started = self.std.spawn();
        if unset == Unset::IsCaptured {
            self.set_unset(process::Stdio::inherit, process::Stdio::inherit);
        }
        started.map_err(|error| spawn_error::explain(&self.std, error))
    }

    fn set_unset(&mut self, input: fn() -> process::Stdio, output: fn() -> process::Stdio) {
        let Shared { std, streams, .. } = self;
        let [stdin, stdout, stderr] = streams.each_ref().map(|it| matches!(it, Stream::Unset));
        if stdin {
            std.stdin(input());
        }
        if stdout {
            std.stdout(output());
        }
        if stderr {
            std.stderr(output());
        }
    }
}

/// A start under way.
struct Starting {
    /// `None` once it has ended.
    thread: Option<BlockingHandle<io::Result<Started>>>,
    is_given_up: Arc<AtomicBool>,
}

impl Starting {
    fn begin(command: &Command, unset: Unset) -> io::Result<Self> {
        if driver::current()?.can().is_simulated {
            let message = "there are no processes on the simulated kernel";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        let Command { shared, kill_on_drop } = command;
        let (shared, kill_on_drop) = (shared.clone(), *kill_on_drop);
        let is_given_up = Arc::new(AtomicBool::new(false));
        let given_up = is_given_up.clone();
        let thread = try_spawn_blocking(move || {
            let mut shared = lock(&shared);
            if given_up.load(Ordering::Relaxed) {
                return Err(never_started());
            }
            let child = shared.start(unset)?;
            drop(shared);
            Ok(Started::new(child, kill_on_drop))
        })?;
        Ok(Starting { thread: Some(thread), is_given_up })
    }

    async fn started(&mut self) -> io::Result<Started> {
        let thread = self.thread.as_mut().expect("it is awaited once");
        let started = thread.await;
        self.thread = None;
        started.map_err(|_| never_started())?
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.is_given_up.store(true, Ordering::Relaxed);
        // What was started is the shard's then, as a child that is dropped there.
        if let Some(scheduler) = Scheduler::current() {
            scheduler.spawn_in_background(async move { drop(thread.await) });
        }
    }
}

fn never_started() -> io::Error {
    io::Error::other("the runtime has ended before the process was started")
}
