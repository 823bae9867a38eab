//! The limit: a loop on one ring without a runtime.
//!
//! Tuned as liburing's notes and fio's engine do for one thread: `SINGLE_ISSUER`, `DEFER_TASKRUN`,
//! `SUBMIT_ALL`, no index array, a registered ring descriptor; one `enter` that submits what a pass
//! has staged and waits for the next completion; each lane's next block is staged as soon as its
//! last one was reaped, while its buffer is in the cache. `plan.batch` submits earlier, as fio's
//! `iodepth_batch_submit` does. Neither the file nor the buffers are registered, since corering
//! registers none, and fio is run without, too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::rc::Rc;

use corering::buf::AlignedBuf;
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode, squeue};

use super::candidate::{Counted, Runner};
use super::plan::Plan;
use super::work::{After, Next, Operation, Work};

pub(super) struct OnRing {
    work: Rc<RefCell<Work>>,
    lanes: Lanes,
}

/// All but the work.
struct Lanes {
    ring: IoUring,
    file: File,
    writes: bool,
    batch: usize,
    /// They live as long as the process, so the kernel may keep using them whatever happens here.
    buffers: &'static mut [AlignedBuf],
    operations: Vec<Option<Operation>>,
    /// Lanes without a block.
    idle: Vec<usize>,
    in_flight: usize,
    staged: usize,
    enters: u64,
}

/// The `user_data` of an `fdatasync`; that of a block is its lane.
const SYNC: u64 = u64::MAX;

impl OnRing {
    pub(super) fn new(plan: &Plan, path: &Path, work: &Rc<RefCell<Work>>) -> io::Result<Self> {
        // Room for all lanes and a sync.
        let entries = (plan.depth as u32 + 1).next_power_of_two();
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_no_sqarray()
            .build(entries)?;
        ring.submitter().register_ring_fd()?;
        let buffers: Vec<_> = (0..plan.depth).map(|_| work.borrow().buffer()).collect();
        let lanes = Lanes {
            ring,
            file: super::open(plan, path)?,
            writes: plan.access.writes(),
            batch: plan.batch.unwrap_or(usize::MAX),
            buffers: buffers.leak(),
            operations: vec![None; plan.depth],
            idle: Vec::with_capacity(plan.depth),
            in_flight: 0,
            staged: 0,
            enters: 0,
        };
        Ok(OnRing { work: work.clone(), lanes })
    }
}

impl Runner for OnRing {
    fn run(&mut self) -> io::Result<()> {
        let work = &mut *self.work.borrow_mut();
        let lanes = &mut self.lanes;
        lanes.idle.clear();
        for lane in 0..lanes.buffers.len() {
            lanes.start(lane, work)?;
        }
        let mut completions = Vec::with_capacity(lanes.buffers.len() + 1);
        while lanes.in_flight > 0 {
            lanes.enter(1)?;
            completions.extend(lanes.ring.completion());
            lanes.in_flight -= completions.len();
            for completion in completions.drain(..) {
                let result = match completion.result() {
                    error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
                    count => Ok(count as usize),
                };
                match completion.user_data() {
                    SYNC => lanes.synced(result, work)?,
                    lane => lanes.done(lane as usize, result, work)?,
                }
            }
        }
        Ok(())
    }

    fn counted(&self) -> Counted {
        let enters = self.lanes.enters;
        let counters = BTreeMap::from([("enters".to_owned(), enters)]);
        Counted { system_calls: Some(enters), counters }
    }
}

impl Lanes {
    /// Stages the next block of a lane.
    fn start(&mut self, lane: usize, work: &mut Work) -> io::Result<()> {
        let buffer = &mut self.buffers[lane];
        let Next::Start(operation) = work.next(buffer) else {
            self.idle.push(lane);
            return Ok(());
        };
        let (start, length) = (buffer.as_mut_ptr(), buffer.len() as u32);
        let (fd, offset) = (Fd(self.file.as_raw_fd()), operation.offset);
        let entry = if self.writes {
            opcode::Write::new(fd, start, length).offset(offset).build()
        } else {
            opcode::Read::new(fd, start, length).offset(offset).build()
        };
        self.operations[lane] = Some(operation);
        self.push(&entry.user_data(lane as u64))
    }

    fn done(&mut self, lane: usize, result: io::Result<usize>, work: &mut Work) -> io::Result<()> {
        let operation = self.operations[lane].take().expect("a block ends once");
        if work.done(operation, &self.buffers[lane], result) == After::Sync {
            let sync = opcode::Fsync::new(Fd(self.file.as_raw_fd())).flags(FsyncFlags::DATASYNC);
            self.push(&sync.build().user_data(SYNC))?;
        }
        self.start(lane, work)
    }

    fn synced(&mut self, result: io::Result<usize>, work: &mut Work) -> io::Result<()> {
        work.synced(result.map(|_| ()));
        for lane in std::mem::take(&mut self.idle) {
            self.start(lane, work)?;
        }
        Ok(())
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what the entry points at is a buffer that is never freed, and that nobody touches
        // before the lane's completion has been reaped.
        unsafe { self.ring.submission().push(entry) }
            .map_err(|_| io::Error::other("the ring has an entry for each lane and a sync"))?;
        self.in_flight += 1;
        self.staged += 1;
        if self.staged >= self.batch { self.enter(0) } else { Ok(()) }
    }

    fn enter(&mut self, completions: usize) -> io::Result<()> {
        self.enters += 1;
        self.staged = 0;
        match self.ring.submit_and_wait(completions) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}
