//! Rows of files that are sent: as writes.

use std::io::{self, Write as _};
use std::path::Path;

use corering::fs::{CachedFile, File, FileCache};
use corering::net::{ByteStream, Family};
use futures_util::TryFutureExt;

use crate::moments::{Moment, World};
use crate::net::pattern;
use crate::writes::{Parcel, Write, is_told_once};

/// Bytes that go as a head, before those of the file.
const HEAD: usize = 100;

fn file(parcel: &Parcel) -> &File {
    parcel.file.as_ref().expect("these rows have one")
}

fn cached(parcel: &Parcel) -> &CachedFile {
    parcel.cached.as_ref().expect("these rows have one")
}

fn rows<F: Family>() -> [(&'static str, Write<F>); 6] {
    fn after<B>((sent, _): (u64, B)) -> usize {
        sent as usize + HEAD
    }
    [
        ("ByteStream::send_file", |stream, parcel| {
            let send = stream.send_file(file(parcel), 0, u64::MAX);
            Box::pin(send.map_ok(|sent| sent as usize))
        }),
        ("ByteStream::send_file_after", |stream, parcel| {
            let head = parcel.bytes[..HEAD].to_vec();
            let send = stream.send_file_after(head, file(parcel), HEAD as u64, u64::MAX);
            Box::pin(send.map_ok(after).err_into())
        }),
        ("ByteStream::send_cached_after", |stream, parcel| {
            let head = parcel.bytes[..HEAD].to_vec();
            let send = stream.send_cached_after(head, cached(parcel), HEAD as u64, u64::MAX);
            Box::pin(send.map_ok(after).err_into())
        }),
        ("WriteHalf::send_cached_after", |stream, parcel| {
            let head = parcel.bytes[..HEAD].to_vec();
            let half = stream.split().1;
            let send = half.send_cached_after(head, cached(parcel), HEAD as u64, u64::MAX);
            Box::pin(send.map_ok(after).err_into())
        }),
        ("WriteHalf::send_file", |stream, parcel| {
            let send = stream.split().1.send_file(file(parcel), 0, u64::MAX);
            Box::pin(send.map_ok(|sent| sent as usize))
        }),
        ("WriteHalf::send_file_after", |stream, parcel| {
            let head = parcel.bytes[..HEAD].to_vec();
            let send = stream.split().1.send_file_after(head, file(parcel), HEAD as u64, u64::MAX);
            Box::pin(send.map_ok(after).err_into())
        }),
    ]
}

/// A file of the disk that holds the bytes, in memory still.
async fn parcel(bytes: Vec<u8>) -> io::Result<Parcel> {
    let name = format!("sent-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(&name);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
    file.write_all(&bytes)?;
    let cache: FileCache = FileCache::builder().beneath(&File::open(folder).await?);
    let cached = cache.get(&name).await;
    std::fs::remove_file(&path)?;
    Ok(Parcel { bytes, file: Some(file.into()), cached: Some(cached?) })
}

/// All rows of files that are sent, at one moment.
pub(crate) async fn are_told_once<F: Family>(
    world: &World,
    moment: Moment,
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for row in rows() {
        for (full, len) in [(false, 1_000), (true, 1_000), (true, 300_000), (false, 300_000)] {
            let parcel = parcel(pattern(len)).await?;
            is_told_once(world, moment, row, full, &parcel, pair().await?).await?;
        }
    }
    Ok(())
}
