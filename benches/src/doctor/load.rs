//! Who uses the CPUs while one looks.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

/// How the CPUs spent the time of looking.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// CPUs' worth of work that was not this process's.
    pub(super) busy_cpus: f64,
    /// The share of all time that a hypervisor gave to others.
    pub(super) steal_share: f64,
    /// The processes that worked the most, and how many CPUs each of them used.
    pub(super) neighbours: Vec<(String, f64)>,
}

/// A process that uses less is nobody's neighbour.
const NEIGHBOUR_CPUS_MIN: f64 = 0.05;
const NEIGHBOURS_MAX: usize = 3;

/// Looks for `interval`. Nothing is measured meanwhile, so the pause is what it looks at.
pub(super) fn watch(root: &Path, interval: Duration) -> io::Result<Load> {
    let before = Sample::take(root)?;
    thread::sleep(interval);
    Ok(Sample::take(root)?.load_since(&before))
}

/// Ticks so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sample {
    cpus: u64,
    all: u64,
    idle: u64,
    stolen: u64,
    /// Of each process: its name and its ticks, those of ended threads included.
    processes: BTreeMap<u32, (String, u64)>,
}

impl Sample {
    fn take(root: &Path) -> io::Result<Self> {
        let mut sample = Sample::parse(&fs::read_to_string(root.join("proc/stat"))?);
        for entry in fs::read_dir(root.join("proc"))?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may end at any moment.
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            sample.processes.extend(process_of(&stat).map(|process| (pid, process)));
        }
        Ok(sample)
    }

    /// user, nice, system, idle, iowait, irq, softirq and steal; what follows is in user already.
    fn parse(stat: &str) -> Self {
        let mut sample = Sample::default();
        for line in stat.lines() {
            let Some(rest) = line.strip_prefix("cpu") else { continue };
            if !rest.starts_with(|character: char| character.is_ascii_digit()) {
                continue;
            }
            let ticks: Vec<u64> = rest
                .split_whitespace()
                .skip(1)
                .take(8)
                .filter_map(|one| one.parse().ok())
                .collect();
            let tick = |index: usize| ticks.get(index).copied().unwrap_or(0);
            sample.cpus += 1;
            sample.all += ticks.iter().sum::<u64>();
            sample.idle += tick(3) + tick(4);
            sample.stolen += tick(7);
        }
        sample
    }

    fn load_since(&self, before: &Sample) -> Load {
        let since = |now: u64, then: u64| now.saturating_sub(then) as f64;
        let all = since(self.all, before.all).max(1.0);
        let ticks_of_a_cpu = all / self.cpus.max(1) as f64;
        let mut neighbours: Vec<(u32, &str, f64)> = self
            .processes
            .iter()
            .map(|(pid, (name, ticks))| {
                // The number of an ended process may belong to another one by now.
                let then = before.processes.get(pid).filter(|then| then.0 == *name);
                let then = then.map_or(0, |then| then.1);
                (*pid, name.as_str(), since(*ticks, then) / ticks_of_a_cpu)
            })
            .collect();
        let own = neighbours.iter().find(|one| one.0 == process::id()).map_or(0.0, |one| one.2);
        neighbours.retain(|one| one.0 != process::id() && one.2 >= NEIGHBOUR_CPUS_MIN);
        neighbours.sort_by(|one, other| other.2.total_cmp(&one.2));
        neighbours.truncate(NEIGHBOURS_MAX);
        let (idle, stolen) = (since(self.idle, before.idle), since(self.stolen, before.stolen));
        Load {
            busy_cpus: ((all - idle - stolen) / ticks_of_a_cpu - own).max(0.0),
            steal_share: stolen / all,
            neighbours: neighbours
                .into_iter()
                .map(|(pid, name, cpus)| (format!("{name} ({pid})"), cpus))
                .collect(),
        }
    }
}

/// The name stands in parentheses and may hold any character; the 14th and the 15th field are ticks
/// outside and in the kernel.
fn process_of(stat: &str) -> Option<(String, u64)> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let mut fields = rest.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((name.to_owned(), ticks()? + ticks()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Sample, process_of};

    fn sample(stat: &str, processes: &[(u32, &str, u64)]) -> Sample {
        let mut sample = Sample::parse(stat);
        let named = processes.iter().map(|(pid, name, ticks)| (*pid, ((*name).to_owned(), *ticks)));
        sample.processes = named.collect();
        sample
    }

    #[test]
    fn shares_are_those_of_the_time_between() {
        let before = "cpu  0\ncpu0 100 0 0 900 0 0 0 0 0 0\ncpu1 0 0 0 1000 0 0 0 0 0 0\nintr 5\n";
        let after = "cpu  0\ncpu0 180 0 10 900 0 0 0 10 0 0\ncpu1 0 0 20 1050 20 0 0 10 0 0\n";
        let before = sample(before, &[(70_000_001, "make", 500), (70_000_002, "old", 7_000)]);
        let after = sample(
            after,
            &[
                (70_000_001, "make", 560),
                // A new process with the number of an old one, and one that has just begun.
                (70_000_002, "new", 20),
                (70_000_003, "idle", 1),
            ],
        );
        let load = after.load_since(&before);
        assert_eq!(load.steal_share, 0.1);
        assert_eq!(load.busy_cpus, 1.1);
        let named: Vec<_> = load.neighbours.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(named, ["make (70000001)", "new (70000002)"]);
        assert_eq!((load.neighbours[0].1, load.neighbours[1].1), (0.6, 0.2));
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) (b c) R 1 42 42 0 -1 4194304 1 0 0 0 30 12 0 0 20 0 1 0 5 6 7\n";
        assert_eq!(process_of(stat), Some(("a) (b c".to_owned(), 42)));
        assert_eq!(process_of("42 nonsense"), None);
    }

    #[test]
    fn a_process_that_works_is_seen_to_work() {
        let before = Sample::take(Path::new("/")).expect("/proc is there");
        let mut child = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn()
            .expect("every system has a shell");
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_seen = loop {
            let sample = Sample::take(Path::new("/")).expect("/proc is there");
            let ticks = sample.processes.get(&child.id()).map_or(0, |process| process.1);
            if ticks > 0 && sample.load_since(&before).busy_cpus > 0.0 {
                break true;
            }
            if Instant::now() > deadline {
                break false;
            }
            thread::yield_now();
        };
        child.kill().expect("it runs");
        child.wait().expect("it is this process's child");
        assert!(is_seen);
    }
}
