//! Echo on a shard that reads the disk, too (`disk.rs`).

use std::io;
use std::rc::Rc;

use corering::buf::AlignedBuf;
use corering::fs::File;
use corering::net::TcpStream;
use corering::sync::Notify;

use super::super::disk::{self, Activity, BLOCK_BYTES};
use super::Shop;

/// The disk of a shard.
pub(super) struct Disk {
    file: File,
    activity: Activity,
    message: Notify,
}

impl Disk {
    /// Makes the file, and as many readers as are asked for, which wait for the first message.
    pub(super) fn begin(shop: &Shop) -> io::Result<Rc<Self>> {
        let arguments = &shop.stage.arguments;
        let file = File::from(disk::file(arguments.dir.as_deref())?);
        let disk = Rc::new(Disk { file, activity: Activity::new(), message: Notify::new() });
        for reader in 0..arguments.disk_depth {
            corering::spawn(disk.clone().read(reader));
        }
        Ok(disk)
    }

    /// Reads so far.
    pub(super) fn reads(&self) -> u64 {
        self.activity.reads()
    }

    async fn read(self: Rc<Self>, reader: usize) {
        let mut next_offset = disk::offsets(reader);
        let mut buffer = AlignedBuf::new(BLOCK_BYTES, BLOCK_BYTES);
        loop {
            if self.activity.is_at_rest() {
                self.message.notified().await;
            }
            match self.file.read_at(buffer, next_offset()).await {
                Ok((BLOCK_BYTES, filled)) => buffer = filled,
                Ok((count, _)) => return eprintln!("a read of the disk had {count} bytes"),
                Err(error) => return eprintln!("a read of the disk failed: {error}"),
            }
            self.activity.read_is_done();
        }
    }
}

/// As the echo, and tells the disk of every message.
pub(super) async fn connection(mut stream: TcpStream, shop: &'static Shop, disk: Rc<Disk>) {
    while let Ok(received) = stream.recv().await {
        if received.is_empty() {
            break;
        }
        shop.work.echoes(received.len());
        if disk.activity.message() {
            disk.message.notify_waiters();
        }
        if stream.write_all(received).await.is_err() {
            break;
        }
    }
}
