//! A thread's worth of connections to one server, driven through epoll.
//!
//! Registrations are edge-triggered and made once, every call is tried before it is waited for, and
//! a request allocates nothing. Nothing in here waits without a limit.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::connection::{self, Connection, Wait};
use super::exchange::{Exchange, WINDOW};
use super::plan::Plan;
use super::schedule::Schedule;
use super::trouble::{Trouble, cannot_connect, closed, lost};
use super::verdict::{Fault, Reason, Verdict};
use super::work::{Recorded, Work};
use crate::interrupt::Interrupt;
use crate::os::{self, Epoll, Events, ThreadUsage};
use crate::outcome::Failure;

/// A set of connections to one server, used by the thread that calls.
#[derive(Debug)]
pub struct Client {
    pub(super) plan: Plan,
    exchange: Exchange,
    epoll: Epoll,
    events: Events,
    pub(super) connections: Vec<Connection>,
    /// Those with a session to look at although no event may come.
    pub(super) unsettled: Vec<usize>,
    /// When the requests were to start that a session has answers to.
    pub(super) answered_starts: Vec<u64>,
    /// Where bytes arrive, of one connection at a time.
    arrived: Vec<u8>,
    /// The clock counts from here.
    origin: Instant,
    pub(super) in_flight: usize,
    /// What is due when, in an open loop.
    pub(super) schedule: Option<Schedule>,
    /// In an open loop, the connections with room for a request, as often as they have room.
    pub(super) free: VecDeque<u32>,
    /// When there last was no room.
    pub(super) full_until_ns: u64,
    /// Of the current run.
    pub(super) work: Work,
    turns: u64,
    /// When the current interval ends, if the plan has intervals.
    interval_end_ns: u64,
    run_start_ns: u64,
    /// Answers of the current run, for whoever wants to watch.
    answered: Arc<AtomicU64>,
    /// The last run ended with answers outstanding, which the next one must not meet.
    is_spent: bool,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// Another request on the same connection, until this time.
    AgainUntil(u64),
    /// The connection is free for a request that is due.
    Free,
    /// Nothing by itself.
    Nothing,
}

/// How a run ends that is not in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Interrupted,
}

impl Client {
    /// Opens the connections of the plan.
    ///
    /// # Errors
    ///
    /// If the plan makes no sense, if the server refuses a connection or does not accept it in
    /// time, or if descriptors or ports run out.
    pub fn connect(plan: &Plan) -> Result<Self, Failure> {
        plan.check()?;
        let mut client = Client {
            plan: plan.clone(),
            exchange: Exchange::new(plan)?,
            epoll: Epoll::new()?,
            events: Events::with_room(1024),
            connections: Vec::new(),
            unsettled: Vec::new(),
            answered_starts: Vec::new(),
            arrived: vec![0; WINDOW],
            origin: Instant::now(),
            in_flight: 0,
            schedule: None,
            free: VecDeque::new(),
            full_until_ns: 0,
            work: Work::none(),
            turns: 0,
            interval_end_ns: u64::MAX,
            run_start_ns: 0,
            answered: Arc::default(),
            is_spent: false,
        };
        client.connect_more(plan.connections)?;
        Ok(client)
    }

    /// Opens further connections.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub fn connect_more(&mut self, connections: usize) -> Result<(), Failure> {
        self.connections.reserve(connections);
        for _ in 0..connections {
            let index = self.connections.len();
            let position = self.exchange.first_position(index);
            self.connections.push(Connection {
                stream: None,
                session: None,
                position,
                unsent: 0,
                progress: self.exchange.progress(position),
                starts: VecDeque::with_capacity(self.plan.depth),
            });
            // Where each request has a connection of its own, one tells whether anybody listens.
            if !self.plan.is_churn || index == 0 {
                self.open(index, Wait::Connected)
                    .map_err(|error| cannot_connect(&self.plan, index, &error))?;
            }
        }
        Ok(())
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Keeps `depth` requests in flight on each connection for `duration`, then lets the last
    /// answers come in.
    ///
    /// What the server does wrong ends the run and is its verdict.
    ///
    /// # Errors
    ///
    /// If this machine cannot go on, or if an earlier run of this client ended early.
    pub fn run_closed(
        &mut self,
        duration: Duration,
        interrupt: &Interrupt,
    ) -> Result<Work, Failure> {
        self.measure(|client, start| {
            let until = start + nanoseconds(duration);
            for index in 0..client.connections.len() {
                client.start(index, client.plan.depth, client.now())?;
                // The first answers do not wait until the last request has started.
                if index % 64 == 63 {
                    client.turn(Duration::ZERO, Next::AgainUntil(until))?;
                }
            }
            while client.in_flight > 0 {
                if interrupt.is_set() {
                    return Ok(End::Interrupted);
                }
                client.turn(PULSE, Next::AgainUntil(until))?;
            }
            Ok(End::Done)
        })
    }

    /// What each answer was compared with.
    pub fn verified(&self) -> String {
        self.exchange.verified()
    }

    /// Answers of the run that is under way, for another thread to look at.
    pub fn answered(&self) -> Arc<AtomicU64> {
        self.answered.clone()
    }

