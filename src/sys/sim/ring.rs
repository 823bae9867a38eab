//! The ring of a simulated kernel: the same calls, the same promises, no kernel.
//!
//! All work is done inside `enter`, on the caller's thread. That is also the only place where
//! virtual time passes.

use super::buffers::BufferGroup;
use super::entry_view::{EntryView, SQE_DRAIN, SQE_FIXED_FILE, SQE_HARDLINK, SQE_LINK};
use super::state::{Event, Operation, OperationId, RingId, RingState, Stage, State};
use super::world::World;
use crate::sys::ring::{Cqe, Full, Wait};
use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::BufRingEntry;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Pieces of task work in one pass: what a deferring ring does since Linux 6.13.
const TASK_WORK_MAX: usize = 20;
/// What an enter costs that does not wait. Without it, a task that never waits would stop time,
/// and nothing that it waits for could ever happen.
const VISIT: Duration = Duration::from_micros(1);
/// A wait that outlasts this one is a wait for ever.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A ring of a simulated world. Dropping it cancels what is in flight.
pub(crate) struct SimRing {
    world: Rc<World>,
    id: RingId,
    staged: VecDeque<EntryView>,
    staged_max: usize,
}

impl SimRing {
    /// Sets a ring up in this world. Both sizes are rounded up to a power of two.
    pub(crate) fn new(world: Rc<World>, sq_entries: u32, cq_entries: u32) -> Self {
        let completions_max = cq_entries.next_power_of_two() as usize;
        let id = world.state().add_ring(completions_max);
        let staged_max = sq_entries.next_power_of_two() as usize;
        SimRing { world, id, staged: VecDeque::new(), staged_max }
    }

    /// Stages an entry for the next `enter`.
    ///
    /// # Safety
    ///
    /// What the entry points at stays valid until its last completion is reaped.
    pub(crate) unsafe fn push(&mut self, entry: &Entry) -> Result<(), Full> {
        if self.staged.len() == self.staged_max {
            return Err(Full);
        }
        self.staged.push_back(EntryView::of(entry));
        Ok(())
    }

    /// Entries that no `enter` has consumed yet.
    pub(crate) fn staged(&self) -> u32 {
        self.staged.len() as u32
    }

    /// Submits what is staged, does task work, and waits for a completion as told.
    ///
    /// # Errors
    ///
    /// `EINTR`, `EAGAIN`, `EBUSY` or `ENOMEM` as often as the world was told; some or all of the
    /// entries may have been consumed then. `Deadlock` if it would wait for ever.
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.world.state().enter(self.id, &mut self.staged, wait)
    }

    /// Moves all posted completions to `into`.
    pub(crate) fn reap(&mut self, into: &mut Vec<Cqe>) {
        into.extend(self.world.state().ring(self.id).completions.drain(..));
    }

    /// Whether an `enter` would bring completions that `reap` cannot see yet.
    pub(crate) fn wants_enter(&self) -> bool {
        let mut state = self.world.state();
        let ring = state.ring(self.id);
        !ring.ready.is_empty() || !ring.overflow.is_empty()
    }

    /// Completions so far that found the queue full.
    pub(crate) fn overflows(&self) -> u64 {
        self.world.state().ring(self.id).overflows
    }

    /// Lets operations of this ring take buffers from the shared ring at `base`.
    ///
    /// # Safety
    ///
    /// `base` points at `entries` entries, and they and the buffers they name stay valid until
    /// the group is unregistered or the ring dropped.
    pub(crate) unsafe fn register_buffer_ring(
        &mut self,
        base: *mut BufRingEntry,
        entries: u16,
        group: u16,
    ) -> io::Result<()> {
        // SAFETY: passed on to the caller.
        let buffers =
            unsafe { BufferGroup::new(base, entries) }.map_err(io::Error::from_raw_os_error)?;
        let mut state = self.world.state();
        let groups = &mut state.ring(self.id).groups;
        if groups.contains_key(&group) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        groups.insert(group, buffers);
        Ok(())
    }

    #[cfg(test)]
    /// Takes no more buffers from this group.
    pub(crate) fn unregister_buffer_ring(&mut self, group: u16) -> io::Result<()> {
        match self.world.state().ring(self.id).groups.remove(&group) {
            Some(_) => Ok(()),
            None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }
}

