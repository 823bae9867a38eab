//! The measurement: slices of a closed loop, or of an open one, given to one server at a time.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::plan::{Order, Plan};
use super::rate;
use super::session::{Contestant, Session, Turn};
use super::weather::{self, Segments, Ticks};
use crate::interrupt::Interrupt;
use crate::load::{self, Work};
use crate::outcome::Failure;
use crate::stats::{Random, median};
use crate::study::schema::{Quantiles, Run, Slice, WholeRun};

/// The counters of a run under which the kernel's own count stands, and for how many requests.
pub const TRACED_CALLS: &str = "traced_system_calls";
/// See [`TRACED_CALLS`].
pub const TRACED_UNITS: &str = "traced_units";

/// Measures one repetition: a fresh process of each candidate, slices in turn. `progress` hears
/// after each round how many are done.
///
/// What a server does wrong makes its own run invalid, and the others go on. When `interrupt` is
/// set, what comes back has fewer slices than the plan has rounds, as many for each server.
///
/// # Errors
///
/// If the plan makes no sense, if a server cannot be started or connected to, or if this machine
/// cannot go on.
pub fn measure(
    plan: &Plan,
    interrupt: &Interrupt,
    mut progress: impl FnMut(u32),
) -> Result<Vec<Run>, Failure> {
    let mut session = Session::start(plan, interrupt)?;
    let mut scores: Vec<Score> = session.contestants.iter().map(|_| Score::default()).collect();
    let mut turns = Turns::new(plan, session.contestants.len());
    let began = Ticks::now(plan.cpus)?;
    // The first round warms caches and branch predictors, and is not counted.
    for round in 0..=plan.rounds {
        for index in turns.next() {
            let turn = session.contestants[index].take_turn(plan.pace, plan.slice, interrupt)?;
            if let (Some(turn), true) = (turn, round > 0) {
                scores[index].add(&turn);
            }
        }
        if interrupt.is_set() {
            break;
        }
        progress(round);
    }
    let stolen_share = Ticks::now(plan.cpus)?.stolen_share_since(began);
    complete_rounds_only(&session.contestants, &mut scores);
    if plan.with_trace {
        for (contestant, score) in session.contestants.iter_mut().zip(&mut scores) {
            score.traced = contestant.trace(plan, interrupt)?;
        }
    }
    let pairs = session.contestants.drain(..).zip(scores);
    pairs.map(|(contestant, score)| conclude(plan, contestant, score, stolen_share)).collect()
}

/// Who comes next.
#[derive(Debug)]
pub(super) struct Turns {
    order: Order,
    random: Random,
    places: Vec<usize>,
}

impl Turns {
    pub(super) fn new(plan: &Plan, contestants: usize) -> Self {
        // Each repetition has an order of its own.
        let seed = plan.seed.wrapping_add(u64::from(plan.repetition) << 32);
        Turns { order: plan.order, random: Random::new(seed), places: (0..contestants).collect() }
    }

    /// The order of the next round.
    pub(super) fn next(&mut self) -> Vec<usize> {
        match self.order {
            Order::Shuffled => self.random.shuffle(&mut self.places),
            Order::Abba => self.places.reverse(),
        }
        self.places.clone()
    }
}

/// What the slices of one server gave.
#[derive(Debug, Default)]
struct Score {
    slices: Vec<Slice>,
    client_cpu_shares: Vec<f64>,
    server_busy_shares: Vec<f64>,
    late_starts: u64,
    segments: Segments,
    traced: Option<(u64, u64)>,
}

impl Score {
    fn add(&mut self, turn: &Turn) {
        self.slices.push(slice(turn));
        let elapsed = turn.work.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        self.client_cpu_shares.push(turn.work.client_cpu.as_secs_f64() / elapsed);
        self.server_busy_shares.push(turn.server_busy_share);
        self.late_starts += turn.work.late_starts;
        self.segments = self.segments + turn.segments;
    }
}

fn slice(turn: &Turn) -> Slice {
    let nanoseconds =
        |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Slice {
        count: turn.work.requests,
        elapsed_ns: nanoseconds(turn.work.elapsed),
        server_cpu_ns: nanoseconds(turn.server_cpu),
        client_cpu_ns: Some(nanoseconds(turn.work.client_cpu)),
        latency_ns: quantiles(&turn.work),
    }
}

fn quantiles(work: &Work) -> Option<Quantiles> {
    (!work.latency.is_empty()).then(|| load::quantiles(&work.latency))
}

/// Slice k of one server is the partner of slice k of the others: a round that was interrupted
/// counts for nobody.
fn complete_rounds_only(contestants: &[Contestant], scores: &mut [Score]) {
    let in_race = contestants.iter().zip(&*scores).filter(|(one, _)| one.fault.is_none());
    let Some(rounds) = in_race.map(|(_, score)| score.slices.len()).min() else { return };
    scores.iter_mut().for_each(|score| score.slices.truncate(rounds));
}

