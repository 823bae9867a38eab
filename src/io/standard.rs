//! The standard streams of the process: handles of the descriptors 0, 1 and 2.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use super::{Lend, OwnedRead, OwnedWrite, PipeReader, PipeWriter, PollWrite, left, owned};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, RecvBuf};

/// A handle of standard input, which may be a pipe, a file, a terminal or a socket.
///
/// Its first read opens it: a duplicate of descriptor 0, so a drop closes nothing of the program's. See
/// [`Stdin`].
///
/// # Examples
///
/// ```no_run
/// use corering::io::{self, lines};
///
/// #[corering::main]
/// async fn main() -> std::io::Result<()> {
///     let mut lines = lines(io::stdin());
///     while let Some(line) = lines.next_line().await? {
///         io::stdout().write_all(line.to_uppercase() + "\n").await?;
///     }
///     Ok(())
/// }
/// ```
pub fn stdin() -> Stdin {
    Stdin { reader: None }
}

/// A handle of standard output, which may be a pipe, a file, a terminal or a socket. See [`Stdout`].
///
/// # Examples
///
/// ```
/// # corering::block_on(async {
/// use std::io::ErrorKind;
///
/// match corering::io::stdout().write_all("hello\n").await {
///     // As `hello | true`: an error, where `println!` would panic.
///     Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
///     written => drop(written?),
/// }
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdout() -> Stdout {
    Stdout(Output { name: "output", standard: || duplicate(&io::stdout()), writer: None })
}

/// A handle of standard error. See [`Stdout`], which it is like.
///
/// # Examples
///
/// ```
/// # corering::block_on(async {
/// corering::io::stderr().write_all("cannot go on\n").await?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stderr() -> Stderr {
    Stderr(Output { name: "error", standard: || duplicate(&io::stderr()), writer: None })
}

/// Standard input, from [`stdin`].
///
/// A shell, and the other programs that it started, share the open file. So its mode (`O_NONBLOCK`) is
/// never changed, not even for a moment: [`PipeReader`] says how it is read then. A file is read at the
/// position that all its users share.
///
/// Bytes that a `Stdin` had read ahead when it was dropped come first in the next `Stdin` of the process, on
/// whichever shard that is. Only one case loses some: the runtime ends while a thread of its pool reads a
/// file for a `Stdin` that was dropped. Two that are alive take turns as two programs would: each byte goes
/// to one of them. `std::io::stdin()` has a buffer of its own; use one or the other.
///
/// [`recv`](Self::recv) and [`lines`](super::lines) read ahead by 64 KiB at most, and so does every read of a
/// file. A child that inherits standard input afterwards lacks what was read.
///
/// # Terminals
///
/// A read gives a line at most, and the end at Ctrl-D; the next read waits again. A program in the background
/// that reads its terminal is stopped by `SIGTTIN`, as any program is; if it ignores that signal, the read
/// fails with `EIO`. A terminal that has hung up is at its end, and a write to it fails with `EIO`.
///
/// Where a terminal cannot be opened again (after `su`, or without `/proc`), a thread of the pool reads a line
/// once it has been typed. If another program takes that line first, the thread waits for the next.
///
/// # Examples
///
/// See [`stdin`].
pub struct Stdin {
    /// `None` before the first read.
    reader: Option<PipeReader>,
}

