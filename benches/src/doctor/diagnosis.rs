//! What the facts mean for a measurement.

use super::facts::Facts;
use super::load::Load;
use crate::study::words;

/// How much something spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Figures would be wrong or missing.
    Serious,
    /// Figures would be noisier, or fewer, than they need to be.
    GoodToKnow,
    /// As it should be.
    Fine,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Severity::Serious => "serious",
            Severity::GoodToKnow => "to know",
            Severity::Fine => "fine",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) severity: Severity,
    pub(super) topic: &'static str,
    pub(super) finding: String,
    /// What to do, unless nothing has to be done.
    pub(super) advice: Option<String>,
}

/// Other processes may use so much of a CPU before a measurement suffers.
const BUSY_CPUS_MAX: f64 = 0.25;
/// More than this of the time taken away makes a study's runs invalid.
const STEAL_SHARE_SERIOUS: f64 = 0.05;
const STEAL_SHARE_MAX: f64 = 0.005;
/// What the largest cells of the matrix need, 100,000 connections from several addresses.
const DESCRIPTORS_WANTED: u64 = 110_000;
/// Enough for the rings and buffers of one server with all its connections.
const MEMLOCK_WANTED_BYTES: u64 = 64 << 20;
/// The range that Linux begins with.
const PORTS_WANTED: u64 = 28_232;

/// Everything that was looked at, in the order of looking.
pub(super) fn all(facts: &Facts, load: &Load) -> Vec<Diagnosis> {
    vec![
        uring(facts),
        build(facts),
        cpus(facts),
        quota(facts),
        neighbours(load),
        steal(facts, load),
        governor(facts),
        turbo(facts),
        shared_cores(facts),
        mitigations(facts),
        machine(facts),
        descriptors(facts),
        memlock(facts),
        ports(facts),
    ]
}

fn fine(topic: &'static str, finding: impl Into<String>) -> Diagnosis {
    Diagnosis { severity: Severity::Fine, topic, finding: finding.into(), advice: None }
}

fn serious(topic: &'static str, finding: impl Into<String>, advice: &str) -> Diagnosis {
    let advice = Some(advice.to_owned());
    Diagnosis { severity: Severity::Serious, topic, finding: finding.into(), advice }
}

fn good_to_know(topic: &'static str, finding: impl Into<String>, advice: &str) -> Diagnosis {
    Diagnosis { severity: Severity::GoodToKnow, ..serious(topic, finding, advice) }
}

fn uring(facts: &Facts) -> Diagnosis {
    match &facts.uring_refusal {
        None => fine("io_uring", "allowed"),
        Some(refusal) => serious(
            "io_uring",
            refusal,
            "there is nothing to compare with epoll; allow it by `sysctl \
             kernel.io_uring_disabled=0`, or by the seccomp profile of the container",
        ),
    }
}

fn build(facts: &Facts) -> Diagnosis {
    if facts.is_debug_build {
        let advice = "measure with `cargo run --release -p corering-bench`";
        return serious("build", "this program was built without optimisation", advice);
    }
    fine("build", "optimised")
}

fn cpus(facts: &Facts) -> Diagnosis {
    match facts.cpus {
        0 | 1 => serious(
            "CPUs",
            "one: client and server take it from each other",
            "use a machine with two or more, or allow them to this process (taskset, cpuset)",
        ),
        some => fine("CPUs", format!("{some}, so that client and server have one each")),
    }
}

fn quota(facts: &Facts) -> Diagnosis {
    match facts.cpu_quota_percent {
        Some(percent) if percent < facts.cpus as u64 * 100 => serious(
            "CPU quota",
            format!("the control group allows {percent}% of a CPU, and stops whoever uses more"),
            "remove the quota (cpu.max; `docker run` without --cpus) and use --cpuset-cpus",
        ),
        _ => fine("CPU quota", "none"),
    }
}

