//! What can be asked of a server: the command line of `serve`, and what of it makes no sense.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use corering::ReceivePolicy;

use super::fault::FaultOptions;
use crate::address::Address;
use crate::outcome::Failure;

/// Which program serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Server {
    /// corering on io_uring
    Uring,
    /// corering on epoll
    Epoll,
    /// tokio's current-thread runtime
    Tokio,
    /// A hand-written loop on io_uring
    RawUring,
    /// A hand-written loop on epoll
    RawEpoll,
}

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Workload {
    /// Every byte comes back
    Echo,
    /// As echo, for connections that come and go
    Churn,
    /// As echo, for many connections of which few are active
    Idle,
    /// HTTP/1.1: `GET /` is answered by a body of --size bytes from memory
    Http,
    /// As http, with a body that is sent from a file
    File,
    /// As http, by the library hyper with a timeout for heads; raw-uring and raw-epoll as in http
    Hyper,
    /// Every byte goes on to the server at --to, and what that sends comes back (uring, epoll, tokio)
    Proxy,
    /// Each line is appended to a file and, once durable, answered by `ok`
    Log,
    /// As echo, by a shard that reads the disk, too, --disk-depth blocks at once
    Mixed,
    /// As echo or http, whichever the client speaks, with a fault: see --mode
    Faulty,
}

/// How a ring receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Receive {
    /// By completion while messages are small, by notification from 8 KiB on
    Adaptive,
    /// The kernel fills a buffer when bytes come
    Completion,
    /// The kernel tells that bytes came, and a plain call receives them
    Notification,
}

/// Whose buffers the handlers of corering receive into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Read {
    /// Those that the runtime lends, by `recv()`
    Lent,
    /// One of each connection's own, by `read(buf)`
    Owned,
}

/// Serves one workload, until SIGTERM or SIGINT, or until the parent process ends.
///
/// Prints `listening on ADDRESS` once it listens, and `counters {JSON}` when it ends.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What to serve.
    #[arg(long, value_enum, default_value = "echo")]
    pub workload: Workload,
    /// Which program serves.
    #[arg(long, value_enum, default_value = "uring")]
    pub driver: Server,
    /// Where to listen, such as 127.0.0.1:7000 or unix:PATH (echo, churn and idle only).
    #[arg(long = "addr", default_value_t = Address::any_port())]
    pub address: Address,
    /// Threads that serve, each with a driver and a CPU of its own.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub shards: u16,
    /// Bytes of an echoed message (for which buffers are chosen), or of a body.
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// How uring and raw-uring receive [default: adaptive].
    #[arg(long, value_enum)]
    pub receive: Option<Receive>,
    /// Whose buffers uring and epoll receive into (echo, churn and idle only).
    #[arg(long, value_enum, default_value = "lent")]
    pub read: Read,
    /// Bytes of each buffer of --read owned [default: 16 KiB, or --size if that is more].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub room: Option<u32>,
    /// Time that a connection has for its next message, such as 30s, before it is closed: a timeout
    /// around each receive of uring, epoll and tokio (echo, churn and idle only).
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub limit: Option<Duration>,
    /// The CPU to run on, with one shard.
    #[arg(long)]
    pub cpu: Option<usize>,
    /// CPU time to waste on each request, such as 20us: to see whether a comparison notices.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub handicap: Option<Duration>,
    /// Lines that the log makes durable at once, at most.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u32).range(1..))]
    pub group: u32,
    /// Blocks that mixed reads from the disk at once while messages come.
    #[arg(long, default_value_t = 32)]
    pub disk_depth: usize,
    /// Where the served file, or the log, is made and left [default: a file without a name in the
    /// folder for temporary files].
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// The server that proxy connects each of its clients to.
    #[arg(long, value_name = "ADDR")]
    pub to: Option<SocketAddr>,
    /// What faulty does wrong.
    #[command(flatten)]
    pub fault: FaultOptions,
}

impl Server {
    /// The name that the command line takes and reports print.
    pub fn name(self) -> String {
        name(&self)
    }

