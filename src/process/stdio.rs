//! What a child has as a standard stream.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process;

use crate::fs::File;
use crate::io::{PipeReader, PipeWriter};
use crate::net::{ByteStream, Family};
use crate::sys;

/// What a child has as one of its standard streams: a pipe to this program, nothing, what this program
/// has, or a stream that is given to it.
///
/// It is `From` what the standard library's [`Stdio`](process::Stdio) is (a `std::fs::File`, an
/// [`OwnedFd`], that type itself), and from the library's own [`File`], [`PipeReader`], [`PipeWriter`],
/// [`TcpStream`](crate::net::TcpStream) and [`UnixStream`](crate::net::UnixStream):
///
/// - The child reads on where the kernel is. What a stream had received and not given out is lost, and on a
///   ring also what comes before the kernel has cancelled a receive of the stream. Neither is lost if the
///   stream is taken apart before, by [`ByteStream::into_std`] or [`PipeReader::into_parts`].
/// - A file is read and written from its own position on, which [`File`] does not move: from the beginning, if
///   it was just opened.
/// - Calls of the child wait, whatever mode ours needed. A pipe that came from outside has the mode in
///   which it came.
/// - Where no descriptor is left for it, [`spawn`](super::Command::spawn) says so.
///
/// The [`Command`](super::Command) keeps what it was given until it is dropped, or given something else, so
/// that it can start another child with it. The reader of a pipe sees no end before that.
///
/// # Examples
///
/// A pipeline:
///
/// ```
/// use corering::process::{Command, Stdio};
///
/// # corering::block_on(async {
/// let mut printf = Command::new("printf").arg("b\na\n").stdout(Stdio::piped()).spawn().await?;
/// let between = printf.stdout.take().expect("it is piped");
/// let sorted = Command::new("sort").stdin(between).output().await?;
/// assert_eq!(sorted.stdout, b"a\nb\n");
/// assert!(printf.wait().await?.success());
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Stdio(io::Result<process::Stdio>);

impl Stdio {
    /// A pipe to this program: [`Child::stdin`](super::Child::stdin) writes to it, and
    /// [`Child::stdout`](super::Child::stdout) or [`Child::stderr`](super::Child::stderr) reads from it.
    ///
    /// # Examples
    ///
    /// As [`Stdio`].
    #[doc(alias = "PIPE")]
    pub fn piped() -> Self {
        process::Stdio::piped().into()
    }

    /// What this program has, in the same mode. This is what a child has if nothing is said.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::{Command, Stdio};
    ///
    /// # corering::block_on(async {
    /// let output = Command::new("echo").arg("seen").stdout(Stdio::inherit()).output().await?;
    /// assert!(output.stdout.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn inherit() -> Self {
        process::Stdio::inherit().into()
    }

    /// Nothing, as `/dev/null` has it: reads find the end, and what is written is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::{Command, Stdio};
    ///
    /// # corering::block_on(async {
    /// let status = Command::new("cat").stdin(Stdio::null()).status().await?;
    /// assert!(status.success());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "DEVNULL")]
    pub fn null() -> Self {
        process::Stdio::null().into()
    }

    pub(super) fn into_std(self) -> io::Result<process::Stdio> {
        self.0
    }

    /// A duplicate of what `stream` has open, which operations of ours may have until they have ended.
    fn duplicate_of<T>(stream: T, duplicate: fn(&T) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
        let duplicate = duplicate(&stream);
        // Its drop puts the mode back in which it came.
        drop(stream);
        duplicate
    }

    /// As [`duplicate_of`](Self::duplicate_of), in the mode of what we open ourselves and others wait for.
    fn blocking<T: AsFd>(stream: T) -> Self {
        let fd = Stdio::duplicate_of(stream, |stream| stream.as_fd().try_clone_to_owned());
        Stdio(fd.and_then(|fd| {
            sys::socket::set_nonblocking(fd.as_fd(), false)?;
            Ok(fd.into())
        }))
    }
}

/// What the standard library takes, too: its own type, files, pipes, sockets, descriptors.
impl<T> From<T> for Stdio
where
    process::Stdio: From<T>,
{
    fn from(stream: T) -> Self {
        Stdio(Ok(stream.into()))
    }
}

impl From<PipeReader> for Stdio {
    fn from(reader: PipeReader) -> Self {
        let fd = Stdio::duplicate_of(reader, |reader| reader.as_fd().try_clone_to_owned());
        Stdio(fd.map(process::Stdio::from))
    }
}

impl From<PipeWriter> for Stdio {
    fn from(writer: PipeWriter) -> Self {
        Stdio(Stdio::duplicate_of(writer, PipeWriter::duplicate).map(process::Stdio::from))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Stdio::blocking(file)
    }
}

impl<F: Family> From<ByteStream<F>> for Stdio {
    fn from(stream: ByteStream<F>) -> Self {
        Stdio::blocking(stream)
    }
}

impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stdio").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Command;

    #[corering::test]
    async fn start_fails_as_often_as_its_stream_is_missing() {
        let missing = Stdio(Err(io::Error::from_raw_os_error(libc::EMFILE)));
        let mut command = Command::new("true");
        command.stdin(missing);
        for _ in 0..2 {
            let error = command.spawn().await.expect_err("it has no standard input");
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        }
        let status = command.stdin(Stdio::null()).status().await;
        assert!(status.expect("it has one").success());
    }
}
