//! The pool's side of one worker: its process, and the connection to it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::ExitStatus;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{Either, select};

use super::error::CallError;
use super::frame::{self, HEADER, Header, Hello};
use crate::buf::{IoBuf, RecvBuf};
use crate::net::UnixStream;
use crate::process::{Child, Command};
use crate::sync::Notify;
use crate::sys;
use crate::task::{CancelToken, Scheduler};

/// A worker that serves. Dropped, its process is killed.
pub(super) struct Link {
    stream: UnixStream,
    process: Process,
    pub(super) calls: u64,
}

/// What a worker said.
pub(super) struct Said {
    pub(super) kind: u32,
    memory: Memory,
    len: usize,
}

enum Memory {
    /// It came whole, in memory of the shard.
    Lent(RecvBuf),
    Own(Vec<u8>),
}

impl Said {
    pub(super) fn body(&self) -> &[u8] {
        let bytes: &[u8] = match &self.memory {
            Memory::Lent(received) => received,
            Memory::Own(bytes) => bytes,
        };
        &bytes[HEADER..HEADER + self.len]
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.body()).into_owned()
    }
}

/// Why a worker said nothing.
pub(super) enum Silence {
    /// It ended before it had read all of this request: its function has not begun.
    Unread(Vec<u8>),
    /// It has ended.
    Ended,
    Io(io::Error),
}

impl Link {
    /// Starts a process that is to become a worker. It is one when it has [greeted](Self::greet).
    ///
    /// # Errors
    /// No descriptor, process or thread is left.
    pub(super) async fn start(
        lifeline: Arc<OwnedFd>,
        kill: CancelToken,
        running: &Rc<Running>,
    ) -> io::Result<Link> {
        let counted = Counted::new(running);
        let (stream, theirs) = UnixStream::pair_with_process()?;
        let mut command = Command::from(sys::worker::command(theirs, lifeline));
        let child = command.kill_on_drop(true).spawn().await?;
        // The worker's end of the connection is the worker's alone.
        drop(command);
        Ok(Link { stream, process: Process::watched(child, kill, counted), calls: 0 })
    }

    /// Says hello to what was started, and hears whether it is a worker of the same functions.
    pub(super) async fn greet(&mut self, hello: Hello) -> Result<(), CallError> {
        let said = match self.ask(hello.to_frame(), usize::MAX).await {
            Ok(said) => said,
            Err(Silence::Io(error)) => return Err(error.into()),
            Err(Silence::Unread(_) | Silence::Ended) => {
                let ended = self.ended().await?;
                return Err(not_a_worker(format_args!("it ended with {ended}")));
            }
        };
        match (said.kind, frame::checksum_of(said.body())) {
            (frame::READY, Some(checksum)) if checksum == hello.checksum => Ok(()),
            (frame::READY, Some(_)) => Err(CallError::NotAWorker(
                "the worker has other functions than the pool: give `process::worker`, or \
                 `#[corering::main(worker = ..)]`, the same table as the pool"
                    .to_owned(),
            )),
            (frame::CANNOT_SERVE, _) => Err(CallError::Io(io::Error::other(said.text()))),
            _ => Err(not_a_worker(format_args!("it said something else"))),
        }
    }

    /// Sends a frame, and receives the one that answers it, whose body has `max` bytes at most.
    pub(super) async fn ask(&mut self, frame: Vec<u8>, max: usize) -> Result<Said, Silence> {
        let frame = match self.stream.write_all(frame).await {
            Ok(frame) => frame,
            Err(error) => {
                let (error, frame) = error.into_parts();
                return Err(match error.kind() {
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Silence::Unread(frame),
                    _ => Silence::Io(error),
                });
            }
        };
        match self.said(max).await {
            Ok(Some(said)) => Ok(said),
            Ok(None) => Err(Silence::Ended),
            // So a socket says that it was closed with bytes that were not read.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(Silence::Unread(frame)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Silence::Ended),
            Err(error) => Err(Silence::Io(error)),
        }
    }