impl Stdin {
    /// Opens standard input, unless it is open, with what earlier handles have left.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut PipeReader>> {
        if self.reader.is_none() {
            let fd = duplicate(&io::stdin()).map_err(|error| explained(error, "input"))?;
            let left = ready!(left::poll_take(cx));
            let mut reader = PipeReader::sharing(fd);
            reader.put_back(RecvBuf::from_vec(left));
            self.reader = Some(reader);
        }
        Poll::Ready(Ok(self.reader.as_mut().expect("it was just opened")))
    }

    async fn open(&mut self) -> io::Result<&mut PipeReader> {
        poll_fn(|cx| self.poll_open(cx).map_ok(drop)).await?;
        Ok(self.reader.as_mut().expect("it was just opened"))
    }

    /// Reads what comes next, into memory that the shard lends. Empty at the end.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves the bytes for the next call.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`: `IsADirectory`, `EIO` of a terminal; descriptor 0 is closed, which the error
    /// says, or cannot be duplicated.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # corering::block_on(async {
    /// let mut stdin = corering::io::stdin();
    /// let mut count = 0;
    /// loop {
    ///     let bytes = stdin.recv().await?;
    ///     if bytes.is_empty() {
    ///         break;
    ///     }
    ///     count += bytes.len();
    /// }
    /// println!("{count} bytes");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn recv(&mut self) -> io::Result<RecvBuf> {
        poll_fn(|cx| self.poll_lend(cx)).await
    }

    /// Reads into `buf`, from its beginning up to its capacity; the buffer's length is then the number of
    /// bytes. 0 at the end, and only there. What is not a file is read no further than the buffer has room.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves the bytes for the next call, and loses the buffer.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), with the buffer; `InvalidInput` for a buffer without room.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # corering::block_on(async {
    /// corering::io::stdout().write_all("Go on? [y/n] ").await?;
    /// let (_, answer) = corering::io::stdin().read(Vec::with_capacity(1)).await?;
    /// let goes_on = answer == b"y";
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        match self.open().await {
            Ok(reader) => reader.read(buf).await,
            Err(error) => Err(BufError::new(error, buf)),
        }
    }

    /// Reads `n` bytes into `buf`, from its beginning on, and makes it as long.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves the bytes for the next call, and loses the buffer.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and `UnexpectedEof` if the end comes before;
    /// [`transferred`](BufError::transferred) says how many bytes came.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # corering::block_on(async {
    /// let mut stdin = corering::io::stdin();
    /// let head = stdin.read_exact(Vec::with_capacity(2), 2).await?;
    /// let len = usize::from(u16::from_be_bytes([head[0], head[1]]));
    /// let body = stdin.read_exact(Vec::with_capacity(len), len).await?;
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn read_exact<B: IoBufMut>(&mut self, buf: B, n: usize) -> Result<B, BufError<B>> {
        match self.open().await {
            Ok(reader) => reader.read_exact(buf, n).await,
            Err(error) => Err(BufError::new(error, buf)),
        }
    }
}

impl Lend for Stdin {
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        ready!(self.poll_open(cx))?.poll_lend(cx)
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        match &mut self.reader {
            Some(reader) => reader.put_back(bytes),
            None => left::put_back(&bytes),
        }
    }
}

impl OwnedRead for Stdin {
    fn read<B: IoBufMut>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        Stdin::read(self, buf)
    }

    fn read_exact<B: IoBufMut>(
        &mut self,
        buf: B,
        n: usize,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        Stdin::read_exact(self, buf, n)
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            left::leave(reader);
        }
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

/// Standard output, from [`stdout`].
///
/// It is opened by its first write: a duplicate of descriptor 1, so a drop closes nothing of the program's.
/// As with [`Stdin`], the mode is never changed, and a file is written at the position that all its users
/// share. A write to a pipe that has no reader any more fails with `BrokenPipe`: no panic, as by `println!`,
/// and no `SIGPIPE`.
///
/// Nothing is buffered: the kernel has all that a finished write has written. To write many small pieces,
/// collect them first. `print!` buffers up to the end of a line, so its text may come later than what
/// was written here after it.
///
/// # Several writers
///
/// A pipe never mixes a write of at most 4096 bytes (`PIPE_BUF`) with those of other tasks or programs, and a
/// file that was opened for appending never mixes pieces of at most 64 KiB; longer writes may be mixed.
/// Tasks that write more share one `Stdout` behind a [`Mutex`](crate::sync::Mutex), or send their text to one
/// task that writes.
///
/// # Terminals
///
/// A program in the background that writes to its terminal is stopped by `SIGTTOU` after `stty tostop`, as any
/// program is.
///
/// # Examples
///
/// See [`stdout`].
pub struct Stdout(Output);

/// Standard error, from [`stderr`]: as [`Stdout`], of descriptor 2.
///
/// # Examples
///
/// See [`stderr`].
pub struct Stderr(Output);

/// What both are made of.
struct Output {
    name: &'static str,
    standard: fn() -> io::Result<OwnedFd>,
    writer: Option<PipeWriter>,
}

