//! The worker's side: one thread that reads a request, runs its function and writes the answer, by plain
//! calls that block; and one that waits for the parent's end.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};

use super::frame::{self, HEADER, Header, Hello};
use super::functions::{Failure, Functions};
use crate::sys;
use crate::task::panic_message;
use crate::util::unwind::{catch, discard};

/// The memory that a worker keeps between two calls, for a frame.
const KEPT_MAX: usize = 1 << 20;

/// The bytes that one read may bring: most requests come whole.
const READ_MIN: usize = 64 << 10;

/// The exit status of a process that was started as a worker and cannot be one.
const NO_WORKER: i32 = 70;

/// Serves the calls of a [`Pool`](super::Pool), and then ends the process, if this process was started
/// as a worker. If not, it returns.
///
/// It is the first line of `main`, before anything that only the program itself is to do: a worker is
/// the same program, and what stands before this line runs in each worker, too.
/// `#[corering::main(worker = FUNCTIONS)]` puts it there.
///
/// A worker has the program's standard output and error, its folder and its environment; its standard
/// input is empty. It ignores `SIGINT`, which a terminal sends to all processes of the program, so that
/// the program can end in its own time; and it ends by itself when the program has ended, in whatever
/// way.
///
/// # Examples
///
/// ```
/// use corering::process::{self, Functions, Pool, functions};
///
/// const FUNCTIONS: Functions = functions![sum];
///
/// fn sum(numbers: Vec<u64>) -> u64 {
///     numbers.iter().sum()
/// }
///
/// fn main() -> std::io::Result<()> {
///     process::worker(FUNCTIONS);
///     corering::block_on(async {
///         let pool = Pool::new(FUNCTIONS)?;
///         assert_eq!(pool.call(sum, vec![1, 2, 3]).await?, 6);
///         pool.shutdown().await;
///         Ok(())
///     })
/// }
/// ```
pub fn worker(functions: Functions) {
    let Some(arguments) = sys::worker::arguments() else { return };
    SERVES.store(true, Ordering::Relaxed);
    match serve(functions, arguments) {
        Ok(()) => exit(0),
        // The pool has killed its workers, and this one is about to notice.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(0),
        Err(error) => {
            // A closed standard error is no reason to panic.
            let _ = writeln!(io::stderr(), "this process cannot serve as a worker: {error}");
            exit(NO_WORKER)
        }
    }
}

/// This process is a worker.
static SERVES: AtomicBool = AtomicBool::new(false);

/// Fails in a process that was started as a worker: its pool would start workers that start workers.
pub(super) fn check_parent() -> io::Result<()> {
    if sys::worker::arguments().is_none() {
        return Ok(());
    }
    Err(io::Error::other(if SERVES.load(Ordering::Relaxed) {
        "a function that a worker runs cannot have a pool of its own: call back to the program instead"
    } else {
        "this process was started as a worker, but `main` did not begin with \
         `corering::process::worker(FUNCTIONS)`: write that line, or \
         `#[corering::main(worker = FUNCTIONS)]`"
    }))
}

fn serve(functions: Functions, mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let connection = sys::worker::inherited(arguments.next())?;
    let lifeline = sys::worker::inherited(arguments.next())?;
    let mut pool = Connection { stream: connection.into(), memory: Vec::new() };
    sys::worker::end_with_parent(lifeline)?;
    sys::worker::ignore_interrupts();

    let Some((header, body)) = pool.next()? else { return Ok(()) };
    let hello = (header.kind == frame::HELLO).then(|| Hello::of(body)).flatten();
    let hello = hello.ok_or_else(|| io::Error::other("it was started by another program"))?;
    if let Err(error) = hello.memory_max.map_or(Ok(()), sys::worker::limit_memory) {
        let reason = format!("its memory cannot be limited: {error}");
        return pool.stream.write_all(&frame::of(frame::CANNOT_SERVE, reason.as_bytes()));
    }
    pool.stream.write_all(&frame::ready(functions.checksum()))?;

    let mut memory = Vec::new();
    while let Some((header, request)) = pool.next()? {
        memory = answer(functions, header.kind, request, memory, hello.message_max as usize);
        pool.stream.write_all(&memory)?;
        memory.clear();
        memory.shrink_to(KEPT_MAX);
    }
    Ok(())
}

/// The frame that answers a request, in memory that is there.
fn answer(
    functions: Functions,
    index: u32,
    request: &[u8],
    memory: Vec<u8>,
    max: usize,
) -> Vec<u8> {
    let Some(function) = functions.at(index) else {
        return frame::of(frame::BAD_REQUEST, b"the worker has fewer functions");
    };
    match catch(|| function.run(request, frame::begin(memory), max)) {
        Ok(Ok(answer)) => frame::finish(answer, frame::ANSWER),
        Ok(Err(Failure::Request(reason))) => frame::of(frame::BAD_REQUEST, reason.as_bytes()),
        Ok(Err(Failure::Answer(reason))) => frame::of(frame::BAD_ANSWER, reason.as_bytes()),
        Ok(Err(Failure::TooLarge)) => frame::of(frame::TOO_LARGE, b""),
        Err(payload) => {
            let message = panic_message(&*payload).unwrap_or("it gave no message").as_bytes();
            let panicked = frame::of(frame::PANICKED, &message[..message.len().min(max)]);
            discard(payload);
            panicked
        }
    }
}

/// The connection with the pool.
struct Connection {
    stream: UnixStream,
    memory: Vec<u8>,
}

impl Connection {
    /// The next frame, by one read if it is short. `None`: the pool has closed the connection.
    fn next(&mut self) -> io::Result<Option<(Header, &[u8])>> {
        self.memory.resize(READ_MIN, 0);
        self.memory.shrink_to(KEPT_MAX);
        let mut filled = 0;
        let header = loop {
            match self.stream.read(&mut self.memory[filled..]) {
                Ok(0) => return Ok(None),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
            if let Some(header) = Header::of(&self.memory[..filled]) {
                break header;
            }
        };
        let end = HEADER + header.len;
        if filled < end {
            self.memory.resize(end, 0);
            self.stream.read_exact(&mut self.memory[filled..])?;
        }
        Ok(Some((header, &self.memory[HEADER..end])))
    }
}
