//! Echo on a thread whose runtime reads the disk, too (`disk.rs`): as `tokio::fs` does it, on the
//! threads for what blocks, but at a given place and into one buffer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use corering::buf::AlignedBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

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
    pub(super) fn begin(shop: &Shop) -> io::Result<Arc<Self>> {
        let arguments = &shop.stage.arguments;
        let file = disk::file(arguments.dir.as_deref())?;
        let disk = Arc::new(Disk { file, activity: Activity::new(), message: Notify::new() });
        for reader in 0..arguments.disk_depth {
            tokio::spawn(disk.clone().read(reader));
        }
        Ok(disk)
    }

    /// Reads so far.
    pub(super) fn reads(&self) -> u64 {
        self.activity.reads()
    }

    async fn read(self: Arc<Self>, reader: usize) {
        let mut next_offset = disk::offsets(reader);
        let mut buffer = AlignedBuf::new(BLOCK_BYTES, BLOCK_BYTES);
        buffer.resize(BLOCK_BYTES);
        loop {
            if self.activity.is_at_rest() {
                self.message.notified().await;
            }
            let (disk, offset) = (self.clone(), next_offset());
            let read = spawn_blocking(move || {
                disk.file.read_exact_at(&mut buffer, offset).map(|()| buffer)
            });
            match read.await.map_err(io::Error::other).flatten() {
                Ok(filled) => buffer = filled,
                Err(error) => return eprintln!("a read of the disk failed: {error}"),
            }
            self.activity.read_is_done();
        }
    }
}

/// As the echo, and tells the disk of every message.
pub(super) async fn connection(mut stream: TcpStream, shop: &'static Shop, disk: Arc<Disk>) {
    let mut buffer = vec![0; shop.stage.arguments.size.clamp(2 * 1024, 128 * 1024)];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        shop.work.echoes(count);
        if disk.activity.message() {
            disk.message.notify_waiters();
        }
        if stream.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}