    /// The next frame. `None`: the worker has closed its end.
    async fn said(&mut self, max: usize) -> io::Result<Option<Said>> {
        let mut received = self.stream.recv().await?;
        let header = loop {
            if received.is_empty() {
                return Ok(None);
            }
            if let Some(header) = Header::of(&received) {
                break header;
            }
            let more = self.stream.recv().await?;
            if more.is_empty() {
                return Ok(None);
            }
            received = received.followed_by(&more);
        };
        let Header { len, kind } = header;
        let end = HEADER + len;
        if len > max || received.len() > end {
            return Err(io::Error::new(ErrorKind::InvalidData, "the worker's answer is no answer"));
        }
        let memory = if received.len() == end {
            Memory::Lent(received)
        } else {
            let mut bytes = Vec::with_capacity(end);
            bytes.extend_from_slice(&received);
            let (begun, rest) = (bytes.len(), end - bytes.len());
            drop(received);
            let read = self.stream.read_exact(bytes.slice(begun..), rest).await;
            Memory::Own(read?.into_inner())
        };
        Ok(Some(Said { kind, memory, len }))
    }

    /// Whether the process has ended, as far as is known.
    pub(super) fn has_ended(&self) -> bool {
        self.process.shared.status.borrow().is_some()
    }

    /// Waits for the end of a process that has closed its connection, and so ends or does no good.
    pub(super) async fn ended(&self) -> io::Result<ExitStatus> {
        // How a process ends that has begun to is not changed by that.
        self.process.kill.cancel();
        self.process.ended().await
    }

    /// Lets the worker end by itself, which it does as soon as it reads the end of the connection.
    pub(super) fn retire(self) {
        let Link { stream, mut process, .. } = self;
        process.lives_on = true;
        drop(stream);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// The error of a child that was started as a worker, and is none.
pub(super) fn not_a_worker(what: fmt::Arguments<'_>) -> CallError {
    CallError::NotAWorker(format!(
        "the program was started as a worker and did not answer as one: {what}. Its `main` has to begin \
         with `corering::process::worker(FUNCTIONS)`, or to be `#[corering::main(worker = FUNCTIONS)]`"
    ))
}

/// A process that a task in the background waits for, so that it is reaped whenever it ends.
struct Process {
    shared: Rc<Shared>,
    kill: CancelToken,
    lives_on: bool,
}

#[derive(Default)]
struct Shared {
    status: RefCell<Option<io::Result<ExitStatus>>>,
    ended: Notify,
}

impl Process {
    fn watched(child: Child, kill: CancelToken, counted: Counted) -> Process {
        let shared = Rc::<Shared>::default();
        let end = End { shared: shared.clone(), _counted: counted };
        let task = watch(child, kill.clone(), end);
        match Scheduler::current() {
            Some(scheduler) => scheduler.spawn_in_background(task),
            // The child is killed.
            None => drop(task),
        }
        Process { shared, kill, lives_on: false }
    }

    async fn ended(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = &*self.shared.status.borrow() {
                return match status {
                    Ok(status) => Ok(*status),
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                };
            }
            self.shared.ended.notified().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.lives_on {
            self.kill.cancel();
        }
    }
}

/// Waits for a process to end, or kills it first.
async fn watch(mut child: Child, kill: CancelToken, end: End) {
    let ended = match select(pin!(child.wait()), kill.cancelled()).await {
        Either::Left((status, _)) => Some(status),
        Either::Right(_) => None,
    };
    let status = match ended {
        Some(status) => status,
        None => {
            // It may have ended meanwhile.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    end.shared.status.replace(Some(status));
}

/// Says that a process has ended, or that its runtime has, which kills it.
struct End {
    shared: Rc<Shared>,
    _counted: Counted,
}

impl Drop for End {
    fn drop(&mut self) {
        let ended_with_runtime = || Err(io::Error::other("its runtime has ended"));
        self.shared.status.borrow_mut().get_or_insert_with(ended_with_runtime);
        self.shared.ended.notify_waiters();
    }
}

/// How many processes of a pool have not been reaped.
#[derive(Default)]
pub(super) struct Running {
    count: Cell<usize>,
    none_is_left: Notify,
}

impl Running {
    pub(super) async fn until_none_is_left(&self) {
        while self.count.get() > 0 {
            self.none_is_left.notified().await;
        }
    }
}

/// One of them.
struct Counted(Rc<Running>);

impl Counted {
    fn new(running: &Rc<Running>) -> Self {
        running.count.set(running.count.get() + 1);
        Counted(running.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let left = self.0.count.get() - 1;
        self.0.count.set(left);
        if left == 0 {
            self.0.none_is_left.notify_waiters();
        }
    }
}
