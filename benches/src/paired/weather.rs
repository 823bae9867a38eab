//! What the machine did meanwhile that none of the servers is to blame for.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::ops::{Add, Sub};

use super::plan::{Bounds, Cpus};

/// What TCP has sent, all connections of this network namespace together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Segments {
    pub(super) sent: u64,
    pub(super) sent_again: u64,
}

impl Segments {
    /// Since the system started.
    pub(super) fn now() -> io::Result<Self> {
        let [counts, more] = ["/proc/net/snmp", "/proc/net/netstat"].map(fs::read_to_string);
        Self::parse(&counts?, &more?)
            .ok_or_else(|| io::Error::other("/proc/net does not tell of TCP's segments"))
    }

    /// Of what is sent again, tail loss probes do not count: where an answer takes long, as it does
    /// with 64 KiB on each of many connections, the kernel sends the last segment a second time to
    /// ask, and nothing was lost. Those that found a loss do.
    fn parse(counts: &str, more: &str) -> Option<Self> {
        let again =
            ["TCPFastRetrans", "TCPSlowStartRetrans", "TCPTimeouts", "TCPLossProbeRecovery"];
        let again = again.map(|name| count(more, "TcpExt:", name));
        Some(Segments {
            sent: count(counts, "Tcp:", "OutSegs")?,
            sent_again: again.into_iter().sum::<Option<u64>>()?,
        })
    }

    /// The share that was sent again.
    pub(super) fn share_sent_again(self) -> f64 {
        self.sent_again as f64 / self.sent.max(1) as f64
    }
}

/// Finds a number by its name: a line of names is followed by a line of numbers, both starting with
/// the protocol.
fn count(text: &str, protocol: &str, wanted: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|name| name == wanted)?;
    numbers.split_whitespace().nth(place)?.parse().ok()
}

impl Sub for Segments {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Segments {
            sent: self.sent.wrapping_sub(earlier.sent),
            sent_again: self.sent_again.wrapping_sub(earlier.sent_again),
        }
    }
}

impl Add for Segments {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Segments { sent: self.sent + other.sent, sent_again: self.sent_again + other.sent_again }
    }
}

/// How the time of some CPUs was spent, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// Of the CPUs that servers and client run on.
    pub(super) fn now(cpus: Cpus) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string("/proc/stat")?, cpus))
    }

    /// user, nice, system, idle, iowait, irq, softirq and steal; what follows is in user already.
    fn parse(text: &str, cpus: Cpus) -> Self {
        let names = [format!("cpu{}", cpus.server), format!("cpu{}", cpus.client)];
        let mut ticks = Ticks::default();
        for line in text.lines() {
            let mut fields = line.split_whitespace();
            if !fields.next().is_some_and(|name| names.iter().any(|one| one == name)) {
                continue;
            }
            let numbers: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
            ticks.all += numbers.iter().sum::<u64>();
            ticks.stolen += numbers.get(7).copied().unwrap_or(0);
        }
        ticks
    }

    /// The share that the hypervisor gave to others since `earlier`. Within a moment a single
    /// tick would be much of it: then nothing is known, and this is zero.
    pub(super) fn stolen_share_since(self, earlier: Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all);
        let stolen = self.stolen.saturating_sub(earlier.stolen);
        if all < TICKS_MIN { 0.0 } else { stolen as f64 / all as f64 }
    }
}

/// Of 10 ms each, on two CPUs.
const TICKS_MIN: u64 = 100;

/// Why what was measured in such weather counts for nothing, if it does not.
pub(super) fn judge(bounds: &Bounds, segments: Segments, stolen_share: f64) -> Option<String> {
    if stolen_share > bounds.steal_share_max {
        return Some(format!(
            "steal: the hypervisor took {:.1}% of the time, and {:.1}% is allowed; try again when \
             the host is calmer",
            100.0 * stolen_share,
            100.0 * bounds.steal_share_max
        ));
    }
    if segments.share_sent_again() > bounds.retransmit_share_max {
        return Some(format!(
            "retransmits: TCP lost {} segments and sent them again beside {} others, and {:.2}% are allowed",
            segments.sent_again,
            segments.sent,
            100.0 * bounds.retransmit_share_max
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_weather_is_told() {
        let bounds = Bounds::default();
        let calm = Segments { sent: 1_000_000, sent_again: 1_000 };
        assert_eq!(judge(&bounds, calm, 0.05), None);
        let reason = judge(&bounds, calm, 0.051).expect("above the bound");
        assert!(reason.starts_with("steal: the hypervisor took 5.1%"), "{reason}");
        let lossy = Segments { sent_again: 1_001, ..calm };
        let reason = judge(&bounds, lossy, 0.0).expect("above the bound");
        assert!(reason.starts_with("retransmits"), "{reason}");
    }

    #[test]
    fn segments_are_found_by_name() {
        let counts = "Ip: Forwarding OutSegs\nIp: 1 2\nTcp: InSegs OutSegs\nTcp: 7 200\n";
        let more = "TcpExt: TCPTimeouts TCPFastRetrans TCPLossProbes TCPLossProbeRecovery \
                    TCPSlowStartRetrans\nTcpExt: 1 1 90 1 0\nIpExt: InNoRoutes\nIpExt: 5\n";
        let segments = Segments::parse(counts, more).expect("all are there");
        assert_eq!(segments, Segments { sent: 200, sent_again: 3 });
        assert_eq!(segments.share_sent_again(), 0.015);
        assert_eq!(Segments::parse("Tcp: InSegs\nTcp: 7\n", more), None);
        assert_eq!(Segments::parse(counts, counts), None);
        Segments::now().expect("this system tells, too");
    }

    #[test]
    fn steal_is_that_of_the_two_cpus() {
        let at = |server: u64, other: u64| {
            let text = format!(
                "cpu 9 9 9 9 9 9 9 9 9 9\ncpu0 1 0 0 89 0 0 0 {server} 5 5\ncpu1 1 0 0 99 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 {other} 0 0"
            );
            Ticks::parse(&text, Cpus { server: 0, client: 1 })
        };
        assert_eq!(at(10, 0).stolen_share_since(Ticks::default()), 0.05);
        assert_eq!(at(10, 900).stolen_share_since(at(10, 0)), 0.0);
        // One tick of two.
        assert_eq!(at(11, 0).stolen_share_since(at(10, 0)), 0.0);
    }
}