    /// Sends one request on each connection from the one with index `first`.
    ///
    /// # Errors
    ///
    /// If a connection is lost.
    pub fn start_all(&mut self, first: usize) -> Result<(), Failure> {
        self.check_unspent()?;
        for index in first..self.connections.len() {
            self.start(index, 1, self.now())?;
        }
        Ok(())
    }

    /// Waits until every request has its answer, and says how many answers came.
    ///
    /// # Errors
    ///
    /// If an answer does not come in time, or is wrong.
    pub fn finish_all(&mut self) -> Result<u64, Failure> {
        self.check_unspent()?;
        while self.in_flight > 0 {
            self.turn(PULSE, Next::Nothing)?;
        }
        Ok(std::mem::replace(&mut self.work, Work::none()).requests)
    }

    /// Runs `drive` from a clean state, with what it cost and a verdict.
    pub(super) fn measure(
        &mut self,
        drive: impl FnOnce(&mut Self, u64) -> Result<End, Trouble>,
    ) -> Result<Work, Failure> {
        self.check_unspent()?;
        let before = ThreadUsage::now()?;
        let start = self.now();
        self.run_start_ns = start;
        self.answered.store(0, Ordering::Relaxed);
        self.interval_end_ns = match nanoseconds(self.plan.interval) {
            0 => u64::MAX,
            interval_ns => start + interval_ns,
        };
        let end = drive(self, start);
        let elapsed = Duration::from_nanos(self.now() - start);
        let after = ThreadUsage::now()?;
        if self.interval_end_ns != u64::MAX {
            self.end_interval(u64::MAX);
            for recorded in self.work.intervals.values() {
                let latency = recorded.latency();
                self.work.latency.add(latency).expect("all histograms have the same bounds");
            }
        }
        let mut work = std::mem::replace(&mut self.work, Work::none());
        work.elapsed = elapsed;
        work.client_cpu = after.cpu.saturating_sub(before.cpu);
        work.client_wait = after.waited.saturating_sub(before.waited);
        match end {
            Ok(End::Done) => work.judge_client(),
            Ok(End::Interrupted) => {
                self.is_spent = self.in_flight > 0;
                work.verdict = Verdict::Partial;
            }
            Err(Trouble::Server(fault)) => {
                self.is_spent = true;
                let is_rate = fault.reason == Reason::RateNotReached;
                // A client without time is behind, whatever the server does.
                if is_rate {
                    work.judge_client();
                }
                if work.verdict == Verdict::Valid {
                    work.verdict = Verdict::Invalid(fault);
                }
            }
            Err(Trouble::Own(failure)) => {
                self.is_spent = true;
                return Err(failure);
            }
        }
        Ok(work)
    }

    fn check_unspent(&self) -> Result<(), Failure> {
        if self.is_spent {
            let text = "the last run of this client ended early: connect another";
            return Err(Failure::Environment(text.to_owned()));
        }
        Ok(())
    }

    pub(super) fn now(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }

    fn open(&mut self, index: usize, wait: Wait) -> io::Result<()> {
        let stream = Rc::new(connection::open(&self.plan, index, wait)?);
        self.epoll.add(stream.as_fd(), index as u64)?;
        let connection = &mut self.connections[index];
        connection.position = self.exchange.first_position(index);
        connection.progress = self.exchange.progress(connection.position);
        connection.session = self.exchange.session(&stream);
        connection.stream = Some(stream);
        Ok(())
    }

    /// Sends `count` requests that were to start at `intended`, as far as the socket takes them.
    pub(super) fn start(
        &mut self,
        index: usize,
        count: usize,
        intended: u64,
    ) -> Result<(), Trouble> {
        let mut again = 0;
        if self.connections[index].stream.is_none() {
            self.open(index, Wait::Never).map_err(|error| lost(&self.plan, index, &error))?;
            self.work.connects += 1;
            again = self.connections[index].starts.len();
            self.connections[index].unsent = again * self.exchange.request_size;
        }
        let connection = &mut self.connections[index];
        connection.starts.extend(std::iter::repeat_n(intended, count));
        connection.unsent += count * self.exchange.request_size;
        self.in_flight += count;
        if connection.session.is_some() {
            return self.send_in_session(index, count + again);
        }
        self.send(index)
    }

    fn send(&mut self, index: usize) -> Result<(), Trouble> {
        let connection = &mut self.connections[index];
        let Some(stream) = &connection.stream else { return Ok(()) };
        while connection.unsent > 0 {
            let rest = self.exchange.requests.at(connection.position, connection.unsent);
            match os::send(stream.as_fd(), rest) {
                Ok(count) => {
                    connection.unsent -= count;
                    connection.position = self.exchange.requests.after(connection.position, count);
                }
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(lost(&self.plan, index, &error)),
            }
        }
        Ok(())
    }

