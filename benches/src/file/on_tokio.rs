//! What a user would pick instead: tokio's current-thread runtime, and plain calls on its blocking
//! pool.
//!
//! Tuned: `spawn_blocking` with `pread` and `pwrite` and a buffer that comes back, since
//! `tokio::fs::File` copies each block and has one position. The pool keeps its default bound.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use corering::buf::AlignedBuf;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_blocking, spawn_local};

use super::candidate::{Counted, Runner};
use super::plan::Plan;
use super::work::{After, Next, Work};

pub(super) struct OnTokio {
    runtime: Runtime,
    lanes: Rc<Lanes>,
    buffers: Vec<AlignedBuf>,
}

struct Lanes {
    file: Arc<File>,
    writes: bool,
    work: Rc<RefCell<Work>>,
    /// A group was synced, or nothing goes on.
    synced: Notify,
}

impl OnTokio {
    pub(super) fn new(plan: &Plan, path: &Path, work: &Rc<RefCell<Work>>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().build()?;
        let file = Arc::new(super::open(plan, path)?);
        let buffers = (0..plan.depth).map(|_| work.borrow().buffer()).collect();
        let writes = plan.access.writes();
        let lanes = Lanes { file, writes, work: work.clone(), synced: Notify::new() };
        Ok(OnTokio { runtime, lanes: Rc::new(lanes), buffers })
    }
}

impl Runner for OnTokio {
    fn run(&mut self) -> io::Result<()> {
        let buffers = std::mem::take(&mut self.buffers);
        let lanes = &self.lanes;
        self.buffers = self.runtime.block_on(LocalSet::new().run_until(async {
            let tasks: Vec<_> = buffers
                .into_iter()
                .map(|buffer| spawn_local(lanes.clone().run_one(buffer)))
                .collect();
            let mut buffers = Vec::with_capacity(tasks.len());
            for task in tasks {
                buffers.push(task.await.map_err(io::Error::other)??);
            }
            Ok::<_, io::Error>(buffers)
        }))?;
        Ok(())
    }

    fn counted(&self) -> Counted {
        Counted::default()
    }
}

impl Lanes {
    async fn run_one(self: Rc<Self>, mut buffer: AlignedBuf) -> io::Result<AlignedBuf> {
        loop {
            let next = self.work.borrow_mut().next(&mut buffer);
            let operation = match next {
                Next::Start(operation) => operation,
                Next::Wait => {
                    self.synced.notified().await;
                    continue;
                }
                Next::Over => return Ok(buffer),
            };
            let (file, writes) = (self.file.clone(), self.writes);
            let transfer = spawn_blocking(move || {
                let result = if writes {
                    file.write_at(&buffer, operation.offset)
                } else {
                    file.read_at(&mut buffer, operation.offset)
                };
                (result, buffer)
            });
            let result;
            (result, buffer) = transfer.await.map_err(io::Error::other)?;
            let after = self.work.borrow_mut().done(operation, &buffer, result);
            if after == After::Sync {
                let file = self.file.clone();
                let result = spawn_blocking(move || file.sync_data()).await;
                self.work.borrow_mut().synced(result.map_err(io::Error::other)?);
            }
            if after != After::GoOn {
                self.synced.notify_waiters();
            }
        }
    }
}
