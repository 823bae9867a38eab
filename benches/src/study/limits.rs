//! What this machine allows: a cell that goes beyond is not run, and listed with the limit's name.

#![forbid(unsafe_code)]

use std::fs;
use std::thread;

use super::plan::{CHURN_CONNECTIONS, CellPlan};
use super::runtime_cell::RuntimeWork;
use crate::os;
use crate::outcome::Failure;

/// What cells are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A quarter of the memory.
    pub memory_bytes: u64,
    /// Descriptors that one process may have open.
    pub descriptors: u64,
    /// Ports that connections from one address to one other can have.
    pub ports: u64,
    /// Source addresses that clients use.
    pub source_addresses: u64,
    /// CPUs that this process may run on.
    pub cpus: u64,
}

/// What a cell asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Needs {
    memory_bytes: u64,
    /// Of the process that has the most.
    descriptors: u64,
    /// To one server.
    connections: u64,
    cpus: u64,
}

/// Both ends of an idle connection in the kernel, and what a server and a client keep of it.
const CONNECTION_BYTES: u64 = 16 * 1024;

/// What the kernel books for a byte in a socket's queue, its headers included, is up to twice that.
const BOOKED_PER_BYTE: u64 = 2;

/// What a timer takes, as a boxed future and where the runtime keeps it, the most among them.
const TIMER_BYTES: u64 = 512;

/// Descriptors that a process has beside its connections.
const OTHER_DESCRIPTORS: u64 = 64;

impl Limits {
    /// Those of this machine. Raises the limit of open descriptors as far as this user may.
    pub fn of_this_machine() -> Result<Self, Failure> {
        Ok(Limits {
            memory_bytes: memory_bytes()? / 4,
            descriptors: os::raise_descriptor_limit()?,
            ports: ports().unwrap_or(DEFAULT_PORTS),
            source_addresses: SOURCE_ADDRESSES,
            cpus: thread::available_parallelism()?.get() as u64,
        })
    }

    /// Why `cell` cannot be run here on so many servers; none when it can.
    pub fn forbid(&self, cell: &CellPlan, servers: usize) -> Option<String> {
        // The first server stands in the table twice.
        let needs = needs(cell, servers as u64 + 1);
        if needs.memory_bytes > self.memory_bytes {
            Some(format!(
                "memory: it needs about {} MiB, and a quarter of this machine's memory is {} MiB; \
                 run it on a larger machine",
                needs.memory_bytes >> 20,
                self.memory_bytes >> 20
            ))
        } else if needs.descriptors > self.descriptors {
            Some(format!(
                "RLIMIT_NOFILE: it needs {} open descriptors, and {} are allowed; raise the hard \
                 limit (ulimit -Hn)",
                needs.descriptors, self.descriptors
            ))
        } else if needs.connections > self.ports * self.source_addresses {
            Some(format!(
                "net.ipv4.ip_local_port_range: it needs {} ports, and {} addresses have {} each; \
                 widen the range",
                needs.connections, self.source_addresses, self.ports
            ))
        } else if needs.cpus > self.cpus {
            Some(format!("CPUs: it needs {}, and there is {}", needs.cpus, self.cpus))
        } else {
            None
        }
    }
}

/// All processes are alive at once, and one at a time works.
fn needs(cell: &CellPlan, servers: u64) -> Needs {
    let streams = |connections: u64, in_flight_bytes: u64| Needs {
        memory_bytes: servers * connections * CONNECTION_BYTES
            + connections * in_flight_bytes * BOOKED_PER_BYTE,
        descriptors: connections * servers + OTHER_DESCRIPTORS,
        connections,
        cpus: 1,
    };
    match *cell {
        CellPlan::Echo { connections, message_bytes, depth } => {
            streams(connections, message_bytes * depth)
        }
        CellPlan::Idle { idle_connections, active_connections, message_bytes } => {
            let connections = idle_connections + active_connections;
            // Those that rest are held by a process for each server.
            let descriptors = connections.max(active_connections * servers) + OTHER_DESCRIPTORS;
            Needs { descriptors, ..streams(connections, message_bytes) }
        }
        CellPlan::Churn { message_bytes, .. } => streams(CHURN_CONNECTIONS, message_bytes),
        CellPlan::OwnedEcho { connections, message_bytes }
        | CellPlan::Mixed { connections, message_bytes, .. }
        | CellPlan::Rate { connections, message_bytes, .. } => streams(connections, message_bytes),
        CellPlan::Http { connections, body_bytes } => streams(connections, body_bytes),
        CellPlan::FileToSocket { connections, file_bytes } => streams(connections, file_bytes),
        CellPlan::Log { group_lines, line_bytes } => streams(group_lines, line_bytes),
        CellPlan::File { block_bytes, depth, .. } => {
            Needs { memory_bytes: servers * block_bytes * depth, cpus: 1, ..Needs::default() }
        }
        CellPlan::Runtime(work) => Needs {
            memory_bytes: match work {
                RuntimeWork::TimerFire | RuntimeWork::TimerCancel => {
                    servers * 1_000_000 * TIMER_BYTES
                }
                _ => 0,
            },
            cpus: if work == RuntimeWork::PingPong { 2 } else { 1 },
            ..Needs::default()
        },
    }
}

