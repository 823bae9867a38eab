//! A server in a process of its own, whose CPU time can be read at any moment.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::os::{self, ChildUsage, CpuClock};
use crate::server::Counters;

/// What a server prints before its address, once it listens.
pub const LISTENING: &str = "listening on ";

/// A server that was asked to end and does not is killed after this.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A running server, ended when this is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    output: BufReader<ChildStdout>,
    address: Address,
    clock: CpuClock,
    /// Set when it was collected: from then on its id may be that of another process.
    ended: Option<(ExitStatus, ChildUsage)>,
}

/// What is known of a server at its end.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it had used, from its start to its end.
    pub usage: ChildUsage,
    /// Its own counters, if it printed any.
    pub counters: Counters,
}

impl ServerProcess {
    /// Starts a server that prints `listening on ADDRESS`.
    pub fn start(mut command: Command) -> io::Result<Self> {
        // In a group of its own: Ctrl-C is for this process, which ends its servers in order.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let output = child.stdout.take().expect("the output was asked for as a pipe");
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let address = line.trim_end().strip_prefix(LISTENING).map(str::parse);
        match (address, CpuClock::of(child.id())) {
            (Some(Ok(address)), Ok(clock)) => {
                Ok(ServerProcess { child, output, address, clock, ended: None })
            }
            _ => {
                // It may have ended already; it is to be gone either way.
                let _ = child.kill();
                let status = child.wait()?;
                Err(io::Error::other(format!("the server did not start to listen ({status})")))
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The CPU time it has used so far, in the kernel and outside.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        self.clock.now()
    }

    /// How long its first thread could have run and had no CPU. Zero where the kernel does not
    /// count it.
    pub fn wait_time(&self) -> Duration {
        let path = format!("/proc/{}/schedstat", self.id());
        let text = fs::read_to_string(path).unwrap_or_default();
        let waited = text.split(' ').nth(1).and_then(|field| field.parse().ok());
        Duration::from_nanos(waited.unwrap_or(0))
    }

    /// How it ended, if it has ended within `patience`.
    pub fn has_ended(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        while self.ended.is_none() {
            self.ended = os::collect_child(self.id())?;
            if self.ended.is_none() {
                if Instant::now() >= deadline {
                    return Ok(None);
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(self.ended.map(|(status, _)| status))
    }

    /// Asks it to end, and waits until it has.
    pub fn end(mut self) -> io::Result<Ended> {
        if self.ended.is_none() {
            os::send_signal(self.id(), libc::SIGTERM)?;
        }
        if self.has_ended(END_PATIENCE)?.is_none() {
            self.child.kill()?;
            self.has_ended(END_PATIENCE)?;
        }
        let (status, usage) =
            self.ended.ok_or_else(|| io::Error::other("the server does not end when killed"))?;
        let mut output = String::new();
        self.output.read_to_string(&mut output)?;
        let counters = output.lines().find_map(Counters::of_line).unwrap_or_default();
        Ok(Ended { status, usage, counters })
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // A server that ended before has nothing left to end.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if let Address::Unix(path) = &self.address {
            let _ = fs::remove_file(path);
        }
    }
}

/// The bytes of the process `pid` that are in memory.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let path = format!("/proc/{pid}/statm");
    let text = fs::read_to_string(&path)?;
    let pages: Option<u64> = text.split(' ').nth(1).and_then(|field| field.parse().ok());
    let pages = pages.ok_or_else(|| io::Error::other(format!("{path} reads `{text}`")))?;
    Ok(pages * os::page_size())
}

/// Stops the process `pid` and waits until none of its threads can run.
pub fn stop(pid: u32) -> io::Result<()> {
    os::send_signal(pid, libc::SIGSTOP)?;
    while !is_stopped(pid)? {
        std::thread::yield_now();
    }
    Ok(())
}

/// Lets a stopped process go on.
pub fn resume(pid: u32) -> io::Result<()> {
    os::send_signal(pid, libc::SIGCONT)
}

/// Waits until every thread of the process `pid` waits for something.
///
/// # Errors
///
/// If the process has ended, or is still busy after 20 seconds.
pub fn wait_until_asleep(pid: u32) -> io::Result<()> {
    let start = Instant::now();
    while !threads_are(pid, &['S'])? {
        if start.elapsed() > PATIENCE {
            let text = format!("process {pid} was to wait for work, but is busy without any");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        std::thread::yield_now();
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(20);

fn is_stopped(pid: u32) -> io::Result<bool> {
    // `t` is a thread stopped under a tracer.
    threads_are(pid, &['T', 't'])
}

fn threads_are(pid: u32, states: &[char]) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        // The state follows the name, which is in parentheses and may hold any character.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if !state.is_some_and(|state| states.contains(&state)) {
            return Ok(false);
        }
    }
    Ok(true)
}