impl Output {
    fn writer(&mut self) -> io::Result<&mut PipeWriter> {
        if self.writer.is_none() {
            let fd = (self.standard)().map_err(|error| explained(error, self.name))?;
            self.writer = Some(PipeWriter::sharing(fd));
        }
        Ok(self.writer.as_mut().expect("it was just opened"))
    }

    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        match self.writer() {
            Ok(writer) => writer.write(buf).await,
            Err(error) => Err(BufError::new(error, buf)),
        }
    }

    async fn write_all<B: IoBuf>(&mut self, buf: B) -> Result<B, BufError<B>> {
        match self.writer() {
            Ok(writer) => writer.write_all(buf).await,
            Err(error) => Err(BufError::new(error, buf)),
        }
    }
}

impl Stdout {
    /// Writes bytes of `buf`, as many as there is room for, and returns how many.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has written nothing, except to a file.
    ///
    /// # Errors
    ///
    /// Those of `write(2)`, with the buffer, `BrokenPipe` and `StorageFull` among them; descriptor 1 is
    /// closed, which the error says, or cannot be duplicated.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (count, _) = corering::io::stdout().write("some of this\n").await?;
    /// assert!(count > 0);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        self.0.write(buf).await
    }

    /// Writes the whole buffer, and gives it back.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have written a part. The next write of this handle, if there is one, then fails
    /// with a [`WriteAbandoned`](crate::net::WriteAbandoned) that says how much.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); [`transferred`](BufError::transferred) says how much was written.
    ///
    /// # Examples
    ///
    /// See [`stdout`].
    pub async fn write_all<B: IoBuf>(&mut self, buf: B) -> Result<B, BufError<B>> {
        self.0.write_all(buf).await
    }
}

impl Stderr {
    /// As [`Stdout::write`].
    ///
    /// # Cancel safety
    ///
    /// As [`Stdout::write`].
    ///
    /// # Errors
    ///
    /// As [`Stdout::write`], of descriptor 2.
    ///
    /// # Examples
    ///
    /// As [`Stdout::write`].
    pub async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        self.0.write(buf).await
    }

    /// As [`Stdout::write_all`].
    ///
    /// # Cancel safety
    ///
    /// As [`Stdout::write_all`].
    ///
    /// # Errors
    ///
    /// As [`Stdout::write_all`], of descriptor 2.
    ///
    /// # Examples
    ///
    /// See [`stderr`].
    pub async fn write_all<B: IoBuf>(&mut self, buf: B) -> Result<B, BufError<B>> {
        self.0.write_all(buf).await
    }
}

/// The traits of both.
macro_rules! output {
    ($name:ident) => {
        impl OwnedWrite for $name {
            fn write<B: IoBuf>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
                self.0.write(buf)
            }

            fn write_all<B: IoBuf>(
                &mut self,
                buf: B,
            ) -> impl Future<Output = Result<B, BufError<B>>> {
                self.0.write_all(buf)
            }

            fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
                owned::flush(self)
            }

            /// Ends nothing: the stream belongs to others, too, and descriptors 1 and 2 stay open.
            fn shutdown(&mut self) -> impl Future<Output = io::Result<()>> {
                owned::shutdown(self)
            }
        }

        impl PollWrite for $name {
            fn poll_write(
                &mut self,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.0.writer()?.poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                &mut self,
                cx: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.0.writer()?.poll_write_vectored(cx, pieces)
            }

            fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match &mut self.0.writer {
                    Some(writer) => writer.poll_flush(cx),
                    None => Poll::Ready(Ok(())),
                }
            }

            /// As [`OwnedWrite::shutdown`].
            fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_flush(cx)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

output!(Stdout);
output!(Stderr);

/// A duplicate that closes on exec and is none of the numbers 0 to 2 (`F_DUPFD_CLOEXEC`).
fn duplicate(standard: &impl AsFd) -> io::Result<OwnedFd> {
    standard.as_fd().try_clone_to_owned()
}

fn explained(error: io::Error, name: &str) -> io::Error {
    let what = match error.raw_os_error() {
        Some(libc::EBADF) => "is closed",
        _ => "cannot be duplicated",
    };
    io::Error::new(error.kind(), format!("standard {name} {what}: {error}"))
}
