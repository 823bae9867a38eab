//! When a file was last read and changed.

use std::convert::identity;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::driver::{SingleOperation, single_with};
use crate::op::utimens_at::{UNCHANGED, UtimensAt};

/// Times to be set, see [`File::set_times`](super::File::set_times) and [`set_times`]; as
/// [`std::fs::FileTimes`]. What is not named stays as it is.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use corering::fs::FileTimes;
///
/// # let path = std::env::temp_dir().join(format!("corering-doc-modified-{}", std::process::id()));
/// corering::block_on(async {
///     corering::fs::write(&path, "text").await?;
///     let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
///     corering::fs::set_times(&path, FileTimes::new().set_modified(long_ago)).await?;
///     assert_eq!(corering::fs::metadata(&path).await?.modified(), long_ago);
///     corering::fs::remove_file(&path).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTimes {
    accessed: Option<SystemTime>,
    modified: Option<SystemTime>,
}

impl FileTimes {
    /// Times that all stay as they are.
    pub fn new() -> Self {
        FileTimes::default()
    }

    /// When the file was last read.
    pub fn set_accessed(mut self, time: SystemTime) -> Self {
        self.accessed = Some(time);
        self
    }

    /// When its contents were last changed.
    pub fn set_modified(mut self, time: SystemTime) -> Self {
        self.modified = Some(time);
        self
    }

    pub(super) fn as_the_kernel_has_them(self) -> io::Result<[libc::timespec; 2]> {
        let time = |time: Option<SystemTime>| time.map_or(Ok(UNCHANGED), timespec);
        Ok([time(self.accessed)?, time(self.modified)?])
    }
}

/// Sets when the file at a path was last read and changed, as far as `times` says; a symbolic link is
/// followed. A thread of the pool does it.
///
/// # Cancel safety
///
/// A drop leaves the old times or the new ones. `within` [may be late](super#limits-in-time).
///
/// # Errors
///
/// Those of `utimensat(2)`: `NotFound`, `PermissionDenied` if the file is somebody else's,
/// `ReadOnlyFilesystem`; `InvalidInput` for a path with a NUL byte. A time beyond what the file system can
/// keep becomes the last that it can.
///
/// # Examples
///
/// See [`FileTimes`].
#[doc(alias = "utime")]
#[doc(alias = "utimensat")]
pub fn set_times<P: AsRef<Path>>(
    path: P,
    times: FileTimes,
) -> impl SingleOperation<Output = io::Result<()>> + use<P> {
    let times = times.as_the_kernel_has_them();
    let set = times.and_then(|times| UtimensAt::of_path(path.as_ref(), times));
    single_with(set.map_err(Err), identity)
}

/// A time as the kernel has it: whole seconds, and nanoseconds that count forwards, also before the epoch.
fn timespec(time: SystemTime) -> io::Result<libc::timespec> {
    let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i128::from(since.as_secs()), since.subsec_nanos()),
        Err(error) => match (error.duration().as_secs(), error.duration().subsec_nanos()) {
            (seconds, 0) => (-i128::from(seconds), 0),
            (seconds, nanoseconds) => (-i128::from(seconds) - 1, 1_000_000_000 - nanoseconds),
        },
    };
    let seconds = seconds.try_into().map_err(|_| {
        let text = format!("{time:?} is a time that no file can have");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    Ok(libc::timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_on_both_sides_of_the_epoch_are_as_the_kernel_has_them() {
        let parts = |time| {
            let libc::timespec { tv_sec, tv_nsec } = timespec(time).expect("a file can have it");
            (tv_sec, tv_nsec)
        };
        assert_eq!(parts(UNIX_EPOCH + Duration::new(7, 5)), (7, 5));
        assert_eq!(parts(UNIX_EPOCH), (0, 0));
        assert_eq!(parts(UNIX_EPOCH - Duration::from_secs(3)), (-3, 0));
        assert_eq!(parts(UNIX_EPOCH - Duration::from_nanos(1)), (-1, 999_999_999));
        assert_eq!(parts(UNIX_EPOCH - Duration::new(3, 250)), (-4, 999_999_750));
        let first = UNIX_EPOCH - Duration::from_secs(1 << 63);
        assert_eq!(parts(first), (i64::MIN, 0));
    }
}