/// Ends a server and adds up what is known of it.
fn conclude(
    plan: &Plan,
    contestant: Contestant,
    score: Score,
    stolen_share: f64,
) -> Result<Run, Failure> {
    let (server, count) = (contestant.name.clone(), contestant.count);
    let resident_bytes_per_connection = contestant.resident_bytes_per_connection;
    let fault = contestant.fault.clone();
    let ended = contestant.end().map_err(|error| Failure::environment(&server, error))?;
    let mut counters = ended.counters.0;
    let invalid =
        fault.or_else(|| overflow(&counters)).or_else(|| judge(plan, &score, stolen_share));
    let mut system_calls = counters.get("system_calls").copied();
    if let Some((calls, units)) = score.traced {
        counters.insert(TRACED_CALLS.to_owned(), calls);
        counters.insert(TRACED_UNITS.to_owned(), units);
        let of_all = || (calls as f64 * count as f64 / units.max(1) as f64).round() as u64;
        system_calls = system_calls.or_else(|| Some(of_all()));
    }
    let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).ok();
    Ok(Run {
        server,
        repetition: plan.repetition,
        invalid,
        slices: score.slices,
        whole: WholeRun {
            count,
            user_cpu_ns: nanoseconds(ended.usage.user),
            system_cpu_ns: nanoseconds(ended.usage.system),
            system_calls,
            context_switches: Some(ended.usage.context_switches),
            resident_bytes_per_connection,
            counters,
        },
    })
}

fn overflow(counters: &BTreeMap<String, u64>) -> Option<String> {
    let (_, count) =
        counters.iter().find(|(name, count)| name.contains("overflow") && **count > 0)?;
    Some(format!("the completion queue overflowed {count} times: give the ring more entries"))
}

/// Why the slices of a server that did nothing wrong count for nothing, if they do.
fn judge(plan: &Plan, score: &Score, stolen_share: f64) -> Option<String> {
    if score.slices.is_empty() {
        return Some("interrupted before its first slice was over".to_owned());
    }
    let judge_client = || match plan.pace {
        None => judge_client(plan, score),
        Some(_) => {
            rate::judge_starts(score.late_starts, score.slices.iter().map(|one| one.count).sum())
        }
    };
    weather::judge(&plan.bounds, score.segments, stolen_share).or_else(judge_client)
}

/// Where both share a CPU, which of them is the limit cannot be told.
fn judge_client(plan: &Plan, score: &Score) -> Option<String> {
    let cpu_share = median(&score.client_cpu_shares);
    let idle_share = 1.0 - median(&score.server_busy_shares);
    let is_saturated = !plan.cpus.is_shared()
        && cpu_share >= plan.bounds.client_cpu_share_max
        && idle_share > plan.bounds.server_idle_share_max;
    is_saturated.then(|| {
        format!(
            "client saturated: it ran for {:.0}% of a slice, and the server was idle for {:.0}%; \
             ask for larger messages or a greater depth",
            100.0 * cpu_share,
            100.0 * idle_share
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paired::plan::{Candidate, Cpus, Shape};

    fn plan() -> Plan {
        let candidates = vec![Candidate::new("tokio".parse().expect("a valid name"))];
        let shape = Shape { connections: 1, message_bytes: 1, depth: 1, idle_connections: 0 };
        let plan = Plan::new(candidates, shape).expect("there is a CPU");
        Plan { cpus: Cpus { server: 1, client: 0 }, ..plan }
    }

    fn score(client: f64, server: f64) -> Score {
        let slice = Slice {
            count: 1,
            elapsed_ns: 1,
            server_cpu_ns: 1,
            client_cpu_ns: Some(1),
            latency_ns: None,
        };
        Score {
            slices: vec![slice],
            client_cpu_shares: vec![client],
            server_busy_shares: vec![server],
            ..Score::default()
        }
    }

    #[test]
    fn a_client_that_was_the_limit_is_told() {
        let mut plan = plan();
        assert_eq!(judge(&plan, &score(0.97, 0.91), 0.0), None);
        assert_eq!(judge(&plan, &score(0.60, 0.99), 0.0), None);
        let reason = judge(&plan, &score(0.99, 0.80), 0.0).expect("the server had time left");
        assert!(reason.starts_with("client saturated"), "{reason}");
        plan.cpus.client = plan.cpus.server;
        assert_eq!(judge(&plan, &score(0.99, 0.80), 0.0), None);
    }

    #[test]
    fn a_run_without_slices_or_with_overflows_is_none() {
        let reason = judge(&plan(), &Score::default(), 0.0).expect("nothing was measured");
        assert!(reason.starts_with("interrupted"), "{reason}");
        let counters = BTreeMap::from([("completion_overflows".to_owned(), 2)]);
        assert!(overflow(&counters).expect("twice").contains("2 times"));
        assert_eq!(overflow(&BTreeMap::from([("completion_overflows".to_owned(), 0)])), None);
    }

    #[test]
    fn each_order_gives_everybody_one_slice_a_round() {
        let mut plan = plan();
        plan.order = Order::Abba;
        let mut turns = Turns::new(&plan, 3);
        assert_eq!([turns.next(), turns.next()], [vec![2, 1, 0], vec![0, 1, 2]]);
        plan.order = Order::Shuffled;
        let mut turns = Turns::new(&plan, 5);
        let rounds: Vec<Vec<usize>> = (0..10).map(|_| turns.next()).collect();
        assert!(rounds.iter().any(|round| *round != rounds[0]));
        for mut round in rounds {
            round.sort_unstable();
            assert_eq!(round, [0, 1, 2, 3, 4]);
        }
    }
}
