//! Everything a simulated kernel knows, and the two things that move it: time and task work.
//!
//! Sockets, operations and rings live in ordered maps under numbers given in the order of their
//! creation. Nothing is ever visited in the order of a descriptor or an address.

use super::buffers::BufferGroup;
use super::entry_view::{EntryView, SQE_SKIP_SUCCESS};
use super::faults::Faults;
use super::random::Random;
use super::socket::{Socket, SocketId};
use super::trace::Trace;
use crate::sys::clock::{self, Virtual};
use crate::sys::ring::Cqe;
use io_uring::opcode;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::RawFd;
use std::time::{Duration, Instant, SystemTime};

/// The same in every world, so that a program that prints the time prints the same: a day in 2027.
const WALL_AT_START: Duration = Duration::from_secs(1_800_000_000);

pub(super) type OperationId = u64;
pub(super) type RingId = u32;

pub(super) struct State {
    pub(super) random: Random,
    pub(super) weather: Weather,
    pub(super) trace: Trace,
    pub(super) faults: Faults,
    /// Whether an accept waits for a connection. If not, it fails with EAGAIN.
    pub(super) accepts_wait: bool,
    /// Whether a multishot receive looks for the end behind the bytes that it has just received.
    pub(super) hears_ends: bool,
    /// The virtual moment at offset zero.
    pub(super) base: Instant,
    /// What the wall clock showed at offset zero, as if nobody had set it since.
    wall_base: SystemTime,
    /// Virtual time since the world began.
    pub(super) now: Duration,
    /// Whether this thread's clocks follow this world.
    pub(super) rules_clock: bool,
    pub(super) events: BTreeMap<(Duration, u64), Event>,
    pub(super) sockets: BTreeMap<SocketId, Socket>,
    pub(super) descriptors: BTreeMap<RawFd, SocketId>,
    pub(super) operations: BTreeMap<OperationId, Operation>,
    pub(super) rings: BTreeMap<RingId, RingState>,
    pub(super) port_next: u16,
    /// Numbers given so far to events, sockets, operations and rings.
    numbers: [u64; 4],
}

/// How rough this world is, drawn once from its seed so that some worlds are calm and some are not.
pub(super) struct Weather {
    /// Of 16 transfers, how many are cut short though more would have fitted.
    pub(super) short_transfers: usize,
    /// Of 16 operations, how many are not tried at once but later, as a busy kernel does.
    pub(super) late_operations: usize,
    /// Powers of two between which the capacity of a socket's buffers lies.
    pub(super) buffer_powers: (u32, u32),
}

/// Something that is going to happen at a moment of virtual time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Bytes, or the end of the stream, reach the peer of this socket.
    Deliver(SocketId),
    /// A connect reaches the listener, or finds none.
    Handshake(SocketId),
    /// A reset reaches this socket.
    Reset(SocketId),
    /// An operation that another thread of the kernel took over is tried.
    Start(OperationId),
    /// A timeout is over.
    Expire(OperationId),
}

/// One entry that was consumed and whose last completion is not posted yet.
pub(super) struct Operation {
    pub(super) ring: RingId,
    pub(super) entry: EntryView,
    /// Held: the socket stays open while the operation is in flight, whatever is closed.
    pub(super) socket: Option<SocketId>,
    pub(super) stage: Stage,
    /// It was tried before, and has been waiting since.
    pub(super) begun: bool,
    /// A cancel was told "already running": it ends after one more try at the latest.
    pub(super) doomed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// For its socket, or for an event.
    Waiting,
    /// On the task work list, to be tried.
    Ready,
    /// On the task work list, to be posted.
    Done { result: i32, flags: u32 },
}

/// What became of an operation that was tried.
pub(super) enum Outcome {
    Done {
        result: i32,
        flags: u32,
    },
    Wait,
    /// A multishot that has more to do, but lets others come first.
    Again,
}

impl Outcome {
    pub(super) fn of(result: Result<i32, i32>) -> Self {
        Outcome::Done { result: result.unwrap_or_else(|errno| -errno), flags: 0 }
    }
}

