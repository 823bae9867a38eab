//! How folders are made.

use std::convert::identity;
use std::future::Future;
use std::io;
use std::path::Path;

use super::folder::create_all;
use super::metadata;
use crate::driver::{SingleOperation, single_with};
use crate::op::mkdir_at::MkDirAt;

/// How folders are made: with what permissions, and whether those above are made, too.
///
/// # Examples
///
/// ```
/// use corering::fs::DirBuilder;
///
/// # let folder = std::env::temp_dir().join(format!("corering-doc-builder-{}", std::process::id()));
/// corering::block_on(async {
///     DirBuilder::new().recursive(true).mode(0o700).create(folder.join("keys/new")).await?;
///     assert_eq!(corering::fs::metadata(folder.join("keys")).await?.mode() & 0o777, 0o700);
///     corering::fs::remove_dir_all(&folder).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `create`"]
pub struct DirBuilder {
    recursive: bool,
    mode: u32,
}

impl DirBuilder {
    /// One folder, and the mode 0o777.
    pub fn new() -> Self {
        DirBuilder { recursive: false, mode: 0o777 }
    }

    /// Makes the folders above, too, as far as they are missing; and a folder that exists is no error.
    /// Default: false.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// The permissions of all folders that are made, less the process's umask. Default: 0o777.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Makes the folder.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves folders of which the first may have been made, or all.
    ///
    /// # Errors
    ///
    /// Those of [`create_dir`](super::create_dir), and of [`create_dir_all`](super::create_dir_all) if it is
    /// recursive.
    pub fn create<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = io::Result<()>> + use<P> {
        let DirBuilder { recursive, mode } = *self;
        let path = path.as_ref().to_owned();
        async move {
            if !recursive {
                return make(&path, mode).await;
            }
            let is_dir = async |path: &Path| Ok(metadata(path).await?.is_dir());
            create_all(&path, async |path| make(path, mode).await, is_dir).await
        }
    }
}

impl Default for DirBuilder {
    fn default() -> Self {
        DirBuilder::new()
    }
}

fn make(path: &Path, mode: u32) -> impl SingleOperation<Output = io::Result<()>> + use<> {
    single_with(MkDirAt::new(None, path, mode).map_err(Err), identity)
}
