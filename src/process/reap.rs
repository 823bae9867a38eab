//! A process that has to be reaped, by whom and when: [`Kept`] is dropped wherever the program drops its
//! child, and leaves no zombie.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{self, ExitStatus};
use std::time::Duration;

use super::detached;
use crate::driver::{SharedFd, submit};
use crate::op::poll_add::PollAdd;
use crate::runtime::{BlockingHandle, try_spawn_blocking};
use crate::sys::fork::fork_generation;
use crate::sys::process as sys;
use crate::task::Scheduler;
use crate::time::sleep;
use crate::util::budget;

/// The pauses between two looks at a child whose end nothing tells.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A process that was just started. It may go to another thread, and has to be reaped wherever it is
/// dropped.
pub(super) struct Started {
    /// `None` once it was taken.
    parts: Option<(process::Child, io::Result<OwnedFd>)>,
    kill_on_drop: bool,
}

impl Started {
    pub(super) fn new(child: process::Child, kill_on_drop: bool) -> Self {
        let pidfd = sys::open_pidfd(child.id());
        Started { parts: Some((child, pidfd)), kill_on_drop }
    }

    /// The process for the thread that keeps it, and its streams.
    pub(super) fn keep(mut self) -> Kept {
        self.take().expect("it is taken once")
    }

    fn take(&mut self) -> Option<Kept> {
        let (child, pidfd) = self.parts.take()?;
        let is_gone = pidfd.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH));
        let process = Process {
            child,
            tells: if pidfd.is_ok() { Tells::Pidfd } else { Tells::Thread },
            pidfd: pidfd.ok().map(SharedFd::from),
            thread: None,
            state: if is_gone { State::Lost } else { State::Unreaped },
            generation: fork_generation(),
        };
        Some(Kept { process: Some(process), kill_on_drop: self.kill_on_drop })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// A process whose child handle the program has. Dropped, it is reaped when it has ended: by a task of the
/// shard where one runs, by the detached thread otherwise.
pub(super) struct Kept {
    /// `None` in its drop only.
    process: Option<Process>,
    kill_on_drop: bool,
}

impl Kept {
    pub(super) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it has one until it is dropped")
    }

    pub(super) fn as_process(&self) -> &Process {
        self.process.as_ref().expect("it has one until it is dropped")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if process.state != State::Unreaped || process.is_of_parent() {
            return;
        }
        if self.kill_on_drop {
            // It has ended, or has become another user's.
            let _ = process.send_signal(libc::SIGKILL);
        }
        if !matches!(process.try_wait(), Ok(None)) {
            return;
        }
        let orphan = Orphan(Some(process));
        match Scheduler::current() {
            Some(scheduler) => scheduler.spawn_in_background(orphan.reap()),
            None => drop(orphan),
        }
    }
}

/// A process that the program has dropped. Dropped itself, at the end of the runtime, it goes to the
/// detached thread.
struct Orphan(Option<Process>);

impl Orphan {
    async fn reap(mut self) {
        let Some(process) = &mut self.0 else { return };
        let waited = process.wait().await;
        if waited.is_ok() || process.state != State::Unreaped {
            self.0 = None;
        }
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some(process) = self.0.take()
            && !process.is_of_parent()
        {
            let Process { child, pidfd, thread, .. } = process;
            // Both may be wanted there.
            drop((pidfd, thread));
            detached::reap(child);
        }
    }
}

/// A child process.
#[derive(Debug)]
pub(super) struct Process {
    child: process::Child,
    pidfd: Option<SharedFd>,
    tells: Tells,
    /// A thread of the pool that waits for the end. A wait that is dropped leaves it to the next.
    thread: Option<BlockingHandle<io::Result<()>>>,
    state: State,
    /// That of the process that started it.
    generation: u32,
}

/// Whether there is something to be reaped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// It runs, or is a zombie: the number is its own.
    Unreaped,
    /// It was waited for, and its status is known.
    Ended,
    /// Others have reaped it: the kernel, where SIGCHLD is ignored, or code that waits for any child.
    Lost,
}

