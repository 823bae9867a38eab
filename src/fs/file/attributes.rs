//! What is known of a file beside its contents, set on an open file.

use std::convert::identity;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use super::File;
use crate::driver::{SingleOperation, single, single_with};
use crate::fs::FileTimes;
use crate::op::fchmod::Fchmod;
use crate::op::utimens_at::UtimensAt;

impl File {
    /// Sets who may read, write and execute the file. What is open stays open. A thread of the pool does
    /// it.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves the old permissions or the new ones. `within` [may be late](crate::fs#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `fchmod(2)`: `PermissionDenied` if the file is somebody else's, `ReadOnlyFilesystem`.
    #[doc(alias = "fchmod")]
    pub fn set_permissions(
        &self,
        permissions: std::fs::Permissions,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        single(Fchmod::new(self.fd.clone(), permissions.mode()))
    }

    /// Sets when the file was last read and changed, as far as `times` says. A thread of the pool does it.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves the old times or the new ones. `within` [may be late](crate::fs#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `futimens(3)`: `PermissionDenied` if the file is somebody else's, `ReadOnlyFilesystem`. A
    /// time beyond what the file system can keep becomes the last that it can.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use corering::fs::{File, FileTimes};
    ///
    /// # let path = std::env::temp_dir().join(format!("corering-doc-times-{}", std::process::id()));
    /// corering::block_on(async {
    ///     let file = File::create(&path).await?;
    ///     let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    ///     file.set_times(FileTimes::new().set_accessed(long_ago).set_modified(long_ago)).await?;
    ///     assert_eq!(file.metadata().await?.accessed(), long_ago);
    ///     corering::fs::remove_file(&path).await
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "futimens")]
    #[doc(alias = "utimensat")]
    pub fn set_times(
        &self,
        times: FileTimes,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        let times = times.as_the_kernel_has_them();
        let set = times.map(|times| UtimensAt::of_file(self.fd.clone(), times));
        single_with(set.map_err(Err), identity)
    }

    /// Sets when the contents were last changed: [`set_times`](Self::set_times) with that time alone.
    ///
    /// # Cancel safety
    ///
    /// As [`set_times`](Self::set_times).
    ///
    /// # Errors
    ///
    /// As [`set_times`](Self::set_times).
    pub fn set_modified(
        &self,
        time: SystemTime,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        self.set_times(FileTimes::new().set_modified(time))
    }
}
