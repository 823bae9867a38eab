//! Starting an example as a process, talking to it, and seeing it end.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// How long anything may take that must happen. Generous: it is reached only by a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Whether `driver` is to be tested: `CORERING_TEST_DRIVERS` names those that are, all by default.
pub(crate) fn is_tested(driver: &str) -> bool {
    match std::env::var("CORERING_TEST_DRIVERS") {
        Ok(names) => names.split(',').any(|name| name.trim() == driver),
        Err(_) => true,
    }
}

/// Makes two tests of each function, one per driver, whose name the function gets.
#[macro_export]
macro_rules! on_both_drivers {
    ($($name:ident),+ $(,)?) => {
        mod uring {
            $(#[test] fn $name() { if $crate::common::is_tested("uring") { super::$name("uring") } })+
        }
        mod epoll {
            $(#[test] fn $name() { if $crate::common::is_tested("epoll") { super::$name("epoll") } })+
        }
    };
}

/// A running example. Dropped, it is killed, so that a failed test leaves nothing behind.
pub(crate) struct Example {
    child: Child,
    /// The lines of its standard output, read by a thread so that waiting for one can end.
    output: Receiver<String>,
}

impl Example {
    /// Starts `command` with its standard output piped.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the example starts");
        let stdout = child.stdout.take().expect("the output is piped");
        let (lines, output) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The test may have seen all it wanted; the pipe is emptied all the same.
                let _ = lines.send(line);
            }
        });
        Self { child, output }
    }

    /// Holds a process whose output is read otherwise.
    pub(crate) fn of(child: Child) -> Self {
        Self { child, output: channel().1 }
    }

    /// The next line of output.
    pub(crate) fn line(&self) -> String {
        self.output.recv_timeout(DEADLINE).expect("the example prints another line")
    }

    /// Waits until the example ends, and returns what it printed. Fails if it ends with an error.
    pub(crate) fn text(mut self) -> String {
        let status = self.wait();
        assert!(status.success(), "the example ended with {status}");
        self.output.iter().map(|line| line + "\n").collect()
    }

    /// Reads lines up to `listening on ADDR` and returns the address.
    pub(crate) fn address(&self) -> SocketAddr {
        let line = self.line();
        let address = line.strip_prefix("listening on ").expect("the first line names the address");
        address.parse().expect("an address was printed")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal)
            .expect("the example has not been waited for, so its id is its own");
    }

    /// Whether the example has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Waits until the example ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let process = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())
            .expect("a child can be watched");
        assert!(has_ended(&process), "the example ends within {DEADLINE:?}");
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended already; then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes whose parent is `id`, zombies included.
pub(crate) fn children(id: u32) -> Vec<u32> {
    let parent = |child: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        // The name, in parentheses, may have spaces and parentheses; the state stands behind it.
        let (_, fields) = stat.rsplit_once(") ")?;
        fields.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let names = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let ids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|child| parent(*child) == Some(id)).collect()
}

/// Waits for the end of a process, and returns whether it came.
pub(crate) fn has_ended(process: &OwnedFd) -> bool {
    let deadline = Timespec::try_from(DEADLINE).expect("a minute is a valid time");
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&deadline)) == Ok(1)
}

/// Runs an example that ends by itself, and returns its status and what it wrote to its error output.
pub(crate) fn run_to_end(mut command: Command) -> (Option<i32>, String) {
    let mut child =
        command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the example starts");
    let mut stderr = child.stderr.take().expect("the error output is piped");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    // Held as an `Example` so that one that does not end is killed.
    let mut example = Example::of(child);
    let status = example.wait();
    let text = reader.join().expect("reading does not panic").expect("errors are text");
    (status.code(), text)
}

/// A connection whose reads and writes fail, rather than hang, when nothing happens.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the server accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
    stream.set_write_timeout(Some(DEADLINE)).expect("the deadline is not zero");
    stream
}
