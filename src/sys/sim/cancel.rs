//! Cancelling, and the races that it loses.

use super::entry_view::{
    CANCEL_ALL, CANCEL_ANY, CANCEL_FD, CANCEL_USERDATA, CQE_BUFFER_SHIFT, CQE_F_BUFFER, EntryView,
    SQE_BUFFER_SELECT,
};
use super::socket::SocketId;
use super::state::{Operation, OperationId, Stage, State};
use io_uring::opcode;

/// What a cancel looks for.
struct Wanted {
    user_data: Option<u64>,
    file: Option<File>,
}

/// Operations are found by what they were submitted on, not by its present number.
#[derive(PartialEq, Eq)]
enum File {
    Simulated(SocketId),
    Real(i32),
}

impl Wanted {
    fn is(&self, operation: &Operation) -> bool {
        let file = match operation.socket {
            Some(socket) => File::Simulated(socket),
            None => File::Real(operation.entry.fd),
        };
        self.user_data.is_none_or(|wanted| wanted == operation.entry.user_data)
            && self.file.as_ref().is_none_or(|wanted| *wanted == file)
    }
}

impl State {
    /// ASYNC_CANCEL: 0 or the number of operations found, `ENOENT`, or `EALREADY`.
    pub(super) fn cancel(&mut self, id: OperationId, entry: &EntryView) -> Result<i32, i32> {
        let known = CANCEL_ALL | CANCEL_FD | CANCEL_ANY | CANCEL_USERDATA;
        if entry.operation_flags & !known != 0 {
            return Err(libc::EINVAL);
        }
        let any = entry.has_operation_flag(CANCEL_ANY);
        let by_file = entry.has_operation_flag(CANCEL_FD);
        let by_user_data = !any && (!by_file || entry.has_operation_flag(CANCEL_USERDATA));
        let wanted = Wanted {
            user_data: by_user_data.then_some(entry.addr),
            file: if by_file && !any { Some(self.file_of(entry.fd)?) } else { None },
        };
        let all = any || entry.has_operation_flag(CANCEL_ALL);
        let found = self.find(id, |operation| wanted.is(operation));
        if !all {
            return match found.first() {
                Some(target) => self.cancel_one(*target),
                None => Err(libc::ENOENT),
            };
        }
        let mut count = 0;
        for target in found {
            if self.cancel_one(target) != Err(libc::ENOENT) {
                count += 1;
            }
        }
        Ok(count)
    }

    /// POLL_REMOVE and TIMEOUT_REMOVE, without their updates.
    pub(super) fn remove(&mut self, id: OperationId, entry: &EntryView) -> Result<i32, i32> {
        if entry.len != 0 || entry.operation_flags != 0 {
            return Err(libc::EINVAL);
        }
        let kind = match entry.opcode {
            opcode::PollRemove::CODE => opcode::PollAdd::CODE,
            _ => opcode::Timeout::CODE,
        };
        let found = self.find(id, |operation| {
            operation.entry.opcode == kind && operation.entry.user_data == entry.addr
        });
        found.first().map_or(Err(libc::ENOENT), |target| self.cancel_one(*target))
    }

    fn file_of(&self, fd: i32) -> Result<File, i32> {
        match self.socket_of(fd) {
            Ok(socket) => Ok(File::Simulated(socket)),
            Err(libc::ENOTSOCK) => Ok(File::Real(fd)),
            Err(errno) => Err(errno),
        }
    }

    /// Operations in flight on the ring of `id`, except itself, oldest first.
    fn find(&self, id: OperationId, wanted: impl Fn(&Operation) -> bool) -> Vec<OperationId> {
        let ring = self.operations[&id].ring;
        let others = self.operations.iter().filter(|(other, operation)| {
            **other != id && operation.ring == ring && wanted(operation)
        });
        others.map(|(other, _)| *other).collect()
    }

    /// Cancels one operation unless it is being tried just now: then the outcome is open.
    fn cancel_one(&mut self, id: OperationId) -> Result<i32, i32> {
        if let Some(socket) = self.operations[&id].socket {
            match self.random.below(16) {
                0..=3 => self.hurry(socket),
                // It runs for another reason, and would find that it has to wait.
                4 => self.make_ready(id),
                _ => {}
            }
        }
        if self.operations[&id].stage == Stage::Ready {
            match self.random.below(3) {
                // The cancel comes while it runs, which it will do to the end.
                0 => {
                    self.operations.get_mut(&id).expect("it was there above").doomed = true;
                    return Err(libc::EALREADY);
                }
                // It was faster than the cancel.
                1 => self.run(id),
                _ => {}
            }
        }
        let Some(operation) = self.operations.get(&id) else { return Err(libc::ENOENT) };
        if let Stage::Done { .. } = operation.stage {
            return Err(libc::ENOENT);
        }
        let flags = self.buffer_lost_with(id);
        let operation = self.operations.get_mut(&id).expect("it was there above");
        operation.stage = Stage::Done { result: -libc::ECANCELED, flags };
        self.add_task_work(id);
        Ok(0)
    }

    /// A receive that had a buffer in hand when it was cancelled gives it back with its
    /// completion, not to the group.
    fn buffer_lost_with(&mut self, id: OperationId) -> u32 {
        let Operation { ring, entry, .. } = self.operations[&id];
        let selects = entry.opcode == opcode::Recv::CODE && entry.has(SQE_BUFFER_SELECT);
        if !selects || !self.random.chance(1, 8) {
            return 0;
        }
        let Ok(offered) = self.offered_buffer(ring, entry.buffer_group) else { return 0 };
        self.take_buffer(ring, entry.buffer_group);
        u32::from(offered.id) << CQE_BUFFER_SHIFT | CQE_F_BUFFER
    }
}
