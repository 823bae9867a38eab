//! What is compared: servers, what they serve, and how the time is divided among them.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::names::Name;
use crate::address::Address;
use crate::load::{Pace, Protocol};
use crate::os;
use crate::outcome::Failure;
use crate::server::{Read, Workload};
use crate::study::schema;

/// One comparison: all its servers live at once and take turns.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who takes part. The first is the one that noise is measured with.
    pub candidates: Vec<Candidate>,
    /// What they serve.
    pub workload: Workload,
    /// What the client asks of each of them.
    pub shape: Shape,
    /// Slices that each candidate gets, a first one to warm up not counted.
    pub rounds: u32,
    /// The length of one slice.
    pub slice: Duration,
    /// Who comes after whom.
    pub order: Order,
    /// Requests start at this pace, answered or not. Without one, the next follows an answer.
    pub pace: Option<Pace>,
    /// Decides what is shuffled.
    pub seed: u64,
    /// Where servers and client run.
    pub cpus: Cpus,
    /// A second process of the first candidate takes part, too: the noise floor.
    pub with_noise: bool,
    /// After the rounds the kernel counts the system calls, where it can.
    pub with_trace: bool,
    /// Whose buffers the servers receive into that have a choice.
    pub read: Read,
    /// Over Unix sockets, where the kernel's share is a quarter of that of loopback TCP.
    pub is_unix: bool,
    /// Further options of `serve` for all candidates, such as `--group=16`.
    pub server_options: Vec<String>,
    /// Where the programs of other runtimes are, if such take part: what
    /// [`peers::build`](crate::server::peers::build) gave.
    pub peers: Option<PathBuf>,
    /// Which repetition this is, counted from 0.
    pub repetition: u32,
    /// When a run counts for nothing.
    pub bounds: Bounds,
}

/// A server that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub name: Name,
    /// CPU time that it wastes on each request, on purpose.
    pub handicap: Duration,
    /// The program of another build that serves it. Without one, this program does.
    pub before: Option<PathBuf>,
}

/// What the name of a server of another build ends in.
pub const BEFORE: &str = " before";

/// What a client asks of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Connections that are used.
    pub connections: usize,
    /// Bytes of a message, or of an answer's body.
    pub message_bytes: usize,
    /// Requests in flight on each connection.
    pub depth: usize,
    /// Connections beside them that do nothing.
    pub idle_connections: usize,
}

/// Who comes after whom within a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Any order, another one in each round
    Shuffled,
    /// As given, then backwards
    Abba,
}

/// Where the servers and the client run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// All servers: only one of them has work at a time.
    pub server: usize,
    /// The thread that measures.
    pub client: usize,
}

/// What a run may show and still count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// A client that is on its CPU for this share of its slices is saturated, if the server was
    /// idle meanwhile. The time in which it waits for its CPU does not count: what else runs there
    /// slows both sides of a pair down.
    pub client_cpu_share_max: f64,
    /// A server that had nothing to do for a larger share of its slices was idle.
    pub server_idle_share_max: f64,
    /// Time that the hypervisor took from the two CPUs.
    pub steal_share_max: f64,
    /// Segments lost and sent again, as a share of those sent while the server had its slices.
    pub retransmit_share_max: f64,
}

impl Plan {
    /// 40 rounds of 100 ms of echo, shuffled, with the noise floor.
    ///
    /// # Errors
    ///
    /// If this process may run on no CPU at all.
    pub fn new(candidates: Vec<Candidate>, shape: Shape) -> Result<Self, Failure> {
        Ok(Plan {
            candidates,
            workload: Workload::Echo,
            shape,
            rounds: 40,
            slice: Duration::from_millis(100),
            order: Order::Shuffled,
            pace: None,
            seed: 1,
            cpus: Cpus::choose(None, None)?,
            with_noise: true,
            with_trace: true,
            read: Read::Lent,
            is_unix: false,
            server_options: Vec::new(),
            peers: None,
            repetition: 0,
            bounds: Bounds::default(),
        })
    }

