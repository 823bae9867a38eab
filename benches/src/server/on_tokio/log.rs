//! Lines that are answered once they are durable, by group commit.
//!
//! Tuned: one trip to tokio's pool per group, write and fdatasync together. tokio's own files would
//! take two.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::Shop;
use super::http::{BUFFER_BYTES, pay};
use crate::server::fail;
use crate::server::journal::{Journal, Lines};
use crate::server::site::Owed;

/// The log of one shard. The lock is never contended: one thread takes it.
pub(super) struct Log {
    pub(super) file: File,
    pub(super) journal: Mutex<Journal<oneshot::Sender<()>>>,
}

impl Log {
    fn journal(&self) -> MutexGuard<'_, Journal<oneshot::Sender<()>>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn connection(mut stream: TcpStream, shop: &'static Shop) {
    let log = shop.log.as_ref().expect("the workload has a log");
    let (mut lines, mut owed) = (Lines::default(), Owed::default());
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(received @ 1..) = stream.read(&mut buffer).await {
        let count = lines.receive(&buffer[..received], &mut log.journal());
        if count == 0 {
            continue;
        }
        shop.work.requests(count);
        let (waiter, durable) = oneshot::channel();
        log.journal().wait(waiter);
        if !log.journal().is_committing() {
            tokio::spawn(commit(log));
        }
        if durable.await.is_err() {
            break;
        }
        owed.add_pages(count);
        if pay(&mut stream, &mut owed, shop).await.is_err() {
            break;
        }
    }
}

/// Makes groups durable until no line is left. Does nothing while another task is at it.
async fn commit(log: &'static Log) {
    loop {
        let Some(group) = log.journal().begin() else { return };
        let durable = move || {
            log.file.write_all_at(&group.text, group.offset)?;
            log.file.sync_data()?;
            std::io::Result::Ok(group)
        };
        let group = match tokio::task::spawn_blocking(durable).await {
            Ok(Ok(group)) => group,
            Ok(Err(error)) => fail(&error),
            Err(error) => fail(&error.into()),
        };
        let served: Vec<_> = log.journal().end(&group).collect();
        for waiter in served {
            // Whoever has gone meanwhile need not hear of it.
            let _ = waiter.send(());
        }
    }
}
