//! All servers of a comparison alive at once, each with its own connections, one of them at work.

#![forbid(unsafe_code)]

use std::env;
use std::io;
use std::process::Command;
use std::time::Duration;

use super::holder::Holder;
use super::names::Program;
use super::plan::{Candidate, Plan, address, protocol};
use super::weather::Segments;
use crate::address::Address;
use crate::interrupt::Interrupt;
use crate::load::{self, Client, Pace, Reason, Verdict, Work};
use crate::os;
use crate::os::trace::SystemCallCounter;
use crate::outcome::Failure;
use crate::process::{self, Ended, ServerProcess};
use crate::server::{Read, Workload};
use crate::study::ratio::AGAIN;

/// A server whose connections break is given this long to turn out to have ended.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// With fewer connections their memory is lost in that of the process itself.
const CONNECTIONS_FOR_MEMORY_MIN: usize = 256;

/// The servers of one comparison. The thread that has it is pinned until it is dropped.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) contestants: Vec<Contestant>,
    /// What proxies connect their clients to.
    _behind: Option<ServerProcess>,
    _pinned: Pinned,
}

impl Session {
    /// Starts all servers, connects to each of them, and lets each do a little work.
    pub(super) fn start(plan: &Plan, interrupt: &Interrupt) -> Result<Self, Failure> {
        plan.check()?;
        plan.check_descriptors(os::raise_descriptor_limit()?)?;
        let pinned = Pinned::to(plan.cpus.client)?;
        let mut named: Vec<(String, &Candidate)> =
            plan.candidates.iter().map(|candidate| (candidate.title(), candidate)).collect();
        if let (true, Some((name, candidate))) = (plan.with_noise, named.first()) {
            named.insert(1, (format!("{name}{AGAIN}"), candidate));
        }
        let behind = (plan.workload == Workload::Proxy).then(|| start_behind(plan)).transpose()?;
        let to = behind.as_ref().map(ServerProcess::address);
        let mut contestants = Vec::with_capacity(named.len());
        for (index, (name, candidate)) in named.into_iter().enumerate() {
            if interrupt.is_set() {
                break;
            }
            contestants.push(Contestant::start(plan, index, name, candidate, to)?);
        }
        for contestant in &mut contestants {
            contestant.warm_up(plan, interrupt)?;
        }
        Ok(Session { contestants, _behind: behind, _pinned: pinned })
    }
}

/// One server, its connections, and what became of it.
#[derive(Debug)]
pub(super) struct Contestant {
    /// As in tables.
    pub(super) name: String,
    process: ServerProcess,
    client: Client,
    /// Holds its connections and says nothing.
    idle: Option<Holder>,
    /// Requests answered since the start.
    pub(super) count: u64,
    /// Why it takes no further part.
    pub(super) fault: Option<String>,
    pub(super) resident_bytes_per_connection: Option<u64>,
}

/// One slice, as seen from all sides.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) work: Work,
    pub(super) server_cpu: Duration,
    /// How much of the slice the server had something to do, whether or not it had a CPU.
    pub(super) server_busy_share: f64,
    /// What TCP sent meanwhile.
    pub(super) segments: Segments,
}

impl Contestant {
    fn start(
        plan: &Plan,
        index: usize,
        name: String,
        candidate: &Candidate,
        to: Option<&Address>,
    ) -> Result<Self, Failure> {
        let mut command = command(plan, index, candidate)?;
        command.args(to.map(|to| format!("--to={to}")));
        let process =
            ServerProcess::start(command).map_err(|error| Failure::environment(&name, error))?;
        let before = process::resident_bytes(process.id())?;
        let shape = plan.shape;
        let client = Client::connect(&load::Plan {
            connections: shape.connections,
            depth: shape.depth,
            message_size: shape.message_bytes,
            is_churn: plan.workload == Workload::Churn,
            seed: plan.seed,
            ..load::Plan::new(process.address().clone(), protocol(plan.workload))
        });
        let client = client.map_err(|failure| failure.of(&name))?;
        let holder =
            || Holder::start(process.address(), shape.idle_connections, shape.message_bytes);
        let idle = (shape.idle_connections > 0).then(holder).transpose();
        let idle = idle.map_err(|error| Failure::environment(&name, error))?;
        Ok(Contestant {
            name,
            process,
            client,
            idle,
            // Each connection at rest has had one exchange.
            count: shape.idle_connections as u64,
            fault: None,
            resident_bytes_per_connection: Some(before),
        })
    }

    /// One exchange on each connection, after which all of them are accepted and have what memory
    /// they need; then a slice that warms caches and branch predictors.
    fn warm_up(&mut self, plan: &Plan, interrupt: &Interrupt) -> Result<(), Failure> {
        self.take_turn(None, Duration::ZERO, interrupt)?;
        let connections = plan.shape.connections + plan.shape.idle_connections;
        let is_telling =
            plan.workload != Workload::Churn && connections >= CONNECTIONS_FOR_MEMORY_MIN;
        let before = self.resident_bytes_per_connection.take();
        if let (Some(before), true, None) = (before, is_telling, &self.fault) {
            let after = process::resident_bytes(self.process.id())?;
            let each = after.saturating_sub(before) / connections as u64;
            self.resident_bytes_per_connection = Some(each);
        }
        Ok(())
    }