    /// Refuses what makes no sense, before anything is started.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let refuse = |text: String| Err(Failure::Usage(text));
        if self.candidates.is_empty() {
            return refuse("there is nothing to compare: name a server".to_owned());
        }
        for (index, candidate) in self.candidates.iter().enumerate() {
            let title = candidate.title();
            if self.candidates[..index].iter().any(|earlier| earlier.title() == title) {
                return refuse(format!("{title} is named twice: once is enough"));
            }
        }
        if self.slice.is_zero() || self.rounds == 0 {
            return refuse("slices and rounds are to be above 0".to_owned());
        }
        if self.shape.connections == 0 || self.shape.message_bytes == 0 || self.shape.depth == 0 {
            return refuse("connections, bytes and depth are to be above 0".to_owned());
        }
        if self.workload == Workload::Churn && self.shape.depth > 1 {
            return refuse("a connection that serves one request has a depth of 1".to_owned());
        }
        if self.workload == Workload::Faulty {
            return refuse("a server that fails on purpose is not worth comparing".to_owned());
        }
        if self.is_unix && !self.workload.is_echo() {
            return refuse(format!(
                "{} is served over TCP only: leave --unix out, or choose echo, churn or idle",
                self.workload.name()
            ));
        }
        let mut names = self.candidates.iter().map(|candidate| &candidate.name);
        if self.read == Read::Owned && !self.workload.is_echo() {
            return refuse("--read owned is for echo, churn and idle: leave it out".to_owned());
        }
        if self.read == Read::Owned && !names.clone().any(Name::has_choice_of_buffers) {
            return refuse("--read is for uring and epoll: name one, or leave it out".to_owned());
        }
        if let (Some(peer), false) =
            (names.find(|name| name.is_peer()), self.workload.is_echo() && !self.is_unix)
        {
            return refuse(format!(
                "{peer} serves echo, churn and idle over TCP only: leave it out"
            ));
        }
        Ok(())
    }

    /// As in `study.json`: `echo/64x64/depth-1`.
    pub fn id(&self) -> String {
        let Shape { connections, message_bytes, depth, .. } = self.shape;
        let read = if self.read == Read::Owned { "/read-owned" } else { "" };
        format!("{}/{connections}x{message_bytes}/depth-{depth}{read}", self.workload.name())
    }

    /// For people.
    pub fn title(&self) -> String {
        let Shape { connections, message_bytes, depth, idle_connections } = self.shape;
        let mut title = format!(
            "{}, {connections} connections, {message_bytes} bytes, depth {depth}",
            self.workload.name()
        );
        if idle_connections > 0 {
            title.push_str(&format!(", beside {idle_connections} idle connections"));
        }
        if self.read == Read::Owned {
            title.push_str(", by read(buf)");
        }
        if self.is_unix {
            title.push_str(", Unix sockets");
        }
        title
    }

    /// What one unit of work is called.
    pub fn unit(&self) -> &'static str {
        match self.workload {
            Workload::Churn => "connection",
            Workload::Log => "line",
            _ => "request",
        }
    }

    /// Refuses more connections than this process may have descriptors.
    pub(super) fn check_descriptors(&self, limit: u64) -> Result<(), Failure> {
        let Shape { connections, idle_connections, .. } = self.shape;
        let servers = self.candidates.len() as u64 + u64::from(self.with_noise);
        // The client has those that are used, a server all of its own.
        let of_client = connections as u64 * servers;
        let mut of_server = (connections + idle_connections) as u64;
        if self.workload == Workload::Proxy {
            // A proxy has two for each client, and the server behind has those of all proxies.
            of_server *= servers.max(2);
        }
        let needed = of_client.max(of_server) + SPARE_DESCRIPTORS;
        if needed > limit {
            return Err(Failure::Environment(format!(
                "{of_server} connections to each of {servers} servers need {needed} descriptors \
                 in one process, and RLIMIT_NOFILE allows {limit}: raise it (`ulimit -Hn`), or \
                 ask for fewer connections or servers"
            )));
        }
        Ok(())
    }
}

/// What a process needs beside its connections: files, pipes, epoll sets.
const SPARE_DESCRIPTORS: u64 = 64;

