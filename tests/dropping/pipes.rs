//! Rows of pipes: bytes are for the next read, and the next write tells once what was written.

use std::io;

use corering::io::{PipeReader, PipeWriter, pipe};
use corering::net::WriteAbandoned;
use corering::spawn;
use futures_util::TryFutureExt;

use crate::moments::{Boxed, Moment, World, drop_at};
use crate::net::pattern;

/// Reads one or more of the bytes that are written in threes.
type Read = for<'a> fn(&'a mut PipeReader) -> Boxed<'a, io::Result<Vec<u8>>>;

const READS: [(&str, Read); 4] = [
    ("PipeReader::recv", |pipe| Box::pin(pipe.recv().map_ok(|bytes| bytes.to_vec()))),
    ("PipeReader::read", |pipe| {
        Box::pin(pipe.read(Vec::with_capacity(64)).map_ok(|(_, buf)| buf).map_err(io::Error::from))
    }),
    ("PipeReader::read", |pipe| {
        Box::pin(pipe.read(Vec::with_capacity(2)).map_ok(|(_, buf)| buf).map_err(io::Error::from))
    }),
    ("PipeReader::read_exact", |pipe| {
        Box::pin(pipe.read_exact(Vec::with_capacity(7), 7).map_err(io::Error::from))
    }),
];

/// All rows of reads at one moment.
pub(crate) async fn lose_no_byte(world: &World, moment: Moment) -> io::Result<()> {
    for (row, read) in READS {
        let (mut reader, mut writer) = pipe()?;
        let mut received = Vec::new();
        for _ in 0..4 {
            let mut sent = false;
            let send = async || {
                sent = true;
                writer.write_all("abc").await.expect("there is room");
            };
            let got = drop_at(world, moment, read(&mut reader), send).await;
            received.extend(got.transpose()?.unwrap_or_default());
            if !sent {
                writer.write_all("abc").await?;
            }
        }
        writer.close().await?;
        collect(&mut reader, &mut received).await?;
        assert_eq!(received, b"abc".repeat(4), "{row}, {moment:?}");
    }
    Ok(())
}

async fn collect(reader: &mut PipeReader, into: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let bytes = reader.recv().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        into.extend_from_slice(&bytes);
    }
}

/// Writes, and tells how much was written.
type Write = for<'a> fn(&'a mut PipeWriter, Vec<u8>) -> Boxed<'a, io::Result<usize>>;

const WRITES: [(&str, Write); 2] = [
    ("PipeWriter::write", |pipe, bytes| {
        Box::pin(pipe.write(bytes).map_ok(|(count, _)| count).map_err(io::Error::from))
    }),
    ("PipeWriter::write_all", |pipe, bytes| {
        Box::pin(pipe.write_all(bytes).map_ok(|buf| buf.len()).map_err(io::Error::from))
    }),
];

/// All rows of writes at one moment, into a pipe with room for some of it or for none.
pub(crate) async fn are_told_once(world: &World, moment: Moment) -> io::Result<()> {
    for (row, write) in WRITES {
        for filled in [0, 65_536] {
            let (mut reader, mut writer) = pipe()?;
            writer.write_all(vec![0; filled]).await?;
            let bytes = pattern(200_000);
            let mut received = Vec::new();
            let read = async || {
                received.extend_from_slice(&reader.recv().await.expect("it was filled"));
            };
            let sent = drop_at(world, moment, write(&mut writer, bytes.clone()), read).await;
            let sent = sent.transpose()?;
            let (next, all) = futures_util::join!(
                async {
                    let told = writer.write_all("next").await.err().map(|failed| {
                        WriteAbandoned::of(&failed.error).expect("that is what it tells").written
                    });
                    if told.is_some() {
                        writer.write_all("next").await?;
                    }
                    drop(writer);
                    io::Result::Ok(told)
                },
                collect(&mut reader, &mut received)
            );
            all?;
            let told = next?;
            assert!(sent.is_none() || told.is_none(), "{row}, {moment:?}: it was told twice");
            let mut expected = vec![0; filled];
            expected.extend_from_slice(&bytes[..sent.or(told).unwrap_or(0)]);
            expected.extend_from_slice(b"next");
            assert!(received == expected, "{row}, {moment:?}, filled {filled}: {told:?}");
        }
    }
    Ok(())
}

/// The rows of what ends a pipe, at one moment.
pub(crate) async fn are_closed(world: &World, moment: Moment) -> io::Result<()> {
    let row = "PipeReader::into_parts";
    let (reader, mut writer) = pipe()?;
    let ended = Box::pin(reader.into_parts().map_ok(drop));
    drop_at(world, moment, ended, async || ()).await.transpose()?;
    assert!(writer.write_all("x").await.is_err(), "{row}, {moment:?}: nobody reads");
    for row in ["PipeWriter::close", "PipeWriter::into_fd"] {
        let (mut reader, writer) = pipe()?;
        let end: Boxed<'_, io::Result<()>> = match row {
            "PipeWriter::close" => Box::pin(writer.close()),
            _ => Box::pin(writer.into_fd().map_ok(drop)),
        };
        drop_at(world, moment, end, async || ()).await.transpose()?;
        let end = spawn(async move { reader.recv().await.map(|bytes| bytes.is_empty()) });
        assert!(end.await.expect("it does not panic")?, "{row}, {moment:?}: it is closed");
    }
    Ok(())
}