/// The source addresses that a client spreads its connections over.
const SOURCE_ADDRESSES: u64 = 16;

/// The kernel's own default, 32768 to 60999.
const DEFAULT_PORTS: u64 = 28_232;

fn ports() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut bounds = text.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    Some(last.checked_sub(first)? + 1)
}

/// The memory of this machine, or of the part of it that this process may have (cgroup 2).
pub(super) fn memory_bytes() -> Result<u64, Failure> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| {
        let kibibytes = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        Some(kibibytes.parse::<u64>().ok()? * 1024)
    });
    let total =
        total.ok_or_else(|| Failure::Environment("/proc/meminfo has no MemTotal".to_owned()))?;
    let allowed = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let allowed = allowed.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    Ok(total.min(allowed))
}

#[cfg(test)]
mod tests {
    use super::super::matrix;
    use super::super::plan::CellPlan;
    use super::super::schema::Mode;
    use super::Limits;

    const LARGE: Limits = Limits {
        memory_bytes: u64::MAX,
        descriptors: u64::MAX,
        ports: 28_232,
        source_addresses: 16,
        cpus: 64,
    };

    fn idle(idle_connections: u64) -> CellPlan {
        CellPlan::Idle { idle_connections, active_connections: 64, message_bytes: 128 }
    }

    fn reason(limits: Limits, cell: &CellPlan) -> Option<String> {
        limits.forbid(cell, cell.servers().len())
    }

    fn forbidden(limits: Limits, cell: &CellPlan) -> String {
        reason(limits, cell).unwrap_or_else(|| panic!("{} is allowed by {limits:?}", cell.id()))
    }

    #[test]
    fn a_large_machine_runs_everything() {
        for cell in matrix::cells(Mode::Full) {
            assert_eq!(reason(LARGE, &cell), None, "{}", cell.id());
        }
    }

    #[test]
    fn a_small_memory_is_named() {
        let limits = Limits { memory_bytes: 1 << 30, ..LARGE };
        assert!(forbidden(limits, &idle(100_000)).starts_with("memory: "));
        assert_eq!(reason(limits, &idle(1_000)), None);
        // What is in flight counts, too.
        let message_bytes = 64 * 1024;
        let deep = CellPlan::Echo { connections: 10_000, message_bytes, depth: 64 };
        let limits = Limits { memory_bytes: 8 << 30, ..LARGE };
        assert!(forbidden(limits, &deep).starts_with("memory: "));
    }

    #[test]
    fn a_low_limit_of_descriptors_is_named() {
        let limits = Limits { descriptors: 1_024, ..LARGE };
        assert!(forbidden(limits, &idle(10_000)).starts_with("RLIMIT_NOFILE: "));
        assert_eq!(reason(limits, &idle(10)), None);
    }

    #[test]
    fn a_narrow_range_of_ports_is_named() {
        let limits = Limits { ports: 100, ..LARGE };
        let reason = forbidden(limits, &idle(10_000));
        assert!(reason.starts_with("net.ipv4.ip_local_port_range: "), "{reason}");
    }

    #[test]
    fn two_shards_need_two_cpus() {
        let limits = Limits { cpus: 1, ..LARGE };
        let ping_pong = CellPlan::Runtime(super::RuntimeWork::PingPong);
        assert!(forbidden(limits, &ping_pong).starts_with("CPUs: "));
        assert_eq!(reason(limits, &CellPlan::Runtime(super::RuntimeWork::Yield)), None);
    }

    #[test]
    fn this_machine_has_limits() {
        let limits = Limits::of_this_machine().expect("it can be asked");
        assert!(limits.memory_bytes > 0 && limits.descriptors > 0 && limits.ports > 0);
    }
}