/// The row of the study's matrix that a workload belongs to.
pub(super) fn in_study(workload: Workload) -> schema::Workload {
    match workload {
        Workload::Echo | Workload::Proxy => schema::Workload::Echo,
        Workload::Churn => schema::Workload::Churn,
        Workload::Idle => schema::Workload::Idle,
        Workload::Http | Workload::Hyper => schema::Workload::Http,
        Workload::File => schema::Workload::FileToSocket,
        Workload::Log => schema::Workload::Log,
        Workload::Mixed => schema::Workload::Mixed,
        Workload::Faulty => unreachable!("a plan with it was refused"),
    }
}

/// What a client says to a server of this workload.
pub(super) fn protocol(workload: Workload) -> Protocol {
    match workload {
        Workload::Echo | Workload::Churn | Workload::Idle | Workload::Mixed | Workload::Proxy => {
            Protocol::Echo
        }
        Workload::Http | Workload::Hyper | Workload::File => {
            Protocol::Http { path: "/".to_owned() }
        }
        Workload::Log => Protocol::Line,
        Workload::Faulty => unreachable!("a plan with it was refused"),
    }
}

impl Cpus {
    /// The CPUs asked for. Otherwise the client takes the first that this process may use, and the
    /// servers the second, or the same where there is only one.
    pub fn choose(server: Option<usize>, client: Option<usize>) -> Result<Self, Failure> {
        let allowed = os::allowed_cpus()?;
        let first = *allowed
            .first()
            .ok_or_else(|| Failure::Environment("this process may run on no CPU".to_owned()))?;
        let client = client.unwrap_or(first);
        let other = allowed.iter().copied().find(|cpu| *cpu != client);
        Ok(Cpus { server: server.or(other).unwrap_or(client), client })
    }

    /// Whether servers and client take time from each other.
    pub fn is_shared(self) -> bool {
        self.server == self.client
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            client_cpu_share_max: 0.95,
            server_idle_share_max: 0.1,
            steal_share_max: 0.05,
            retransmit_share_max: 0.001,
        }
    }
}

impl Candidate {
    /// A server that is not held back.
    pub fn new(name: Name) -> Self {
        Candidate { name, handicap: Duration::ZERO, before: None }
    }

    /// Its name in tables.
    pub(super) fn title(&self) -> String {
        format!("{}{}", self.name, if self.before.is_some() { BEFORE } else { "" })
    }
}

/// Where a server listens that is one of several of this process.
pub(super) fn address(plan: &Plan, index: usize) -> Address {
    if !plan.is_unix {
        return Address::any_port();
    }
    let name = format!("corering-bench-{}-{}-{index}", std::process::id(), plan.repetition);
    Address::Unix(std::env::temp_dir().join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_one_cpu_shares_it() {
        // Affinity is that of a thread, and this one is the test's own.
        let allowed = os::allowed_cpus().expect("Linux tells");
        os::pin_to_cpu(allowed[0]).expect("it is allowed");
        let cpus = Cpus::choose(None, None).expect("there is one");
        assert_eq!(cpus, Cpus { server: allowed[0], client: allowed[0] });
        assert!(cpus.is_shared());
        os::allow_cpus(&allowed).expect("they were allowed before");
        if let [first, second, ..] = allowed[..] {
            let cpus = Cpus::choose(None, None).expect("there are two");
            assert_eq!(cpus, Cpus { server: second, client: first });
            let cpus = Cpus::choose(None, Some(second)).expect("there are two");
            assert_eq!(cpus, Cpus { server: first, client: second });
        }
    }

    #[test]
    fn more_connections_than_descriptors_are_refused_by_the_name_of_the_limit() {
        let name: Name = "tokio".parse().expect("a valid name");
        let shape = Shape { connections: 500, message_bytes: 1, depth: 1, idle_connections: 100 };
        let plan = Plan::new(vec![Candidate::new(name)], shape).expect("there is a CPU");
        plan.check_descriptors(1064).expect("two servers, 500 connections to each");
        let failure = plan.check_descriptors(1063).expect_err("one too few");
        assert!(failure.to_string().contains("RLIMIT_NOFILE"), "{failure}");
        assert!(matches!(failure, Failure::Environment(_)));
        // Connections that rest are another process's, but the server has them all.
        let idle = Plan { shape: Shape { idle_connections: 600, ..shape }, ..plan };
        idle.check_descriptors(1164).expect("1,100 connections to a server");
        idle.check_descriptors(1163).expect_err("one too few");
    }
}