impl Drop for SimRing {
    fn drop(&mut self) {
        // A panic inside the world unwinds through here; then there is nothing left to keep.
        if let Some(mut state) = self.world.try_state() {
            state.drop_ring(self.id);
        }
    }
}

impl State {
    fn add_ring(&mut self, completions_max: usize) -> RingId {
        let id = self.number_ring();
        self.rings.insert(id, RingState::new(completions_max));
        id
    }

    fn ring(&mut self, id: RingId) -> &mut RingState {
        self.rings.get_mut(&id).expect("a ring is in its world until it is dropped")
    }

    /// Ends what is in flight without a completion. A receive that was about to run still writes
    /// into its buffer, as the real kernel may do after the ring was closed: whoever freed the
    /// buffer too early finds out here. Not while a panic unwinds: what failed is known then.
    fn drop_ring(&mut self, id: RingId) {
        let of_ring = |(_, operation): &(&OperationId, &Operation)| operation.ring == id;
        let in_flight: Vec<_> = self.operations.iter().filter(of_ring).map(|(id, _)| *id).collect();
        for operation in &in_flight {
            let Operation { entry, stage, .. } = self.operations[operation];
            let receives = stage == Stage::Ready && entry.opcode == opcode::Recv::CODE;
            if receives && !std::thread::panicking() {
                self.attempt(*operation);
            }
        }
        self.rings.remove(&id);
        for operation in in_flight {
            if let Some(socket) = self.operations.remove(&operation).and_then(|o| o.socket) {
                self.let_go(socket);
            }
        }
        self.trace.line(self.now, format_args!("ring {id} dropped"));
    }

    fn enter(
        &mut self,
        ring: RingId,
        staged: &mut VecDeque<EntryView>,
        wait: Wait,
    ) -> io::Result<()> {
        if self.random.chance(self.faults.enters_per_mille, 1_000) {
            return Err(self.fail_enter(ring, staged, wait));
        }
        while let Some(entry) = staged.pop_front() {
            self.submit(ring, entry);
        }
        if matches!(wait, Wait::No | Wait::For(Duration::ZERO)) {
            self.move_clock(self.now + VISIT);
        }
        self.fire_due();
        self.ring(ring).flush_overflow();
        // Now and then all that is there gets ready a little later than this visit.
        if !self.random.chance(1, 16) {
            self.do_task_work(ring);
        }
        match wait {
            Wait::No => Ok(()),
            Wait::For(time) if time < CENTURY => self.wait(ring, Some(self.now + time)),
            Wait::For(_) | Wait::Forever => self.wait(ring, None),
        }
    }

    /// An enter that fails before, in the middle of, or after submitting.
    fn fail_enter(
        &mut self,
        ring: RingId,
        staged: &mut VecDeque<EntryView>,
        wait: Wait,
    ) -> io::Error {
        let consumed = self.random.below(staged.len() + 1);
        for entry in staged.drain(..consumed).collect::<Vec<_>>() {
            self.submit(ring, entry);
        }
        let errnos = [libc::EINTR, libc::EAGAIN, libc::EBUSY, libc::ENOMEM];
        let errno = errnos[self.random.below(errnos.len())];
        if errno == libc::EINTR
            && let Wait::For(time) = wait
            && time < CENTURY
        {
            // A signal comes in the middle of the wait.
            let end = self.next_event().unwrap_or(Duration::MAX).min(self.now + time);
            let half = end.saturating_sub(self.now) / 2;
            self.move_clock(self.now + half);
        }
        self.trace.line(self.now, format_args!("ring {ring} enter fails: errno {errno}"));
        io::Error::from_raw_os_error(errno)
    }

    /// Lets time pass until there is a completion or the wait is over.
    fn wait(&mut self, ring: RingId, until: Option<Duration>) -> io::Result<()> {
        loop {
            self.ring(ring).flush_overflow();
            if !self.ring(ring).completions.is_empty() {
                return Ok(());
            }
            if self.do_task_work(ring) {
                continue;
            }
            match (self.next_event(), until) {
                (Some(event), until) if until.is_none_or(|until| event <= until) => {
                    self.move_clock(event);
                    if self.random.chance(1, 2) {
                        self.linger(until);
                    }
                    self.fire_due();
                }
                (_, Some(until)) => {
                    self.move_clock(until);
                    return Ok(());
                }
                (_, None) => return Err(self.deadlock(ring)),
            }
        }
    }

