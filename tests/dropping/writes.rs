//! Rows of what sends: the next write tells once how much of a dropped one was sent.

use std::io;
use std::rc::Rc;

use corering::fs::{CachedFile, File};
use corering::net::{ByteStream, Family, WriteAbandoned};
use corering::spawn;
use corering::sync::oneshot;
use futures_util::TryFutureExt;

use crate::moments::{Boxed, Moment, World, drop_at};
use crate::net::pattern;

/// What is sent: bytes, and for some rows a file that holds them.
pub(crate) struct Parcel {
    pub(crate) bytes: Vec<u8>,
    #[allow(dead_code, reason = "a simulated kernel knows no files")]
    pub(crate) file: Option<File>,
    #[allow(dead_code, reason = "a simulated kernel knows no files")]
    pub(crate) cached: Option<Rc<CachedFile>>,
}

/// Sends a parcel, and tells how much of it went.
pub(crate) type Write<F> =
    for<'a> fn(&'a mut ByteStream<F>, &'a Parcel) -> Boxed<'a, io::Result<usize>>;

/// The bytes in three buffers.
fn parts(parcel: &Parcel) -> Vec<Vec<u8>> {
    parcel.bytes.chunks(parcel.bytes.len() / 3 + 1).map(<[u8]>::to_vec).collect()
}

pub(crate) fn writes<F: Family>() -> Vec<(&'static str, Write<F>)> {
    vec![
        ("ByteStream::write", |stream, parcel| {
            let write = stream.write(parcel.bytes.clone());
            Box::pin(write.map_ok(|(count, _)| count).map_err(io::Error::from))
        }),
        ("ByteStream::write_all", |stream, parcel| {
            let write = stream.write_all(parcel.bytes.clone());
            Box::pin(write.map_ok(|buf| buf.len()).map_err(io::Error::from))
        }),
        ("ByteStream::send_all", |stream, parcel| {
            let write = stream.send_all(parts(parcel));
            Box::pin(write.map_ok(|bufs| bufs.concat().len()).map_err(io::Error::from))
        }),
        ("WriteHalf::write", |stream, parcel| {
            let write = stream.split().1.write(parcel.bytes.clone());
            Box::pin(write.map_ok(|(count, _)| count).map_err(io::Error::from))
        }),
        ("WriteHalf::write_all", |stream, parcel| {
            let write = stream.split().1.write_all(parcel.bytes.clone());
            Box::pin(write.map_ok(|buf| buf.len()).map_err(io::Error::from))
        }),
        ("WriteHalf::send_all", |stream, parcel| {
            let write = stream.split().1.send_all(parts(parcel));
            Box::pin(write.map_ok(|bufs| bufs.concat().len()).map_err(io::Error::from))
        }),
        // They wait for room, and send nothing.
        ("ByteStream::writable", |stream, _| Box::pin(stream.writable().map_ok(|()| 0))),
        ("WriteHalf::writable", |stream, _| Box::pin(stream.split().1.writable().map_ok(|()| 0))),
    ]
}

/// Fills the buffers of both ends, and says by how much.
pub(crate) async fn fill<F: Family>(
    world: &World,
    stream: &mut ByteStream<F>,
) -> io::Result<usize> {
    let write = Box::pin(stream.write_all(vec![0; world.too_much]));
    let sent = drop_at(world, Moment::Done, write, async || ()).await;
    assert!(sent.is_none(), "the peer does not read");
    let failed = stream.write_all("").await.expect_err("it is told");
    Ok(WriteAbandoned::of(&failed.error).expect("that is what it tells").written)
}

/// Bytes that make some room.
const PART: usize = 100_000;

/// Receives a part, and then all.
async fn collect<F: Family>(
    mut peer: ByteStream<F>,
    [part, all]: [oneshot::Receiver<()>; 2],
) -> io::Result<Vec<u8>> {
    let mut received = Vec::new();
    let _ = part.await;
    while received.len() < PART {
        let bytes = peer.recv().await?;
        if bytes.is_empty() {
            return Ok(received);
        }
        received.extend_from_slice(&bytes);
    }
    let _ = all.await;
    loop {
        let bytes = peer.recv().await?;
        if bytes.is_empty() {
            return Ok(received);
        }
        received.extend_from_slice(&bytes);
    }
}

/// One row of writes at one moment, on a stream with room or without.
pub(crate) async fn is_told_once<F: Family>(
    world: &World,
    moment: Moment,
    (row, write): (&str, Write<F>),
    full: bool,
    parcel: &Parcel,
    (mut ours, peer): (ByteStream<F>, ByteStream<F>),
) -> io::Result<()> {
    let (part, reads_part) = oneshot::channel();
    let (all, reads_all) = oneshot::channel();
    let (mut part, mut all) = (Some(part), Some(all));
    let reading = spawn(collect(peer, [reads_part, reads_all]));
    let filled = if full { fill(world, &mut ours).await? } else { 0 };
    let mut expected = vec![0; filled];
    // Another task is ready, so that a ring stages what it could send at once.
    let beside = spawn(async {});
    let read = async || {
        drop(part.take());
        if moment == Moment::Done {
            drop(all.take());
        }
    };
    let sent = drop_at(world, moment, write(&mut ours, parcel), read).await.transpose()?;
    if full && moment != Moment::PartlyDone {
        assert_eq!(sent, None, "{row}, {moment:?}: there was no room");
    }
    drop((part, all));
    let next = ours.write_all("next").await;
    let told = next.as_ref().err().map(|failed| {
        WriteAbandoned::of(&failed.error).unwrap_or_else(|| panic!("{row}: {failed}")).written
    });
    assert!(sent.is_none() || told.is_none(), "{row}, {moment:?}: it was told twice");
    expected.extend_from_slice(&parcel.bytes[..sent.or(told).unwrap_or(0)]);
    if told.is_some() {
        assert_ne!(moment, Moment::NotBegun, "{row}: nothing had happened");
        ours.write_all("next").await?;
    }
    expected.extend_from_slice(b"next");
    ours.close().await?;
    beside.await.expect("it does not panic");
    let received = reading.await.expect("it does not panic")?;
    let (len, wanted) = (received.len(), expected.len());
    assert_eq!(len, wanted, "{row}, {moment:?}, full {full}: filled {filled}, told {told:?}");
    assert!(received == expected, "{row}, {moment:?}, full {full}: other bytes came");
    Ok(())
}

/// What a row of writes is tried with: whether the stream has no room, and how many bytes are sent.
pub(crate) const CASES: [(bool, usize); 3] = [(false, 1_000), (true, 1_000), (true, 60_000)];

/// All rows of writes at one moment.
pub(crate) async fn are_told_once<F: Family>(
    world: &World,
    moment: Moment,
    (full, len): (bool, usize),
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for row in writes() {
        let parcel = Parcel { bytes: pattern(len), file: None, cached: None };
        is_told_once(world, moment, row, full, &parcel, pair().await?).await?;
    }
    Ok(())
}
