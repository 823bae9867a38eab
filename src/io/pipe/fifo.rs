//! FIFOs: pipes that have a name in the file system.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use super::{PipeReader, PipeWriter};
use crate::driver::SharedFd;
use crate::fs::{self, Metadata, OpenOptions};
use crate::time::sleep;

/// How long the open of a writer waits before it looks for a reader again, doubled up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(64);

impl PipeReader {
    /// Opens a FIFO for reading, by its path, and does not wait for a writer: the first read does. A
    /// terminal or another device is opened likewise.
    ///
    /// The end comes when the last writer has closed the FIFO and what they wrote is read. It comes again
    /// from each further read until another writer has opened it; what that one writes is read then. To
    /// never see the end, hold a writer yourself: [`PipeWriter::open`] after this.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing: what was opened is closed.
    ///
    /// # Errors
    ///
    /// Those of `open(2)`, for instance `NotFound`; `InvalidInput` for a file or a folder. The text names
    /// the path.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::io::{PipeReader, PipeWriter};
    ///
    /// # let path = std::env::temp_dir().join(format!("corering-fifo-{}", std::process::id()));
    /// # let made = std::process::Command::new("mkfifo").arg(&path).status()?;
    /// # assert!(made.success());
    /// corering::block_on(async {
    ///     let mut reader = PipeReader::open(&path).await?;
    ///     let mut writer = PipeWriter::open(&path).await?;
    ///     writer.write_all("hello").await?;
    ///     assert_eq!(reader.recv().await?, "hello");
    ///     drop(writer);
    ///     assert!(reader.recv().await?.is_empty());
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "mkfifo")]
    pub async fn open<P: AsRef<Path>>(path: P) -> io::Result<PipeReader> {
        let path = path.as_ref();
        match open(OpenOptions::new().read(true), path).await {
            Ok((fd, true)) => Ok(PipeReader::of_fifo(fd)),
            Ok((fd, false)) => Ok(PipeReader::new(fd)),
            Err(error) => Err(cannot("read", path, &error)),
        }
    }
}

impl PipeWriter {
    /// Opens a FIFO for writing, by its path, and waits until it has a reader. It looks for one every 64 ms
    /// at least, since the kernel does not notify. A terminal or another device is opened likewise.
    ///
    /// When the last reader has gone, a write fails with `BrokenPipe`; after another has opened the FIFO,
    /// the next write goes to that one.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing: what was opened is closed.
    ///
    /// # Errors
    ///
    /// Those of `open(2)`, for instance `NotFound`; `InvalidInput` for a file or a folder. The text names
    /// the path.
    ///
    /// # Examples
    ///
    /// See [`PipeReader::open`].
    pub async fn open<P: AsRef<Path>>(path: P) -> io::Result<PipeWriter> {
        let path = path.as_ref();
        let opened = with_reader(path).await;
        opened.map(PipeWriter::new).map_err(|error| cannot("write", path, &error))
    }
}

/// Opens a FIFO for writing as soon as it has a reader. A thread that waited in `open(2)` could not be
/// called back.
async fn with_reader(path: &Path) -> io::Result<SharedFd> {
    let mut pause = PAUSE_MIN;
    loop {
        match open(OpenOptions::new().write(true), path).await {
            // A socket, and a device that is not there, answer so, too.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                if !is(libc::S_IFIFO, &fs::metadata(path).await?) {
                    return Err(error);
                }
            }
            opened => return opened.map(|(fd, _)| fd),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Opens what is neither file nor folder, and says whether it is a FIFO.
async fn open(options: &mut OpenOptions, path: &Path) -> io::Result<(SharedFd, bool)> {
    let file = options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).await?;
    let metadata = file.metadata().await?;
    if is(libc::S_IFREG, &metadata) || is(libc::S_IFDIR, &metadata) {
        let text = "it is not a FIFO; open it with corering::fs";
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    Ok((file.shared().clone(), is(libc::S_IFIFO, &metadata)))
}

fn is(kind: libc::mode_t, metadata: &Metadata) -> bool {
    metadata.mode() & libc::S_IFMT == kind
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display()))
}