    /// Whether its handlers can receive into either kind of buffer: see [`Read`].
    pub(crate) fn has_choice_of_buffers(self) -> bool {
        matches!(self, Server::Uring | Server::Epoll)
    }
}

impl Workload {
    /// The name that the command line takes.
    pub fn name(self) -> String {
        name(&self)
    }

    /// Whether every byte comes back, and nothing else is done.
    pub(crate) fn is_echo(self) -> bool {
        matches!(self, Workload::Echo | Workload::Churn | Workload::Idle)
    }
}

impl Receive {
    /// The name that the command line takes.
    pub fn name(self) -> String {
        name(&self)
    }

    pub(super) fn policy(self) -> ReceivePolicy {
        match self {
            Receive::Adaptive => ReceivePolicy::Adaptive,
            Receive::Completion => ReceivePolicy::Completion,
            Receive::Notification => ReceivePolicy::Notification,
        }
    }
}

impl Read {
    /// The name that the command line takes.
    pub fn name(self) -> String {
        name(&self)
    }
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().expect("no variant is hidden").get_name().to_owned()
}

/// Bytes of an owned buffer for messages up to this size, unless `--room` sets another number. A
/// common choice for a server's read buffer.
const ROOM_BYTES_MIN: usize = 16 * 1024;

impl Arguments {
    /// The bytes of each owned buffer.
    pub(super) fn room(&self) -> usize {
        self.room.map_or(self.size.max(ROOM_BYTES_MIN), |bytes| bytes as usize)
    }

    /// Refuses what makes no sense together.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        let (driver, workload) = (self.driver.name(), self.workload.name());
        if self.receive.is_some() && !matches!(self.driver, Server::Uring | Server::RawUring) {
            return usage(format!(
                "--receive is for uring and raw-uring: {driver} knows one way; leave it out"
            ));
        }
        if self.read == Read::Owned && !self.driver.has_choice_of_buffers() {
            return usage(format!(
                "--read is for uring and epoll: {driver} has buffers of its own; leave it out"
            ));
        }
        if self.read == Read::Owned && !self.workload.is_echo() {
            return usage(format!(
                "--read owned is for echo, churn and idle, not for {workload}: leave it out"
            ));
        }
        if self.room.is_some() && self.read == Read::Lent {
            return usage("--room is for --read owned: add that, or leave it out".to_owned());
        }
        let is_raw = matches!(self.driver, Server::RawUring | Server::RawEpoll);
        if self.limit.is_some() && (is_raw || !self.workload.is_echo()) {
            return usage(format!(
                "--limit is for echo, churn and idle on uring, epoll and tokio, not for {workload} \
                 on {driver}: leave it out"
            ));
        }
        if self.limit.is_some() && self.read == Read::Owned {
            return usage("--limit is for --read lent: leave out one of them".to_owned());
        }
        if self.to.is_some() != (self.workload == Workload::Proxy) {
            return usage(format!("--to is for proxy, which needs it; {workload} was asked for"));
        }
        if is_raw && matches!(self.workload, Workload::Mixed | Workload::Proxy) {
            return usage(format!("{driver} does not serve {workload}: choose another --driver"));
        }
        if self.workload == Workload::Faulty {
            if !matches!(self.driver, Server::Uring | Server::Epoll) {
                return usage(format!("{driver} does not serve faulty: choose uring or epoll"));
            }
            self.fault.fault()?;
        } else if !self.fault.is_empty() {
            return usage(format!(
                "--mode, --pause and --stall are for faulty, not for {workload}"
            ));
        }
        if matches!(self.address, Address::Unix(_)) && !self.workload.is_echo() {
            return usage(format!(
                "{workload} is served over TCP only: give --addr an address such as 127.0.0.1:0"
            ));
        }
        if self.cpu.is_some() && self.shards > 1 {
            return usage(format!(
                "--cpu is for one shard, each of {} gets a CPU of its own: leave out one of --cpu \
                 and --shards",
                self.shards
            ));
        }
        Ok(())
    }
}
