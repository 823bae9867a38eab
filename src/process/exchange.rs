//! Writing to a child while reading from it: whichever pipe fills, the others go on.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use crate::buf::{self, IoBuf};
use crate::io::{Lend, PollWrite};

/// What goes into a child's standard input and comes out of the other two, until all have ended.
pub(super) struct Exchange<W, R, B> {
    input: Option<Input<W, B>>,
    stdout: Output<R>,
    stderr: Output<R>,
    /// Bytes that may still be kept, of both outputs together.
    room: usize,
}

/// Why an exchange has stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    /// More came than there was room for.
    Full,
    Failed(io::Error),
}

/// What is left to write. Dropped, the standard input ends.
struct Input<W, B> {
    writer: W,
    bytes: B,
    written: usize,
}

/// What has come of one output. The reader is gone when it has ended.
struct Output<R> {
    reader: Option<R>,
    bytes: Vec<u8>,
}

impl<W: PollWrite, R: Lend, B: IoBuf> Exchange<W, R, B> {
    pub(super) fn new(
        input: Option<(W, B)>,
        stdout: Option<R>,
        stderr: Option<R>,
        bytes_max: usize,
    ) -> Self {
        let input = input.map(|(writer, bytes)| Input { writer, bytes, written: 0 });
        let output = |reader| Output { reader, bytes: Vec::new() };
        let (stdout, stderr) = (output(stdout), output(stderr));
        Exchange { input, stdout, stderr, room: bytes_max }
    }

    /// Ready when the input is written, and closed behind it, and both outputs have ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        // All three are polled each time: each keeps the waker while it waits.
        let input = self.poll_input(cx)?;
        let stdout = self.stdout.poll(&mut self.room, cx)?;
        let stderr = self.stderr.poll(&mut self.room, cx)?;
        ready!(input);
        ready!(stdout);
        stderr.map(Ok)
    }

    /// The bytes of the standard output and the standard error. What was not closed yet is closed.
    pub(super) fn end(self) -> (Vec<u8>, Vec<u8>) {
        (self.stdout.bytes, self.stderr.bytes)
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        if let Some(input) = &mut self.input {
            ready!(input.poll(cx)).map_err(Stopped::Failed)?;
            self.input = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: PollWrite, B: IoBuf> Input<W, B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Input { writer, bytes, written } = self;
        loop {
            let rest = &buf::as_slice(bytes)[*written..];
            if rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match ready!(writer.poll_write(cx, rest)) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(count) => *written += count,
                // The child has closed it: it has read what it wanted.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<R: Lend> Output<R> {
    fn poll(&mut self, room: &mut usize, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        while let Some(reader) = &mut self.reader {
            let bytes = ready!(reader.poll_lend(cx)).map_err(Stopped::Failed)?;
            if bytes.is_empty() {
                self.reader = None;
                break;
            }
            let kept = bytes.len().min(*room);
            self.bytes.extend_from_slice(&bytes[..kept]);
            *room -= kept;
            if kept < bytes.len() {
                return Poll::Ready(Err(Stopped::Full));
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::io::{DuplexStream, OwnedRead, OwnedWrite, duplex};
    use crate::task::spawn;

    type Streams = (DuplexStream, DuplexStream, DuplexStream);

    /// Three streams of so many bytes, as an exchange has them and as the child does.
    fn streams(capacity: usize) -> (Streams, Streams) {
        let [(stdin, of_stdin), (stdout, of_stdout), (stderr, of_stderr)] =
            [(); 3].map(|()| duplex(capacity));
        ((stdin, stdout, stderr), (of_stdin, of_stdout, of_stderr))
    }

    async fn exchange(
        (stdin, stdout, stderr): Streams,
        input: impl IoBuf,
        bytes_max: usize,
    ) -> (Result<(), Stopped>, Vec<u8>, Vec<u8>) {
        let mut exchange =
            Exchange::new(Some((stdin, input)), Some(stdout), Some(stderr), bytes_max);
        let ended = poll_fn(|cx| exchange.poll(cx)).await;
        let (stdout, stderr) = exchange.end();
        (ended, stdout, stderr)
    }

    #[corering::test]
    async fn exchange_goes_on_whichever_stream_fills() {
        let (ours, (mut stdin, mut stdout, mut stderr)) = streams(10);
        let child = spawn(async move {
            // Both outputs fill before any input is read.
            stderr.write_all(vec![2; 1000]).await.expect("it is read");
            stdout.write_all(vec![1; 1000]).await.expect("it is read");
            let input = stdin.read_exact(Vec::with_capacity(1000), 1000).await;
            stderr.write_all(input.expect("it is written")).await.expect("it is read");
            assert_eq!(stdin.read(Vec::with_capacity(1)).await.expect("it ends").0, 0);
        });
        let (ended, stdout, stderr) = exchange(ours, vec![3; 1000], usize::MAX).await;
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(stdout, [1; 1000]);
        assert_eq!(stderr, [[2; 1000], [3; 1000]].concat());
        child.await.expect("it does not panic");
    }

    #[corering::test]
    async fn exchange_takes_no_offence_at_closed_input() {
        let (ours, (stdin, mut stdout, _)) = streams(10);
        drop(stdin);
        stdout.write_all("done").await.expect("there is room");
        drop(stdout);
        let (ended, stdout, _) = exchange(ours, vec![3; 1000], usize::MAX).await;
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(stdout, b"done");
    }

    #[corering::test]
    async fn exchange_stops_past_its_limit_and_not_at_it() {
        for (bytes_max, is_ok) in [(8, true), (7, false), (4, false), (0, false)] {
            let (ours, (_, mut stdout, mut stderr)) = streams(10);
            stdout.write_all("outp").await.expect("there is room");
            stderr.write_all("erro").await.expect("there is room");
            drop((stdout, stderr));
            let (ended, stdout, stderr) = exchange(ours, "", bytes_max).await;
            assert_eq!(ended.is_ok(), is_ok, "{bytes_max}: {ended:?}");
            assert_eq!(stdout.len() + stderr.len(), bytes_max);
            assert!(b"outp".starts_with(&stdout) && b"erro".starts_with(&stderr));
        }
    }

    #[corering::test]
    async fn exchange_without_input_closes_it() {
        let (ours, (mut stdin, stdout, stderr)) = streams(10);
        let child = spawn(async move {
            assert_eq!(stdin.read(Vec::with_capacity(1)).await.expect("it ends").0, 0);
            drop((stdout, stderr));
        });
        let (ended, ..) = exchange(ours, "", 0).await;
        assert!(ended.is_ok(), "{ended:?}");
        child.await.expect("it does not panic");
    }
}