    /// Gives it a slice, of an open loop at `pace` or else of a closed one. Nothing comes back if
    /// it is out, or if the slice was interrupted.
    pub(super) fn take_turn(
        &mut self,
        pace: Option<Pace>,
        slice: Duration,
        interrupt: &Interrupt,
    ) -> Result<Option<Turn>, Failure> {
        if self.fault.is_some() || interrupt.is_set() {
            return Ok(None);
        }
        let segments = Segments::now()?;
        let (cpu, waited) = (self.process.cpu_time()?, self.process.wait_time());
        let work = match pace {
            None => self.client.run_closed(slice, interrupt),
            Some(pace) => self.client.run_open(pace, slice, interrupt),
        };
        let work = work.map_err(|failure| failure.of(&self.name))?;
        self.count += work.requests;
        if !self.judge(&work)? {
            return Ok(None);
        }
        let server_cpu = self.process.cpu_time()? - cpu;
        let busy = server_cpu + self.process.wait_time().saturating_sub(waited);
        let elapsed = work.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        Ok(Some(Turn {
            server_cpu,
            server_busy_share: busy.as_secs_f64() / elapsed,
            segments: Segments::now()? - segments,
            work,
        }))
    }

    /// Whether it goes on. A saturated client is judged over all slices together.
    fn judge(&mut self, work: &Work) -> Result<bool, Failure> {
        let fault = match &work.verdict {
            Verdict::Valid => return Ok(true),
            Verdict::Partial => return Ok(false),
            Verdict::Invalid(fault) if fault.reason == Reason::ClientSaturated => return Ok(true),
            Verdict::Invalid(fault) => fault,
        };
        let breaks = [Reason::Reset, Reason::Closed, Reason::Refused, Reason::ShortAnswer];
        let patience = if breaks.contains(&fault.reason) { LAST_BREATH } else { Duration::ZERO };
        self.fault = Some(match self.process.has_ended(patience)? {
            Some(status) => format!("the server went away ({status})"),
            None => format!("{}: {}", fault.reason.name(), fault.detail),
        });
        Ok(false)
    }

    /// A slice in which the kernel counts the system calls: how many there were, for how many
    /// requests.
    pub(super) fn trace(
        &mut self,
        plan: &Plan,
        interrupt: &Interrupt,
    ) -> Result<Option<(u64, u64)>, Failure> {
        let Ok(mut counter) = SystemCallCounter::open(self.process.id()) else { return Ok(None) };
        counter.start()?;
        let turn = self.take_turn(plan.pace, plan.slice, interrupt)?;
        let calls = counter.stop()?;
        Ok(turn.map(|turn| (calls, turn.work.requests)))
    }

    /// Ends the server, and says what is known only then.
    pub(super) fn end(self) -> io::Result<Ended> {
        // The server is to find its connections open, as in the measurement, when it counts up.
        let ended = self.process.end();
        drop((self.client, self.idle));
        ended
    }
}

/// Starts an echo, beside the client, for proxies to connect to.
fn start_behind(plan: &Plan) -> Result<ServerProcess, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["serve", "--driver=raw-epoll", "--workload=echo"]);
    command.arg(format!("--size={}", plan.shape.message_bytes));
    command.arg(format!("--cpu={}", plan.cpus.client));
    ServerProcess::start(command).map_err(|error| Failure::environment("raw-epoll", error))
}

/// What starts a candidate.
fn command(plan: &Plan, index: usize, candidate: &Candidate) -> Result<Command, Failure> {
    let name = &candidate.name;
    let mut command = match name.program {
        Program::Peer(program) => {
            let folder = plan.peers.as_ref().ok_or_else(|| {
                Failure::Usage(format!("{program} is built on request only: add --with-peers"))
            })?;
            Command::new(folder.join(program))
        }
        Program::Own(server) => {
            let program = candidate.before.clone().map_or_else(env::current_exe, Ok)?;
            let mut command = Command::new(program);
            command.arg("serve").arg(format!("--driver={}", server.name()));
            command.args(&plan.server_options);
            command
        }
    };
    command
        .arg(format!("--workload={}", plan.workload.name()))
        .arg(format!("--addr={}", address(plan, index)))
        .arg(format!("--size={}", plan.shape.message_bytes))
        .arg(format!("--cpu={}", plan.cpus.server));
    if plan.read == Read::Owned && name.has_choice_of_buffers() {
        command.arg(format!("--read={}", plan.read.name()));
    }
    if let Some(receive) = name.receive {
        command.arg(format!("--receive={}", receive.name()));
    }
    if !candidate.handicap.is_zero() {
        command.arg(format!("--handicap={}ns", candidate.handicap.as_nanos()));
    }
    Ok(command)
}

/// The calling thread on one CPU, until this is dropped.
#[derive(Debug)]
struct Pinned {
    before: Vec<usize>,
}

impl Pinned {
    fn to(cpu: usize) -> Result<Self, Failure> {
        let before = os::allowed_cpus()?;
        os::pin_to_cpu(cpu).map_err(|error| {
            Failure::Environment(format!(
                "CPU {cpu} for the client: {error}; this process may use {before:?}"
            ))
        })?;
        Ok(Pinned { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // The CPUs were allowed a moment ago; if they are no longer, this one will do.
        let _ = os::allow_cpus(&self.before);
    }
}
