//! What the system says of itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::os;
use crate::outcome::Failure;

/// Facts that do not change while one looks. `None` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Why there is no io_uring, where there is none.
    pub(super) uring_refusal: Option<String>,
    /// CPUs that this process may run on.
    pub(super) cpus: usize,
    /// CPUs' worth of time that the control group allows, in hundredths.
    pub(super) cpu_quota_percent: Option<u64>,
    /// The policies of all CPUs' frequency.
    pub(super) governors: BTreeSet<String>,
    /// Whether the frequency may rise above the nominal one.
    pub(super) has_turbo: Option<bool>,
    /// Whether two CPUs may be one core.
    pub(super) has_shared_cores: Option<bool>,
    /// What the kernel does against flaws of the CPU.
    pub(super) mitigations: BTreeSet<String>,
    /// Memory that this process may lock, unless there is no limit.
    pub(super) memlock_bytes: Option<u64>,
    /// Descriptors that this process may have open.
    pub(super) descriptors: u64,
    /// Ports that connections to one address can have.
    pub(super) ports: Option<u64>,
    /// Whether a hypervisor is below the kernel.
    pub(super) is_virtual: bool,
    /// Whether cycles and instructions can be counted.
    pub(super) has_counters: bool,
    /// Whether this program was built without optimisation.
    pub(super) is_debug_build: bool,
}

impl Facts {
    /// Reads them below `root`, which is `/` except in tests, and asks the kernel for the rest.
    pub(super) fn of_this_machine(root: &Path) -> Result<Self, Failure> {
        let uring = corering::probe();
        Ok(Facts {
            uring_refusal: uring.refusal().map(ToString::to_string),
            cpus: os::allowed_cpus()?.len(),
            descriptors: os::raise_descriptor_limit()?,
            is_debug_build: cfg!(debug_assertions),
            ..Facts::of_files(root)
        })
    }

    /// What files say.
    pub(super) fn of_files(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let number = |path: &str| text(path)?.trim().parse::<u64>().ok();
        let cpu = root.join("sys/devices/system/cpu");
        let cpu_information = text("proc/cpuinfo").unwrap_or_default();
        let has_turbo = number("sys/devices/system/cpu/intel_pstate/no_turbo")
            .map(|no_turbo| no_turbo == 0)
            .or_else(|| number("sys/devices/system/cpu/cpufreq/boost").map(|boost| boost == 1));
        let counters = ["cpu", "cpu_core", "armv8_pmuv3_0", "armv8_pmuv3"];
        let sources = root.join("sys/bus/event_source/devices");
        Facts {
            cpu_quota_percent: text("sys/fs/cgroup/cpu.max").and_then(|text| quota_percent(&text)),
            governors: texts_in(&cpu, "cpufreq/scaling_governor"),
            has_turbo,
            has_shared_cores: number("sys/devices/system/cpu/smt/active").map(|active| active == 1),
            mitigations: texts_in(&cpu.join("vulnerabilities"), "")
                .into_iter()
                .filter(|state| state.starts_with("Mitigation: "))
                .collect(),
            memlock_bytes: text("proc/self/limits").and_then(|text| memlock_bytes(&text)),
            ports: text("proc/sys/net/ipv4/ip_local_port_range").and_then(|text| ports(&text)),
            is_virtual: cpu_information.split_whitespace().any(|word| word == "hypervisor"),
            has_counters: counters.iter().any(|name| sources.join(name).exists()),
            ..Facts::default()
        }
    }
}

/// The contents of `name` within each entry of `folder`, or of the entries themselves.
fn texts_in(folder: &Path, name: &str) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let paths = paths.map(|path| if name.is_empty() { path } else { path.join(name) });
    paths.filter_map(|path| Some(fs::read_to_string(path).ok()?.trim().to_owned())).collect()
}

/// `max 100000` is no limit; otherwise both numbers are microseconds.
fn quota_percent(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    Some(quota * 100 / period.max(1))
}

fn memlock_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn ports(text: &str) -> Option<u64> {
    let mut bounds = text.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    Some(last.checked_sub(first)? + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::Facts;

    /// A folder that looks like `/` with these files, removed again when it is dropped.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("there is room for a few files");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("it is below the root")).expect("as above");
            fs::write(path, text).expect("as above");
        }
        root
    }

    #[test]
    fn what_the_files_say_is_read() {
        let root = root(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/intel_pstate/no_turbo", "0\n"),
            ("sys/devices/system/cpu/smt/active", "1\n"),
            ("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Retpolines\n"),
            ("sys/devices/system/cpu/vulnerabilities/l1tf", "Not affected\n"),
            ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
            ("sys/bus/event_source/devices/cpu/type", "4\n"),
            ("proc/cpuinfo", "processor : 0\nflags : fpu hypervisor sse\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/self/limits", "Limit  Soft\nMax locked memory         8192  8192  bytes\n"),
        ]);
        let facts = Facts::of_files(root.path());
        assert_eq!(facts.governors, ["powersave".to_owned()].into());
        assert_eq!((facts.has_turbo, facts.has_shared_cores), (Some(true), Some(true)));
        assert_eq!(facts.mitigations, ["Mitigation: Retpolines".to_owned()].into());
        assert_eq!(facts.cpu_quota_percent, Some(150));
        assert!(facts.has_counters && facts.is_virtual);
        assert_eq!((facts.ports, facts.memlock_bytes), (Some(28_232), Some(8_192)));
    }

    #[test]
    fn a_system_that_tells_nothing_is_no_error() {
        let empty = root(&[("sys/fs/cgroup/cpu.max", "max 100000\n")]);
        assert_eq!(Facts::of_files(empty.path()), Facts::default());
    }

    #[test]
    fn this_machine_can_be_asked() {
        let facts = Facts::of_this_machine(Path::new("/")).expect("it answers");
        assert!(facts.cpus > 0 && facts.descriptors > 0);
    }
}
