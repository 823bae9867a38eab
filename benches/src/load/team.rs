//! Several clients at once, each on a thread of its own, as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::plan::Plan;
use super::schedule::Pace;
use super::steal::{self, CpuTicks};
use super::verdict::Verdict;
use super::work::Work;
use crate::interrupt::Interrupt;
use crate::os;
use crate::outcome::Failure;

/// What all clients together do.
#[derive(Clone, Debug)]
pub(super) struct Team {
    /// Of all clients together.
    pub(super) plan: Plan,
    pub(super) threads: usize,
    /// Where the threads run, in turn; anywhere if there are none.
    pub(super) cpus: Vec<usize>,
    /// Of all clients together; a closed loop without.
    pub(super) pace: Option<Pace>,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
}

/// What all clients together did.
#[derive(Debug)]
pub(super) struct TeamWork {
    pub(super) work: Work,
    /// What answers were compared with.
    pub(super) verified: String,
    /// Of the machine's CPU time.
    pub(super) stolen_share: f64,
}

/// What happens to a thread.
enum News {
    /// Connected and warm: the clock can start.
    Ready(Arc<AtomicU64>),
    Done(Box<Result<(Work, String), Failure>>),
}

/// What a thread waits for before it starts its clock.
struct Go;

impl Team {
    /// Connects, warms up and measures. `progress` hears now and then how long the measurement has
    /// taken and how many answers there are; before it begins, nothing has taken any time.
    pub(super) fn run(
        &self,
        interrupt: &Interrupt,
        mut progress: impl FnMut(Duration, u64),
    ) -> Result<TeamWork, Failure> {
        // Set when one thread is in trouble, too: the others' numbers are worth nothing then.
        let stop = Interrupt::default();
        let (news_to, news) = mpsc::channel();
        thread::scope(|scope| {
            let starts: Vec<Sender<Go>> = (0..self.threads)
                .map(|index| {
                    let (go, started) = mpsc::channel();
                    let (news, stop) = (news_to.clone(), &stop);
                    scope.spawn(move || {
                        let result = self.work(index, &news, &started, stop);
                        // Nobody listens any more only if this process is about to end.
                        let _ = news.send(News::Done(Box::new(result)));
                    });
                    go
                })
                .collect();
            self.collect(&news, starts, interrupt, &stop, &mut progress)
        })
    }

    /// Follows the threads until all have ended.
    fn collect(
        &self,
        news: &Receiver<News>,
        mut starts: Vec<Sender<Go>>,
        interrupt: &Interrupt,
        stop: &Interrupt,
        progress: &mut impl FnMut(Duration, u64),
    ) -> Result<TeamWork, Failure> {
        let mut counters: Vec<Arc<AtomicU64>> = Vec::new();
        let mut start = None;
        let mut ticks = CpuTicks::default();
        let mut joined: Option<(Work, String)> = None;
        let mut failure = None;
        let mut running = self.threads;
        while running > 0 {
            match news.recv_timeout(PULSE) {
                Ok(News::Ready(answered)) => {
                    counters.push(answered);
                    if counters.len() == self.threads {
                        ticks = CpuTicks::now();
                        start = Some(Instant::now());
                        for go in starts.drain(..) {
                            // A thread that has ended has told why.
                            let _ = go.send(Go);
                        }
                    }
                }
                Ok(News::Done(result)) => {
                    running -= 1;
                    let is_bad = match &*result {
                        Ok((work, _)) => work.verdict.is_fault_of_server(),
                        Err(_) => true,
                    };
                    if is_bad {
                        stop.set();
                        starts.clear();
                    }
                    match *result {
                        Ok((work, verified)) => match &mut joined {
                            Some((all, _)) => all.join(work),
                            None => joined = Some((work, verified)),
                        },
                        Err(error) => {
                            failure.get_or_insert(error);
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if interrupt.is_set() {
                stop.set();
                starts.clear();
            }
            let answered = counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
            let taken = start.map_or(Duration::ZERO, |start| start.elapsed());
            progress(taken, answered);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        let (mut work, verified) = joined.expect("every thread has done some work or failed");
        let stolen_share = CpuTicks::now().stolen_share_since(ticks);
        steal::judge(&mut work, stolen_share);
        Ok(TeamWork { work, verified, stolen_share })
    }

    /// One thread.
    fn work(
        &self,
        index: usize,
        news: &Sender<News>,
        started: &Receiver<Go>,
        stop: &Interrupt,
    ) -> Result<(Work, String), Failure> {
        if !self.cpus.is_empty() {
            os::pin_to_cpu(self.cpus[index % self.cpus.len()])?;
        }
        let share = share(self.plan.connections, self.threads, index);
        let plan = Plan {
            connections: 0,
            seed: self.plan.seed.wrapping_add(index as u64),
            phase: index as f64 / self.threads as f64,
            ..self.plan.clone()
        };
        let mut client = Client::connect(&plan)?;
        while client.connections() < share && !stop.is_set() {
            client.connect_more(BATCH.min(share - client.connections()))?;
        }
        if !self.warm_up.is_zero() && !stop.is_set() {
            let work = self.drive(&mut client, self.warm_up, stop)?;
            // A warm-up for which the client was too slow may still lead to a run for which it is
            // not.
            if work.verdict.is_fault_of_server() {
                let nothing = Work { verdict: work.verdict, ..Work::none() };
                return Ok((nothing, client.verified()));
            }
        }
        let ready = news.send(News::Ready(client.answered()));
        if ready.is_err() || started.recv().is_err() || stop.is_set() {
            return Ok((Work { verdict: Verdict::Partial, ..Work::none() }, client.verified()));
        }
        let work = self.drive(&mut client, self.duration, stop)?;
        Ok((work, client.verified()))
    }

    fn drive(
        &self,
        client: &mut Client,
        duration: Duration,
        stop: &Interrupt,
    ) -> Result<Work, Failure> {
        match self.pace {
            None => client.run_closed(duration, stop),
            Some(pace) => {
                let own = pace.at(pace.rate_per_second() / self.threads as f64);
                client.run_open(own, duration, stop)
            }
        }
    }
}

/// How many of `all` the thread with this index gets.
fn share(all: usize, threads: usize, index: usize) -> usize {
    all / threads + usize::from(index < all % threads)
}

/// How often whoever watches is told.
const PULSE: Duration = Duration::from_millis(100);

/// So many connections are opened between two looks at whether to go on.
const BATCH: usize = 64;

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn connections_are_shared_without_rest() {
        for (all, threads) in [(1, 1), (64, 3), (7, 7), (1000, 16)] {
            let shares: Vec<usize> = (0..threads).map(|index| share(all, threads, index)).collect();
            assert_eq!(shares.iter().sum::<usize>(), all);
            assert!(shares.iter().max().expect("one") - shares.iter().min().expect("one") <= 1);
        }
    }
}
