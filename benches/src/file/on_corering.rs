//! corering itself, on either driver: one task per block in flight, as anyone would write it.
//!
//! Tuned: nothing.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use corering::buf::AlignedBuf;
use corering::fs::File;
use corering::sync::Notify;
use corering::{Driver, Runtime};

use super::candidate::{Counted, Runner};
use super::plan::Plan;
use super::work::{After, Next, Work};
use super::{open_flags, whether};

pub(super) struct OnCorering {
    runtime: Runtime,
    lanes: Rc<Lanes>,
    buffers: Vec<AlignedBuf>,
}

struct Lanes {
    file: File,
    writes: bool,
    work: Rc<RefCell<Work>>,
    /// A group was synced, or nothing goes on.
    synced: Notify,
}

impl OnCorering {
    pub(super) fn new(
        driver: Driver,
        plan: &Plan,
        path: &Path,
        work: &Rc<RefCell<Work>>,
    ) -> io::Result<Self> {
        let runtime = Runtime::builder().driver(driver).build()?;
        let writes = plan.access.writes();
        let file = runtime.block_on(
            File::options().read(true).write(writes).custom_flags(open_flags(plan)).open(path),
        )?;
        let buffers = (0..plan.depth).map(|_| work.borrow().buffer()).collect();
        let lanes = Lanes { file, writes, work: work.clone(), synced: Notify::new() };
        Ok(OnCorering { runtime, lanes: Rc::new(lanes), buffers })
    }
}

impl Runner for OnCorering {
    fn run(&mut self) -> io::Result<()> {
        let buffers = std::mem::take(&mut self.buffers);
        let lanes = &self.lanes;
        self.buffers = self.runtime.block_on(async {
            let tasks: Vec<_> = buffers
                .into_iter()
                .map(|buffer| corering::spawn(lanes.clone().run_one(buffer)))
                .collect();
            let mut buffers = Vec::with_capacity(tasks.len());
            for task in tasks {
                buffers.push(task.await.map_err(io::Error::other)?);
            }
            Ok::<_, io::Error>(buffers)
        })?;
        Ok(())
    }

    fn counted(&self) -> Counted {
        let metrics = self.runtime.metrics();
        let is_uring = self.runtime.driver() == Driver::Uring;
        let counters = BTreeMap::from([
            ("rounds".to_owned(), metrics.rounds),
            ("enters".to_owned(), metrics.enters),
            ("submitted".to_owned(), metrics.submitted),
            ("pool_jobs".to_owned(), metrics.pool_jobs),
            ("completion_overflows".to_owned(), metrics.completion_overflows),
        ]);
        // Those of the pool's threads, and what wakes them, are counted by nobody.
        let system_calls = whether(is_uring, metrics.enters + metrics.attempts);
        Counted { system_calls, counters }
    }
}

impl Lanes {
    /// One block at a time, until the slice is over.
    async fn run_one(self: Rc<Self>, mut buffer: AlignedBuf) -> AlignedBuf {
        loop {
            let next = self.work.borrow_mut().next(&mut buffer);
            let operation = match next {
                Next::Start(operation) => operation,
                Next::Wait => {
                    self.synced.notified().await;
                    continue;
                }
                Next::Over => return buffer,
            };
            let transferred = if self.writes {
                self.file.write_at(buffer, operation.offset).await
            } else {
                self.file.read_at(buffer, operation.offset).await
            };
            let result;
            (result, buffer) = match transferred {
                Ok((count, buffer)) => (Ok(count), buffer),
                Err(error) => {
                    let (error, buffer) = error.into_parts();
                    (Err(error), buffer)
                }
            };
            let after = self.work.borrow_mut().done(operation, &buffer, result);
            if after == After::Sync {
                let result = self.file.sync_data().await;
                self.work.borrow_mut().synced(result);
            }
            if after != After::GoOn {
                self.synced.notify_waiters();
            }
        }
    }
}
