//! Lines that are answered once they are durable, by group commit.

use std::cell::RefCell;
use std::io;

use corering::fs::File;
use corering::net::TcpStream;
use corering::sync::oneshot;

use super::Shop;
use super::http::pay;
use crate::server::fail;
use crate::server::journal::{Journal, Lines};
use crate::server::site::Owed;

/// The log of one shard.
pub(super) struct Log {
    pub(super) file: File,
    pub(super) journal: RefCell<Journal<oneshot::Sender<()>>>,
}

pub(super) async fn connection(mut stream: TcpStream, shop: &'static Shop) {
    let log = shop.log.as_ref().expect("the workload has a log");
    let (mut lines, mut owed) = (Lines::default(), Owed::default());
    while let Ok(received) = stream.recv().await {
        if received.is_empty() {
            break;
        }
        let count = lines.receive(&received, &mut log.journal.borrow_mut());
        drop(received);
        if count == 0 {
            continue;
        }
        shop.work.requests(count);
        let (waiter, durable) = oneshot::channel();
        log.journal.borrow_mut().wait(waiter);
        if !log.journal.borrow().is_committing() {
            corering::spawn(commit(log));
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
///
/// A task of its own: a connection that breaks must not leave the others waiting.
async fn commit(log: &'static Log) {
    loop {
        let Some(mut group) = log.journal.borrow_mut().begin() else { return };
        let text = std::mem::take(&mut group.text);
        let durable = async {
            log.file.write_all_at(text, group.offset).await?;
            log.file.sync_data().await?;
            io::Result::Ok(())
        };
        if let Err(error) = durable.await {
            fail(&error);
        }
        let served: Vec<_> = log.journal.borrow_mut().end(&group).collect();
        for waiter in served {
            // Whoever has gone meanwhile need not hear of it.
            let _ = waiter.send(());
        }
    }
}