/// What tells that the child has ended. Where one did not, the next is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tells {
    /// A poll of the pidfd. It is silent where `pidfd_open` is refused, and tells too early of a child that
    /// is debugged: the debugger is told first.
    Pidfd,
    /// A thread of the pool in `waitid(2)`.
    Thread,
    /// Nothing: it is looked at again and again.
    Nothing,
}

impl Process {
    /// As the standard library has it, with its streams.
    pub(super) fn as_std(&mut self) -> &mut process::Child {
        &mut self.child
    }

    /// The number, as long as it is this process's.
    pub(super) fn id(&self) -> Option<u32> {
        (self.state == State::Unreaped).then(|| self.child.id())
    }

    /// Whether it is a child of the process that this one was forked off.
    fn is_of_parent(&self) -> bool {
        self.generation != fork_generation()
    }

    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let id = self.child.id();
        let pidfd = self.pidfd.as_ref().map(SharedFd::as_fd);
        // The standard library waits by the number, which must not be that of a later child.
        let is_own = !self.is_of_parent();
        if is_own && self.state == State::Unreaped && pidfd.is_some() && sys::is_reaped(id, pidfd) {
            self.state = State::Lost;
        }
        if self.state == State::Lost || (!is_own && self.state == State::Unreaped) {
            return Err(self.explain(io::Error::from_raw_os_error(libc::ECHILD)));
        }
        let looked = self.child.try_wait();
        match &looked {
            Ok(Some(_)) => self.state = State::Ended,
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => self.state = State::Lost,
            Ok(None) | Err(_) => {}
        }
        looked.map_err(|error| self.explain(error))
    }

    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        budget::pay().await;
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            match self.tells {
                Tells::Pidfd => {
                    let pidfd = self.pidfd.clone().expect("it tells only where there is one");
                    submit(PollAdd::readable(pidfd)).await?;
                    self.tells_no_more(Tells::Thread)?;
                }
                Tells::Thread => {
                    self.thread_has_waited().await;
                    self.tells_no_more(Tells::Nothing)?;
                }
                Tells::Nothing => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Asks another unless the child has ended, as was just told.
    fn tells_no_more(&mut self, next: Tells) -> io::Result<()> {
        if self.try_wait()?.is_none() {
            self.tells = next;
        }
        Ok(())
    }

    /// Has a thread wait, where one can be had and the call is not refused.
    async fn thread_has_waited(&mut self) {
        if self.thread.is_none() {
            let id = self.child.id();
            self.thread = try_spawn_blocking(move || sys::wait_for_end(id)).ok();
        }
        if let Some(thread) = &mut self.thread {
            let _ = thread.await;
            self.thread = None;
        }
    }

    pub(super) fn send_signal(&self, signal: i32) -> io::Result<()> {
        self.check_unreaped()?;
        let pidfd = self.pidfd.as_ref().map(SharedFd::as_fd);
        sys::send_signal(self.child.id(), pidfd, signal).map_err(|error| self.explain(error))
    }

    pub(super) fn send_signal_to_group(&self, signal: i32) -> io::Result<()> {
        self.check_unreaped()?;
        sys::send_signal_to_group(self.child.id(), signal).map_err(|error| self.explain(error))
    }

    fn check_unreaped(&self) -> io::Result<()> {
        if self.state == State::Unreaped { Ok(()) } else { Err(self.has_ended()) }
    }

    fn has_ended(&self) -> io::Error {
        let message = format!(
            "process {} has ended and was waited for: its number may be another process's, so no signal \
             is sent",
            self.child.id()
        );
        io::Error::new(io::ErrorKind::InvalidInput, message)
    }

    fn explain(&self, error: io::Error) -> io::Error {
        let id = self.child.id();
        match error.raw_os_error() {
            Some(libc::ESRCH) => self.has_ended(),
            Some(libc::ECHILD) if self.is_of_parent() => io::Error::other(format!(
                "process {id} was started by the process that this one was forked off, which alone can \
                 wait for it"
            )),
            Some(libc::ECHILD) => io::Error::other(format!(
                "how process {id} ended cannot be known (ECHILD): this program ignores SIGCHLD, or other \
                 code in it waits for children that are not its own; leave SIGCHLD its default action, \
                 SIG_DFL, before the first child is started"
            )),
            _ => error,
        }
    }
}