fn neighbours(load: &Load) -> Diagnosis {
    let busy = format!("others use {:.2} CPUs", load.busy_cpus);
    if load.busy_cpus <= BUSY_CPUS_MAX {
        return fine("neighbours", busy);
    }
    let named: Vec<String> =
        load.neighbours.iter().map(|(name, cpus)| format!("{name} {cpus:.2}")).collect();
    let most = if named.is_empty() { "processes that have ended".into() } else { named.join(", ") };
    serious("neighbours", format!("{busy}: {most}"), "end them, or wait until they have ended")
}

fn steal(facts: &Facts, load: &Load) -> Diagnosis {
    let stolen = format!("the hypervisor took {} of the time", words::percent(load.steal_share));
    let advice = "wait for a quieter hour, or use a machine with CPUs of its own; runs with more \
                  than 5% are thrown out";
    match load.steal_share {
        share if share > STEAL_SHARE_SERIOUS => serious("steal", stolen, advice),
        share if share > STEAL_SHARE_MAX => good_to_know("steal", stolen, advice),
        _ if facts.is_virtual => fine("steal", stolen),
        _ => fine("steal", "there is no hypervisor"),
    }
}

fn governor(facts: &Facts) -> Diagnosis {
    let names: Vec<&str> = facts.governors.iter().map(String::as_str).collect();
    match names.as_slice() {
        [] => fine("governor", "the frequency is not set by this kernel"),
        ["performance"] => fine("governor", "performance"),
        others => good_to_know(
            "governor",
            format!("{}: the frequency follows the load", others.join(", ")),
            "`cpupower frequency-set -g performance`",
        ),
    }
}

fn turbo(facts: &Facts) -> Diagnosis {
    match facts.has_turbo {
        Some(true) => good_to_know(
            "turbo",
            "on: the frequency depends on the temperature and on the other cores",
            "`echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo`, or `echo 0 > \
             /sys/devices/system/cpu/cpufreq/boost`",
        ),
        Some(false) => fine("turbo", "off"),
        None => fine("turbo", "not told by this kernel"),
    }
}

fn shared_cores(facts: &Facts) -> Diagnosis {
    match facts.has_shared_cores {
        Some(true) => good_to_know(
            "cores",
            "two CPUs may share one core, and then client and server slow each other down",
            "choose CPUs of two cores (`lscpu -e`) by --server-cpu and --client-cpu, or `echo off > \
             /sys/devices/system/cpu/smt/control`",
        ),
        Some(false) => fine("cores", "each CPU is a core"),
        None => fine("cores", "whether CPUs share one is not told by this kernel"),
    }
}

fn mitigations(facts: &Facts) -> Diagnosis {
    match facts.mitigations.len() {
        0 => fine("mitigations", "none"),
        some => good_to_know(
            "mitigations",
            format!("{some} are on, and make each system call dearer: that flatters io_uring"),
            "leave them as they are where the servers will run, and compare with no other machine",
        ),
    }
}

fn machine(facts: &Facts) -> Diagnosis {
    let virtually = if facts.is_virtual { "virtual" } else { "not virtual" };
    if facts.has_counters {
        return fine("machine", format!("{virtually}, with hardware counters"));
    }
    good_to_know(
        "machine",
        format!("{virtually}, without hardware counters"),
        "believe ratios of pairs and counts (scripts/counts.sh) rather than absolute times",
    )
}

fn descriptors(facts: &Facts) -> Diagnosis {
    let allowed = format!("{} may be open", words::grouped(facts.descriptors as f64));
    if facts.descriptors >= DESCRIPTORS_WANTED {
        return fine("descriptors", allowed);
    }
    let advice = "cells with more connections are not run; raise the hard limit for them (ulimit \
                  -Hn, LimitNOFILE=)";
    good_to_know("descriptors", allowed, advice)
}

fn memlock(facts: &Facts) -> Diagnosis {
    match facts.memlock_bytes {
        Some(bytes) if bytes < MEMLOCK_WANTED_BYTES => good_to_know(
            "memlock",
            format!("{} may be locked", words::bytes(bytes as f64)),
            "registered buffers may be refused to users without CAP_IPC_LOCK; raise it (ulimit -l)",
        ),
        Some(bytes) => fine("memlock", format!("{} may be locked", words::bytes(bytes as f64))),
        None => fine("memlock", "no limit"),
    }
}

