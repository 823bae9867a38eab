//! Rows of standard streams, whose bytes are for the next handle, and of FIFOs that are opened.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use corering::io::{PipeReader, PipeWriter, Stderr, Stdout, stderr, stdin, stdout};
use corering::net::WriteAbandoned;
use futures_util::TryFutureExt;

use crate::moments::{Boxed, Moment, World, drop_at};
use crate::net::{nothing_is_in_flight, pattern};
use crate::standard::{Exchanged, Fifo, scratch};

/// Reads some bytes by a handle of its own.
type Read = fn() -> Boxed<'static, io::Result<Vec<u8>>>;

const READS: [(&str, Read); 3] = [
    ("Stdin::recv", || Box::pin(async { stdin().recv().await.map(Vec::from) })),
    ("Stdin::read", || {
        Box::pin(async { Ok(stdin().read(Vec::with_capacity(2)).await.map(|(_, buf)| buf)?) })
    }),
    ("Stdin::read_exact", || {
        Box::pin(async { Ok(stdin().read_exact(Vec::with_capacity(7), 7).await?) })
    }),
];

/// All rows of reads at one moment.
pub(crate) async fn lose_no_byte(world: &World, moment: Moment) -> io::Result<()> {
    for (row, read) in READS {
        let (reader, writer) = io::pipe()?;
        let _stdin = Exchanged::new(0, reader);
        let mut writer = fs::File::from(OwnedFd::from(writer));
        let mut received = Vec::new();
        for _ in 0..4 {
            let mut sent = false;
            let send = async || {
                sent = true;
                io::Write::write_all(&mut writer, b"abc").expect("there is room");
            };
            let got = drop_at(world, moment, read(), send).await;
            received.extend(got.transpose()?.unwrap_or_default());
            if !sent {
                io::Write::write_all(&mut writer, b"abc")?;
            }
        }
        drop(writer);
        collect(&mut received).await?;
        assert_eq!(received, b"abc".repeat(4), "{row}, {moment:?}");

        // A file, which a thread reads.
        let bytes = pattern(200_000);
        let _stdin = Exchanged::new(0, scratch(&bytes)?);
        let mut received = Vec::new();
        for _ in 0..8 {
            let got = drop_at(world, moment, read(), nothing_is_in_flight).await;
            received.extend(got.transpose()?.unwrap_or_default());
        }
        collect(&mut received).await?;
        assert!(received == bytes, "{row} of a file, {moment:?}");
    }
    Ok(())
}

async fn collect(into: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let bytes = stdin().recv().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        into.extend_from_slice(&bytes);
    }
}

/// Either of the handles that are written to.
enum Output {
    Stdout(Stdout),
    Stderr(Stderr),
}

impl Output {
    async fn write(&mut self, bytes: Vec<u8>) -> io::Result<usize> {
        let written = match self {
            Output::Stdout(stdout) => stdout.write(bytes).await,
            Output::Stderr(stderr) => stderr.write(bytes).await,
        };
        Ok(written?.0)
    }

    async fn write_all(&mut self, bytes: Vec<u8>) -> io::Result<usize> {
        let written = match self {
            Output::Stdout(stdout) => stdout.write_all(bytes).await,
            Output::Stderr(stderr) => stderr.write_all(bytes).await,
        };
        Ok(written?.len())
    }
}

/// The row, its descriptor, and whether all is written.
const WRITES: [(&str, i32, bool); 4] = [
    ("Stdout::write", 1, false),
    ("Stdout::write_all", 1, true),
    ("Stderr::write", 2, false),
    ("Stderr::write_all", 2, true),
];

/// All rows of writes at one moment, into a pipe without room for all.
pub(crate) async fn are_told_once(world: &World, moment: Moment) -> io::Result<()> {
    for (row, number, whole) in WRITES {
        let (reader, writer) = io::pipe()?;
        let exchanged = Exchanged::new(number, writer);
        let mut reader = PipeReader::from(OwnedFd::from(reader));
        let mut output = match number {
            1 => Output::Stdout(stdout()),
            _ => Output::Stderr(stderr()),
        };
        let bytes = pattern(200_000);
        let mut received = Vec::new();
        let read = async || {
            received.extend_from_slice(&reader.recv().await.expect("it was written"));
        };
        let write: Boxed<'_, io::Result<usize>> = match whole {
            true => Box::pin(output.write_all(bytes.clone())),
            false => Box::pin(output.write(bytes.clone())),
        };
        let sent = drop_at(world, moment, write, read).await.transpose()?;
        let (told, all) = futures_util::join!(
            async {
                let told = output.write_all(b"next".into()).await.err();
                let told = told.map(|error| {
                    WriteAbandoned::of(&error).expect("that is what it tells").written
                });
                if told.is_some() {
                    output.write_all(b"next".into()).await?;
                }
                drop((output, exchanged));
                io::Result::Ok(told)
            },
            async {
                loop {
                    let bytes = reader.recv().await?;
                    if bytes.is_empty() {
                        return io::Result::Ok(());
                    }
                    received.extend_from_slice(&bytes);
                }
            }
        );
        all?;
        let told = told?;
        assert!(sent.is_none() || told.is_none(), "{row}, {moment:?}: it was told twice");
        let mut expected = bytes[..sent.or(told).unwrap_or(0)].to_vec();
        expected.extend_from_slice(b"next");
        assert!(received == expected, "{row}, {moment:?}: {told:?}");
    }
    Ok(())
}

/// The rows of FIFOs at one moment.
pub(crate) async fn leave_no_end_open(world: &World, moment: Moment) -> io::Result<()> {
    let fifo = Fifo::new();
    let without_waiting =
        |options: &mut fs::OpenOptions| options.custom_flags(libc::O_NONBLOCK).open(fifo.path());
    let row = "PipeReader::open";
    let open = Box::pin(PipeReader::open(fifo.path()).map_ok(drop));
    drop_at(world, moment, open, nothing_is_in_flight).await.transpose()?;
    nothing_is_in_flight().await;
    let opened = without_waiting(fs::OpenOptions::new().write(true));
    let error = opened.expect_err("nobody reads").raw_os_error();
    assert_eq!(error, Some(libc::ENXIO), "{row}, {moment:?}");

    let row = "PipeWriter::open";
    let mut reader = None;
    let open = Box::pin(PipeWriter::open(fifo.path()).map_ok(drop));
    let provoke = async || {
        reader = Some(without_waiting(fs::OpenOptions::new().read(true)).expect("it is there"));
    };
    drop_at(world, moment, open, provoke).await.transpose()?;
    nothing_is_in_flight().await;
    let mut reader = match reader {
        Some(reader) => reader,
        None => without_waiting(fs::OpenOptions::new().read(true))?,
    };
    // With a writer it would be refused.
    assert_eq!(reader.read(&mut [0])?, 0, "{row}, {moment:?}");
    Ok(())
}
