//! The machine and the build: what decides whether two studies may be compared.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread;

use super::limits;
use super::schema::Fingerprint;

/// What stands where the system does not tell.
const UNKNOWN: &str = "unknown";

/// Of this machine, and of this program.
pub fn take() -> Fingerprint {
    let capabilities = corering::probe();
    let refusal = capabilities.refusal().map(|refusal| format!("none: {refusal}"));
    let facts = [
        ("kernel", capabilities.kernel().to_owned()),
        ("kernel_version", text_of("/proc/sys/kernel/version")),
        ("kernel_command_line", text_of("/proc/cmdline")),
        ("cpu", cpu_model()),
        ("cpus", thread::available_parallelism().map_or(0, usize::from).to_string()),
        ("memory_mib", memory_mib()),
        ("mitigations", mitigations(Path::new("/sys/devices/system/cpu/vulnerabilities"))),
        ("governor", governors(Path::new("/sys/devices/system/cpu"))),
        ("memlock_bytes", memlock()),
        ("io_uring_disabled", text_of("/proc/sys/kernel/io_uring_disabled")),
        ("ring_flags", refusal.unwrap_or_else(|| capabilities.setup_flags().join(" "))),
        ("ring_features", capabilities.features().join(" ")),
        ("rustc", env!("CORERING_BENCH_RUSTC").to_owned()),
        ("profile", env!("CORERING_BENCH_PROFILE").to_owned()),
        ("commit", env!("CORERING_BENCH_COMMIT").to_owned()),
    ];
    Fingerprint(facts.map(|(name, value)| (name.to_owned(), value)).into())
}

/// What differs between two of them: a sentence each.
pub fn differences(old: &Fingerprint, new: &Fingerprint) -> Vec<String> {
    let names: BTreeSet<&String> = old.0.keys().chain(new.0.keys()).collect();
    let value = |facts: &BTreeMap<String, String>, name| {
        facts.get(name).map_or_else(|| "not told".to_owned(), |value| format!("`{value}`"))
    };
    names
        .into_iter()
        .filter(|name| old.0.get(*name) != new.0.get(*name))
        .map(|name| format!("{name} was {}, is {}", value(&old.0, name), value(&new.0, name)))
        .collect()
}

fn text_of(path: impl AsRef<Path>) -> String {
    let text = fs::read_to_string(path).map(|text| text.trim().to_owned());
    text.unwrap_or_else(|_| UNKNOWN.to_owned())
}

fn cpu_model() -> String {
    let text = text_of("/proc/cpuinfo");
    // ARM kernels name a part number instead of a model.
    ["model name", "Model", "CPU part"]
        .iter()
        .find_map(|key| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| UNKNOWN.to_owned())
}

fn memory_mib() -> String {
    limits::memory_bytes().map_or_else(|_| UNKNOWN.to_owned(), |bytes| (bytes >> 20).to_string())
}

/// What is mitigated and what is not, leaving out what does not concern this CPU.
fn mitigations(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else { return UNKNOWN.to_owned() };
    let names: BTreeSet<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let told = names
        .iter()
        .map(|name| (name.to_string_lossy(), text_of(folder.join(name))))
        .filter(|(_, state)| state != "Not affected")
        .map(|(name, state)| format!("{name}: {state}"));
    let told: Vec<String> = told.collect();
    if told.is_empty() { "none needed".to_owned() } else { told.join("; ") }
}

/// The policy of every CPU's frequency, named once if all have the same.
fn governors(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else { return UNKNOWN.to_owned() };
    let policies: BTreeSet<String> = entries
        .flatten()
        .map(|entry| entry.path().join("cpufreq/scaling_governor"))
        .filter(|path| path.exists())
        .map(text_of)
        .collect();
    if policies.is_empty() {
        "none: the frequency is not set by this kernel".to_owned()
    } else {
        policies.into_iter().collect::<Vec<_>>().join(" ")
    }
}

fn memlock() -> String {
    let text = text_of("/proc/self/limits");
    let line = text.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.unwrap_or(UNKNOWN).to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::schema::Fingerprint;
    use super::{differences, governors, mitigations, take};

    #[test]
    fn it_holds_what_the_method_asks_for() {
        let Fingerprint(facts) = take();
        for name in [
            "kernel",
            "kernel_command_line",
            "cpu",
            "mitigations",
            "governor",
            "memlock_bytes",
            "io_uring_disabled",
            "ring_flags",
            "rustc",
            "profile",
            "commit",
        ] {
            assert!(facts.get(name).is_some_and(|value| !value.is_empty()), "{name}: {facts:?}");
        }
        assert!(facts["rustc"].starts_with("rustc "), "{}", facts["rustc"]);
    }

    #[test]
    fn the_same_machine_has_the_same_one() {
        assert_eq!(differences(&take(), &take()), Vec::<String>::new());
    }

    #[test]
    fn a_difference_is_told_with_both_values() {
        let of = |kernel: &str| Fingerprint([("kernel".to_owned(), kernel.to_owned())].into());
        assert_eq!(differences(&of("6.1"), &of("6.18")), ["kernel was `6.1`, is `6.18`"]);
        let none = Fingerprint::default();
        assert_eq!(differences(&none, &of("6.18")), ["kernel was not told, is `6.18`"]);
    }

    #[test]
    fn what_does_not_concern_the_cpu_is_left_out() {
        let folder = super::super::testing::Folder::new("mitigations");
        fs::write(folder.path().join("meltdown"), "Not affected\n").expect("it is ours");
        fs::write(folder.path().join("spectre_v2"), "Mitigation: IBRS\n").expect("it is ours");
        assert_eq!(mitigations(folder.path()), "spectre_v2: Mitigation: IBRS");
    }

    #[test]
    fn a_system_that_does_not_tell_is_no_error() {
        let nowhere = Path::new("/nonexistent");
        assert_eq!(
            (mitigations(nowhere), governors(nowhere)),
            ("unknown".into(), "unknown".into())
        );
    }
}