    /// Waits for events for at most `timeout`, and serves them.
    pub(super) fn turn(&mut self, timeout: Duration, next: Next) -> Result<(), Trouble> {
        let timeout = if self.unsettled.is_empty() { timeout } else { Duration::ZERO };
        let mut events = std::mem::take(&mut self.events);
        self.epoll.wait(&mut events, Some(timeout)).map_err(Failure::from)?;
        for (token, reported) in events.iter() {
            let index = token as usize;
            let is_over = reported & ENDS != 0;
            if let Some(session) = &self.connections[index].session {
                session.is_ready(is_over);
                self.settle(index, next)?;
                continue;
            }
            if self.connections[index].unsent > 0 {
                self.send(index)?;
            }
            self.receive(index, is_over, next)?;
        }
        for index in std::mem::take(&mut self.unsettled) {
            self.settle(index, next)?;
        }
        self.turns += 1;
        self.answered.store(self.work.requests, Ordering::Relaxed);
        if events.is_empty() && !timeout.is_zero() || self.turns.is_multiple_of(1024) {
            self.check_patience()?;
        }
        self.events = events;
        Ok(())
    }

    /// Takes what has arrived. A connection that ends is read to its end.
    fn receive(&mut self, index: usize, is_over: bool, next: Next) -> Result<(), Trouble> {
        loop {
            let connection = &mut self.connections[index];
            let Some(stream) = &connection.stream else { return Ok(()) };
            let due = connection.starts.len();
            let (count, taken) = match os::recv(stream.as_fd(), &mut self.arrived) {
                Ok(0) => match self.exchange.end(&mut connection.progress, due) {
                    Some(taken) => (0, taken),
                    None => return Err(closed(index, connection)),
                },
                Ok(count) => {
                    let bytes = &self.arrived[..count];
                    let taken = self.exchange.take(&mut connection.progress, bytes, due);
                    let refused = |(reason, what)| Trouble::server(reason, index, what);
                    (count, taken.map_err(refused)?)
                }
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(lost(&self.plan, index, &error)),
            };
            if taken.is_last || self.plan.is_churn && taken.answers > 0 {
                connection.close();
            }
            self.finish(index, taken.answers, next)?;
            if count < self.arrived.len() && !is_over {
                return Ok(());
            }
        }
    }

    /// Counts the oldest requests of a connection as answered, and goes on.
    pub(super) fn finish(
        &mut self,
        index: usize,
        answers: usize,
        next: Next,
    ) -> Result<(), Trouble> {
        let now = self.now();
        if now >= self.interval_end_ns {
            self.end_interval(now);
        }
        let connection = &mut self.connections[index];
        for _ in 0..answers {
            let start = connection.starts.pop_front().expect("an answer belongs to a request");
            self.work.latency.saturating_record(now.saturating_sub(start));
        }
        self.in_flight -= answers;
        self.work.requests += answers as u64;
        let is_lost = connection.stream.is_none() && !connection.starts.is_empty();
        match next {
            Next::AgainUntil(until) if now < until && answers > 0 => {
                self.start(index, answers, now)
            }
            // Requests that the server did not answer before it closed, as it had announced, are
            // asked again.
            _ if is_lost => self.start(index, 0, now),
            Next::Free => {
                if self.free.is_empty() && answers > 0 {
                    self.full_until_ns = now;
                }
                self.free.extend(std::iter::repeat_n(index as u32, answers));
                // What is due does not wait until the other answers have been looked at.
                self.start_due(now)
            }
            Next::AgainUntil(_) | Next::Nothing => Ok(()),
        }
    }

    /// Puts the latencies since the last call aside, as those of the interval that they are of.
    fn end_interval(&mut self, now_ns: u64) {
        let interval_ns = nanoseconds(self.plan.interval);
        let interval = (self.interval_end_ns - self.run_start_ns) / interval_ns - 1;
        if !self.work.latency.is_empty() {
            self.work.intervals.insert(interval, Recorded::of(&self.work.latency));
            self.work.latency.reset();
        }
        while self.interval_end_ns <= now_ns && now_ns != u64::MAX {
            self.interval_end_ns += interval_ns;
        }
    }

    /// Finds a request that waits for longer than the plan allows.
    fn check_patience(&self) -> Result<(), Trouble> {
        let Some(long_ago) = self.now().checked_sub(nanoseconds(self.plan.patience)) else {
            return Ok(());
        };
        let is_late = |one: &Connection| one.starts.front().is_some_and(|start| *start < long_ago);
        let late = self.connections.iter().filter(|one| is_late(one)).count();
        let Some(index) = self.connections.iter().position(is_late) else { return Ok(()) };
        let arrived = self.connections[index].progress.arrived;
        let patience = self.plan.patience;
        let what = match arrived {
            0 => "nothing of an answer".to_owned(),
            arrived => format!("no more than {arrived} bytes of an answer"),
        };
        let detail = format!(
            "the server sent {what} for {patience:?} on connection {index}; {late} of {} \
             connections wait as long",
            self.connections.len()
        );
        Err(Trouble::Server(Fault { reason: Reason::StoppedAnswering, detail }))
    }
}

/// How long a wait lasts at most: requests to end, and servers that are silent, are noticed then.
pub(super) const PULSE: Duration = Duration::from_millis(100);

/// After such an event there are no further ones.
const ENDS: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}