fn ports(facts: &Facts) -> Diagnosis {
    let Some(ports) = facts.ports else { return fine("ports", "not told by this kernel") };
    let there = format!("{} for each source address", words::grouped(ports as f64));
    if ports >= PORTS_WANTED {
        return fine("ports", there);
    }
    let advice = "`sysctl net.ipv4.ip_local_port_range='32768 60999'`, or cells with more \
                  connections are not run and churn runs out of ports";
    good_to_know("ports", there, advice)
}

#[cfg(test)]
mod tests {
    use super::{Diagnosis, Facts, Load, Severity, all};

    /// A machine on which there is nothing to complain of.
    fn quiet() -> Facts {
        Facts {
            cpus: 8,
            governors: ["performance".to_owned()].into(),
            has_turbo: Some(false),
            has_shared_cores: Some(false),
            descriptors: 1 << 20,
            ports: Some(28_232),
            has_counters: true,
            ..Facts::default()
        }
    }

    /// Everything about `facts` and `load` that is not fine.
    fn complaints(facts: &Facts, load: &Load) -> Vec<Diagnosis> {
        all(facts, load).into_iter().filter(|one| one.severity != Severity::Fine).collect()
    }

    #[test]
    fn a_quiet_machine_is_left_alone() {
        assert_eq!(complaints(&quiet(), &Load::default()), []);
    }

    #[test]
    fn each_fact_has_one_consequence_and_an_advice() {
        use Severity::{GoodToKnow, Serious};
        let quiet = quiet;
        let refusal = Some("kernel.io_uring_disabled is 2".to_owned());
        let cases: [(&str, Severity, Facts); 12] = [
            ("io_uring", Serious, Facts { uring_refusal: refusal, ..quiet() }),
            ("build", Serious, Facts { is_debug_build: true, ..quiet() }),
            ("CPUs", Serious, Facts { cpus: 1, ..quiet() }),
            ("CPU quota", Serious, Facts { cpu_quota_percent: Some(150), ..quiet() }),
            ("governor", GoodToKnow, Facts { governors: ["ondemand".into()].into(), ..quiet() }),
            ("turbo", GoodToKnow, Facts { has_turbo: Some(true), ..quiet() }),
            ("cores", GoodToKnow, Facts { has_shared_cores: Some(true), ..quiet() }),
            ("mitigations", GoodToKnow, Facts { mitigations: ["PTI".into()].into(), ..quiet() }),
            ("machine", GoodToKnow, Facts { has_counters: false, is_virtual: true, ..quiet() }),
            ("descriptors", GoodToKnow, Facts { descriptors: 1_024, ..quiet() }),
            ("memlock", GoodToKnow, Facts { memlock_bytes: Some(65_536), ..quiet() }),
            ("ports", GoodToKnow, Facts { ports: Some(1_000), ..quiet() }),
        ];
        for (topic, severity, facts) in cases {
            let found = complaints(&facts, &Load::default());
            let [one] = found.as_slice() else { panic!("{topic}: {found:?}") };
            assert_eq!((one.topic, one.severity), (topic, severity));
            assert!(one.advice.as_ref().is_some_and(|advice| !advice.is_empty()), "{topic}");
        }
    }

    #[test]
    fn a_busy_neighbour_is_named() {
        let neighbours = vec![("cc1plus (4711)".to_owned(), 0.93)];
        let load = Load { busy_cpus: 1.4, neighbours, ..Load::default() };
        let found = complaints(&quiet(), &load);
        assert_eq!((found[0].topic, found[0].severity), ("neighbours", Severity::Serious));
        assert_eq!(found[0].finding, "others use 1.40 CPUs: cc1plus (4711) 0.93");
    }

    #[test]
    fn much_steal_is_worse_than_some() {
        let of = |steal_share| complaints(&quiet(), &Load { steal_share, ..Load::default() });
        assert_eq!(of(0.2)[0].severity, Severity::Serious);
        assert_eq!(of(0.01)[0].severity, Severity::GoodToKnow);
        assert!(of(0.01)[0].finding.contains("1.0%"));
        assert_eq!(of(0.001), []);
    }
}
