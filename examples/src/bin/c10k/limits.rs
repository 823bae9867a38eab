//! What has to be granted before ten thousand clients can come, and what to do where it is not.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Descriptors of either process beside its connections: the ring, listeners, standard streams.
const SPARE_DESCRIPTORS: u64 = 300;

/// Clients of one address. A port can be used again towards another address, but the kernel searches the
/// longer for a free one the fewer there are.
const CLIENTS_PER_ADDRESS_MAX: u64 = 2_500;

/// Of the ports of one address, the share that clients may have is one in this many.
const PORTS_SHARE: u64 = 2;

/// Loopback addresses that are used: 127.0.0.1 and those that follow.
const ADDRESSES_MIN: u64 = 4;
const ADDRESSES_MAX: u64 = 250;

/// Memory of a connection in the kernel and in both processes. Measured: 9.4 KiB of the kernel's slabs, and
/// less than 5 KiB in the processes.
const CONNECTION_BYTES: u64 = 16 * 1024;

/// The number of loopback addresses that these clients need.
///
/// # Errors
///
/// A sentence that says what this machine does not grant.
pub(crate) fn addresses(clients: usize) -> Result<u8, String> {
    Limits::of_this_machine().addresses(clients as u64)
}

/// What the system says that it grants; the largest number where it says nothing.
struct Limits {
    /// The hard limit of descriptors, to which the runtime raises the soft one.
    descriptors: u64,
    /// Files that may be opened in the whole system.
    files_left: u64,
    ports: u64,
    memory_bytes: u64,
}

impl Limits {
    fn of_this_machine() -> Self {
        Limits {
            descriptors: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            files_left: read("/proc/sys/fs/file-nr", |text| {
                let [allocated, _, most] = numbers(text)?;
                Some(most.saturating_sub(allocated))
            }),
            ports: read("/proc/sys/net/ipv4/ip_local_port_range", |text| {
                let [first, last] = numbers(text)?;
                Some((last + 1).saturating_sub(first))
            }),
            memory_bytes: read("/proc/meminfo", |text| {
                let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
                let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
                Some(kib * 1024)
            }),
        }
    }

    fn addresses(&self, clients: u64) -> Result<u8, String> {
        let Limits { descriptors, files_left, ports, memory_bytes } = *self;
        let instead = |fewer: u64| match fewer {
            0 => String::new(),
            _ => format!(", or ask for fewer: --clients {fewer}"),
        };
        let needed = clients + SPARE_DESCRIPTORS;
        if descriptors < needed {
            return Err(format!(
                "{clients} clients need {needed} descriptors on each side, and the hard limit is \
                 {descriptors}: raise it (as root `ulimit -n {needed}`, for a service \
                 LimitNOFILE={needed}, for a container --ulimit nofile={needed}){}",
                instead(descriptors.saturating_sub(SPARE_DESCRIPTORS))
            ));
        }
        if files_left < 2 * needed {
            return Err(format!(
                "{clients} clients need {} open files, and the system has {files_left} left: raise \
                 fs.file-max by `sysctl`{}",
                2 * needed,
                instead((files_left / 2).saturating_sub(SPARE_DESCRIPTORS))
            ));
        }
        let per_address = CLIENTS_PER_ADDRESS_MAX.min(ports / PORTS_SHARE);
        if per_address * ADDRESSES_MAX < clients {
            return Err(format!(
                "{ports} local ports do not suffice for {clients} clients: widen \
                 net.ipv4.ip_local_port_range by `sysctl`{}",
                instead(per_address * ADDRESSES_MAX)
            ));
        }
        if memory_bytes / CONNECTION_BYTES < clients {
            return Err(format!(
                "{clients} clients need {} MiB of memory, and {} MiB are free: end other programs{}",
                (clients * CONNECTION_BYTES).div_ceil(1 << 20),
                memory_bytes >> 20,
                instead(memory_bytes / CONNECTION_BYTES)
            ));
        }
        let count = clients.div_ceil(per_address).max(ADDRESSES_MIN).min(clients);
        Ok(count.try_into().expect("there are at most 250 addresses"))
    }
}

/// What a file of the system says. A file that is hidden limits nothing.
fn read(path: &str, find: impl FnOnce(&str) -> Option<u64>) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| find(&text)).unwrap_or(u64::MAX)
}

fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let all: Vec<u64> = text.split_whitespace().flat_map(str::parse).collect();
    all.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::Limits;

    const PLENTY: Limits =
        Limits { descriptors: 20_000, files_left: 1_000_000, ports: 28_232, memory_bytes: 8 << 30 };

    #[test]
    fn clients_are_spread_over_several_addresses() {
        assert_eq!(PLENTY.addresses(1), Ok(1));
        assert_eq!(PLENTY.addresses(500), Ok(4));
        assert_eq!(PLENTY.addresses(10_000), Ok(4));
        assert_eq!(PLENTY.addresses(15_000), Ok(6));
        let few_ports = Limits { ports: 1_000, ..PLENTY };
        assert_eq!(few_ports.addresses(10_000), Ok(20));
    }

    #[test]
    fn missing_grants_are_named_with_what_helps() {
        let says = |limits: Limits, words: &[&str]| {
            let sentence = limits.addresses(10_000).expect_err("it is too little");
            for word in words {
                assert!(sentence.contains(word), "{sentence}");
            }
        };
        let descriptors = Limits { descriptors: 4_096, ..PLENTY };
        says(descriptors, &["`ulimit -n 10300`", "is 4096", "--clients 3796"]);
        says(Limits { descriptors: 10, ..PLENTY }, &["nofile=10300)"]);
        says(Limits { files_left: 10_000, ..PLENTY }, &["fs.file-max", "--clients 4700"]);
        says(Limits { ports: 20, ..PLENTY }, &["ip_local_port_range", "--clients 2500"]);
        says(Limits { memory_bytes: 64 << 20, ..PLENTY }, &["157 MiB", "--clients 4096"]);
    }
}