pub(super) struct RingState {
    pub(super) completions: VecDeque<Cqe>,
    pub(super) completions_max: usize,
    /// Completions that found the queue full, in order. None is ever lost.
    pub(super) overflow: VecDeque<Cqe>,
    pub(super) overflows: u64,
    /// Task work: operations to try or to post when the ring's thread next enters.
    pub(super) ready: Vec<OperationId>,
    pub(super) groups: BTreeMap<u16, BufferGroup>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let low = random.between(8, 14) as u32;
        let weather = Weather {
            short_transfers: random.below(9),
            late_operations: random.below(9),
            buffer_powers: (low, low + random.below(5) as u32),
        };
        State {
            random,
            weather,
            trace: Trace::new(),
            faults: Faults::default(),
            accepts_wait: true,
            hears_ends: true,
            base: Instant::now(),
            wall_base: SystemTime::UNIX_EPOCH + WALL_AT_START,
            now: Duration::ZERO,
            rules_clock: false,
            events: BTreeMap::new(),
            sockets: BTreeMap::new(),
            descriptors: BTreeMap::new(),
            operations: BTreeMap::new(),
            rings: BTreeMap::new(),
            port_next: 32_768,
            numbers: [0; 4],
        }
    }

    pub(super) fn number_event(&mut self) -> u64 {
        self.number(0)
    }

    pub(super) fn number_socket(&mut self) -> SocketId {
        self.number(1) as SocketId
    }

    pub(super) fn number_operation(&mut self) -> OperationId {
        self.number(2)
    }

    pub(super) fn number_ring(&mut self) -> RingId {
        self.number(3) as RingId
    }

    fn number(&mut self, kind: usize) -> u64 {
        self.numbers[kind] += 1;
        self.numbers[kind]
    }

    /// Sets the clock forward. It never goes back.
    pub(super) fn move_clock(&mut self, to: Duration) {
        self.now = self.now.max(to);
        self.show_clocks();
    }

    /// What the wall clock of this world shows.
    pub(super) fn wall(&self) -> SystemTime {
        self.wall_base + self.now
    }

    /// Sets the wall clock, forward or back.
    pub(super) fn set_wall(&mut self, to: SystemTime) {
        self.wall_base = to - self.now;
        self.show_clocks();
    }

    /// Lets this thread's clocks show this world's, if it rules them.
    pub(super) fn show_clocks(&self) {
        if self.rules_clock {
            clock::set_virtual(Some(Virtual { now: self.base + self.now, wall: self.wall() }));
        }
    }

    pub(super) fn schedule(&mut self, delay: Duration, event: Event) {
        let number = self.number_event();
        self.events.insert((self.now.saturating_add(delay), number), event);
    }

    pub(super) fn schedule_soon(&mut self, event: Event) {
        let delay = self.random.delay();
        self.schedule(delay, event);
    }

    /// The moment of the next event.
    pub(super) fn next_event(&self) -> Option<Duration> {
        self.events.first_key_value().map(|((moment, _), _)| *moment)
    }

    /// Lets everything happen that is due.
    pub(super) fn fire_due(&mut self) {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            match entry.remove() {
                Event::Deliver(socket) => self.deliver(socket),
                Event::Handshake(socket) => self.handshake(socket),
                Event::Reset(socket) => self.reset(socket),
                Event::Start(operation) => self.make_ready(operation),
                Event::Expire(operation) => self.end_waiting(operation, -libc::ETIME),
            }
        }
    }

    /// A waiting operation is to be tried again.
    pub(super) fn make_ready(&mut self, id: OperationId) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        if operation.stage != Stage::Waiting {
            return;
        }
        operation.stage = Stage::Ready;
        self.add_task_work(id);
    }

    /// A waiting operation is over, with this result.
    pub(super) fn end_waiting(&mut self, id: OperationId, result: i32) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        if operation.stage == Stage::Waiting {
            operation.stage = Stage::Done { result, flags: 0 };
            self.add_task_work(id);
        }
    }

    pub(super) fn add_task_work(&mut self, id: OperationId) {
        let ring = self.operations[&id].ring;
        if let Some(ring) = self.rings.get_mut(&ring) {
            ring.ready.push(id);
        }
    }

    /// Does one piece of task work: tries the operation, or posts what is known already.
    pub(super) fn run(&mut self, id: OperationId) {
        let Some(operation) = self.operations.get(&id) else { return };
        match operation.stage {
            Stage::Waiting => {}
            Stage::Done { result, flags } => self.finish(id, result, flags),
            Stage::Ready => {
                let outcome = self.attempt(id);
                match self.settle(id, outcome) {
                    Some((result, flags)) => self.finish(id, result, flags),
                    None => {
                        if self.operations[&id].stage == Stage::Ready {
                            self.add_task_work(id);
                        }
                    }
                }
            }
        }
    }

    /// Notes what an attempt brought. Returns the last completion if there is one.
    pub(super) fn settle(&mut self, id: OperationId, outcome: Outcome) -> Option<(i32, u32)> {
        let operation = self.operations.get_mut(&id).expect("an attempt ends no operation itself");
        operation.begun = true;
        let stage = match outcome {
            Outcome::Done { result, flags } => return Some((result, flags)),
            _ if operation.doomed => return Some((-libc::ECANCELED, 0)),
            Outcome::Wait => Stage::Waiting,
            Outcome::Again => Stage::Ready,
        };
        operation.stage = stage;
        let socket = operation.socket;
        if stage == Stage::Waiting
            && let Some(socket) = socket
        {
            self.add_waiter(socket, id);
        }
        None
    }

    /// Posts the last completion of an operation and lets go of what it held.
    pub(super) fn finish(&mut self, id: OperationId, result: i32, flags: u32) {
        let operation = self.operations.remove(&id).expect("an operation ends once");
        let entry = &operation.entry;
        self.trace_completion(operation.ring, entry, result, flags);
        if (result < 0 || !entry.has(SQE_SKIP_SUCCESS))
            && let Some(ring) = self.rings.get_mut(&operation.ring)
        {
            ring.post_last(Cqe { user_data: entry.user_data, result, flags });
        }
        if let Some(socket) = operation.socket {
            self.let_go(socket);
        }
    }

    /// Posts a completion that another follows. False if the queue has no room: the operation
    /// then ends with this very completion, as the real kernel ends a multishot.
    pub(super) fn post_more(&mut self, id: OperationId, result: i32, flags: u32) -> bool {
        let Operation { ring: number, entry, .. } = self.operations[&id];
        let Some(ring) = self.rings.get_mut(&number) else { return false };
        let posted = ring.post(Cqe { user_data: entry.user_data, result, flags });
        if posted {
            self.trace_completion(number, &entry, result, flags);
        }
        posted
    }

    fn trace_completion(&mut self, ring: RingId, entry: &EntryView, result: i32, flags: u32) {
        let user_data = entry.user_data;
        let gives_socket = matches!(entry.opcode, opcode::Accept::CODE | opcode::Socket::CODE);
        match self.descriptors.get(&result) {
            // The number of a descriptor depends on what else the process has open.
            Some(socket) if gives_socket => self.trace.line(
                self.now,
                format_args!(
                    "ring {ring} complete {user_data:#x}: socket {socket} flags {flags:#x}"
                ),
            ),
            _ => self.trace.line(
                self.now,
                format_args!("ring {ring} complete {user_data:#x}: {result} flags {flags:#x}"),
            ),
        }
    }
}

impl RingState {
    pub(super) fn new(completions_max: usize) -> Self {
        RingState {
            completions: VecDeque::new(),
            completions_max,
            overflow: VecDeque::new(),
            overflows: 0,
            ready: Vec::new(),
            groups: BTreeMap::new(),
        }
    }

    /// Posts if there is room. What overflowed before comes first, so as long as something did,
    /// there is none.
    fn post(&mut self, completion: Cqe) -> bool {
        let room = self.overflow.is_empty() && self.completions.len() < self.completions_max;
        if room {
            self.completions.push_back(completion);
        }
        room
    }

    fn post_last(&mut self, completion: Cqe) {
        if !self.post(completion) {
            self.overflow.push_back(completion);
            self.overflows += 1;
        }
    }

    /// Moves what overflowed into the queue as far as there is room.
    pub(super) fn flush_overflow(&mut self) {
        while self.completions.len() < self.completions_max {
            let Some(completion) = self.overflow.pop_front() else { return };
            self.completions.push_back(completion);
        }
    }
}
