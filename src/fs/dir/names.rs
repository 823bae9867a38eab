//! Names below an open folder: made, removed, and given to something else.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::Dir;
use crate::driver::submit;
use crate::fs::on_pool::{by_path, on_pool};
use crate::op::link_at::LinkAt;
use crate::op::mkdir_at::MkDirAt;
use crate::op::read_link_at::ReadLinkAt;
use crate::op::rename_at::RenameAt;
use crate::op::unlink_at::UnlinkAt;

impl Dir {
    /// Makes a folder, with the permissions 0o777 less the process's umask.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a folder that may have been made.
    ///
    /// # Errors
    ///
    /// Those of [`fs::create_dir`](crate::fs::create_dir), and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// See [`Dir`].
    #[doc(alias = "IORING_OP_MKDIRAT")]
    pub async fn create_dir<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let (folder, parted) = self.part(path.as_ref()).await?;
        submit(MkDirAt::new(Some(folder), parted.name, 0o777)?).await
    }

    /// Removes a file's name; of a symbolic link, the link.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file that may have been removed.
    ///
    /// # Errors
    ///
    /// Those of [`fs::remove_file`](crate::fs::remove_file), and
    /// [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// See [`open_with`](Self::open_with).
    #[doc(alias = "IORING_OP_UNLINKAT")]
    pub async fn remove_file<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let (folder, parted) = self.part(path.as_ref()).await?;
        submit(UnlinkAt::new(Some(folder), parted.name, 0)?).await
    }

    /// Removes an empty folder.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a folder that may have been removed.
    ///
    /// # Errors
    ///
    /// Those of [`fs::remove_dir`](crate::fs::remove_dir), and
    /// [those of a path that leads out](Self). `InvalidInput` for `.`: no folder removes itself.
    ///
    /// # Examples
    ///
    /// See [`rename`](Self::rename).
    #[doc(alias = "IORING_OP_UNLINKAT")]
    pub async fn remove_dir<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let (folder, parted) = self.part(path.as_ref()).await?;
        submit(UnlinkAt::new(Some(folder), parted.name, libc::AT_REMOVEDIR)?).await
    }

    /// Removes a folder with all that is in it, as [`fs::remove_dir_all`](crate::fs::remove_dir_all)
    /// does: a symbolic link is removed, and what it leads to stays, whoever exchanges them meanwhile. A
    /// thread of the pool does it, through `/proc`.
    ///
    /// # Cancel safety
    ///
    /// It goes on though the future is dropped, once the folder of its last name is open.
    ///
    /// # Errors
    ///
    /// Those of [`fs::remove_dir_all`](crate::fs::remove_dir_all), and
    /// [those of a path that leads out](Self). `InvalidInput` for `.`: no folder removes itself.
    ///
    /// # Examples
    ///
    /// See [`create_dir_all`](Self::create_dir_all).
    #[doc(alias = "rmtree")]
    pub async fn remove_dir_all<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let (folder, parted) = self.part(path.as_ref()).await?;
        // With a slash behind it, what a link leads to would be removed.
        let name = parted.plain_name();
        if name == Path::new(".") {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let (folder, name) = (folder.as_fd().try_clone_to_owned()?, name.to_owned());
        on_pool(move || {
            by_path(folder.as_fd(), |folder| std::fs::remove_dir_all(folder.join(name)))
        })
        .await
    }

    /// Gives a file or folder below this folder another name, below this or another folder, in one file
    /// system. A file that has the name already is replaced: at every moment there is one or the other.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file with the old name or the new one.
    ///
    /// # Errors
    ///
    /// Those of [`fs::rename`](crate::fs::rename), and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::Dir;
    ///
    /// # let folder = std::env::temp_dir().join(format!("corering-doc-move-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// corering::block_on(async {
    ///     let dir = Dir::open(&folder).await?;
    ///     dir.create_dir("done").await?;
    ///     dir.write("job", "sum").await?;
    ///     dir.rename("job", &dir.open_dir("done").await?, "first").await?;
    ///     assert_eq!(dir.read("done/first").await?, b"sum");
    ///     dir.remove_file("done/first").await?;
    ///     dir.remove_dir("done").await
    /// })?;
    /// # std::fs::remove_dir(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_RENAMEAT")]
    pub async fn rename<P: AsRef<Path>, Q: AsRef<Path>>(
        &self,
        from: P,
        to_dir: &Dir,
        to: Q,
    ) -> io::Result<()> {
        let (folder, from) = self.part(from.as_ref()).await?;
        let (into, to) = to_dir.part(to.as_ref()).await?;
        submit(RenameAt::new((Some(folder), from.name), (Some(into), to.name))?).await
    }

    /// Gives the file at `original`, below this folder, another name below this or another folder, in one
    /// file system. If `original` is a symbolic link, that gets the name, and not what it leads to.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a name that may have been made.
    ///
    /// # Errors
    ///
    /// Those of [`fs::hard_link`](crate::fs::hard_link), and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// See [`Dir`].
    #[doc(alias = "IORING_OP_LINKAT")]
    pub async fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(
        &self,
        original: P,
        link_dir: &Dir,
        link: Q,
    ) -> io::Result<()> {
        let original = original.as_ref();
        let (folder, parted) = self.part(original).await?;
        if parted.names_a_folder() {
            // The call would follow a link, wherever it leads. No folder has a second name.
            self.reach(original, libc::O_DIRECTORY).await?;
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        let (into, link) = link_dir.part(link.as_ref()).await?;
        submit(LinkAt::hard((Some(folder), parted.name), (Some(into), link.name))?).await
    }

    /// Makes a symbolic link at `link`, below this folder, that leads to `original`, whatever that is: one
    /// that leads out of the folder is made, and not followed by the methods of `Dir`.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a link that may have been made.
    ///
    /// # Errors
    ///
    /// Those of [`fs::symlink`](crate::fs::symlink), and [those of a path that leads out](Self) for
    /// `link`.
    ///
    /// # Examples
    ///
    /// See [`read_link`](Self::read_link).
    #[doc(alias = "IORING_OP_SYMLINKAT")]
    pub async fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(
        &self,
        original: P,
        link: Q,
    ) -> io::Result<()> {
        let (folder, parted) = self.part(link.as_ref()).await?;
        submit(LinkAt::symbolic(original.as_ref(), (Some(folder), parted.name))?).await
    }

    /// Where a symbolic link leads, as it was made. A thread of the pool asks.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of [`fs::read_link`](crate::fs::read_link), and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("corering-doc-dirlink-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// corering::block_on(async {
    ///     let dir = corering::fs::Dir::open(&folder).await?;
    ///     dir.symlink("release-7", "current").await?;
    ///     assert_eq!(dir.read_link("current").await?.to_str(), Some("release-7"));
    ///     dir.remove_file("current").await
    /// })?;
    /// # std::fs::remove_dir(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "readlinkat")]
    pub async fn read_link<P: AsRef<Path>>(&self, path: P) -> io::Result<PathBuf> {
        let path = path.as_ref();
        let (folder, parted) = self.part(path).await?;
        if parted.names_a_folder() {
            // The call would follow a link, wherever it leads.
            self.reach(path, libc::O_DIRECTORY).await?;
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        submit(ReadLinkAt::new(Some(folder), parted.name)?).await
    }
}