    /// The thread wakes a little late, when more than one thing has happened.
    fn linger(&mut self, until: Option<Duration>) {
        let late = Duration::from_micros(self.random.between(1, 200) as u64);
        self.move_clock((self.now + late).min(until.unwrap_or(Duration::MAX)));
    }

    /// Makes one pass through the task work, in any order. Some of it may get ready a little later
    /// than the pass, but not the first piece. False if there is none.
    fn do_task_work(&mut self, ring: RingId) -> bool {
        for piece in 0..TASK_WORK_MAX {
            let count = self.ring(ring).ready.len();
            if count == 0 || (piece > 0 && self.random.chance(1, 16)) {
                return piece > 0;
            }
            let chosen = self.random.below(count);
            let id = self.ring(ring).ready.swap_remove(chosen);
            self.run(id);
        }
        true
    }

    fn deadlock(&mut self, ring: RingId) -> io::Error {
        let mut waiting = String::new();
        for operation in self.operations.values().filter(|operation| operation.ring == ring) {
            let Operation { entry, socket, .. } = operation;
            let on = socket.map_or("no socket".to_owned(), |socket| format!("socket {socket}"));
            let (opcode, user_data) = (entry.opcode, entry.user_data);
            waiting += &format!("; opcode {opcode} on {on}, user data {user_data:#x}");
        }
        self.trace.line(self.now, format_args!("ring {ring} deadlock{waiting}"));
        let what = format!(
            "deadlock in the simulated world: the ring waits for ever, and nothing in flight can \
             ever complete{waiting}"
        );
        io::Error::new(io::ErrorKind::Deadlock, what)
    }

    /// Consumes one entry: tries it at once, or a little later.
    fn submit(&mut self, ring: RingId, entry: EntryView) {
        let id = self.number_operation();
        let refused = SQE_FIXED_FILE | SQE_DRAIN | SQE_LINK | SQE_HARDLINK;
        let socket = match self.file_of_entry(&entry) {
            _ if entry.has(refused) => Err(libc::EINVAL),
            socket => socket,
        };
        let stage = Stage::Ready;
        let operation = Operation {
            ring,
            entry,
            socket: socket.unwrap_or_default(),
            stage,
            begun: false,
            doomed: false,
        };
        self.trace_submission(&operation);
        if let Some(socket) = operation.socket {
            self.hold(socket);
        }
        self.operations.insert(id, operation);
        if let Err(errno) = socket {
            return self.finish(id, -errno, 0);
        }
        if entry.opcode == opcode::Shutdown::CODE {
            // The real kernel always hands it to another thread.
            self.operations.get_mut(&id).expect("inserted above").stage = Stage::Waiting;
            return self.schedule_soon(Event::Start(id));
        }
        let late = self.random.chance(self.weather.late_operations, 16);
        if late && socket != Ok(None) {
            return self.add_task_work(id);
        }
        let outcome = self.attempt(id);
        match self.settle(id, outcome) {
            Some((result, flags)) if late => {
                let operation = self.operations.get_mut(&id).expect("inserted above");
                operation.stage = Stage::Done { result, flags };
                self.add_task_work(id);
            }
            Some((result, flags)) => self.finish(id, result, flags),
            None if self.operations[&id].stage == Stage::Ready => self.add_task_work(id),
            None => {}
        }
    }

    /// The socket that an entry is about, if it is about one.
    fn file_of_entry(&self, entry: &EntryView) -> Result<Option<super::socket::SocketId>, i32> {
        match entry.opcode {
            opcode::PollAdd::CODE => match self.socket_of(entry.fd) {
                Err(libc::ENOTSOCK) => Ok(None),
                socket => socket.map(Some),
            },
            opcode::Accept::CODE
            | opcode::Connect::CODE
            | opcode::Recv::CODE
            | opcode::RecvMsg::CODE
            | opcode::Send::CODE
            | opcode::SendMsg::CODE
            | opcode::Shutdown::CODE => self.socket_of(entry.fd).map(Some),
            _ => Ok(None),
        }
    }

    fn trace_submission(&mut self, operation: &Operation) {
        let Operation { ring, entry, socket, .. } = operation;
        let (opcode, user_data, len) = (entry.opcode, entry.user_data, entry.len);
        let on = socket.map_or(String::new(), |socket| format!(" on socket {socket}"));
        self.trace.line(
            self.now,
            format_args!("ring {ring} submit {user_data:#x}: opcode {opcode}{on} len {len}"),
        );
    }
}
