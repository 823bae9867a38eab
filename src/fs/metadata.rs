//! What the file system knows of a file.

use std::fmt;
use std::fs::Permissions;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::file::device_number;

/// What the file system knew of a file at one moment: `statx(2)`.
#[derive(Clone, Copy)]
pub struct Metadata {
    statx: libc::statx,
}

impl Metadata {
    pub(super) fn new(statx: libc::statx) -> Self {
        Metadata { statx }
    }

    /// Whether both are of one file, whose contents, names and permissions have not changed as far as
    /// its times tell.
    pub(super) fn is_of_same_state(&self, other: &Metadata) -> bool {
        let state = |of: &Metadata| {
            let (modified, changed) = (of.statx.stx_mtime, of.statx.stx_ctime);
            let modified = (modified.tv_sec, modified.tv_nsec);
            (of.dev(), of.ino(), of.len(), modified, changed.tv_sec, changed.tv_nsec)
        };
        state(self) == state(other)
    }

    /// What kind of file it is.
    pub fn file_type(&self) -> FileType {
        FileType(self.mode() & libc::S_IFMT)
    }

    /// The size in bytes.
    #[expect(clippy::len_without_is_empty, reason = "metadata is not a collection")]
    pub fn len(&self) -> u64 {
        self.statx.stx_size
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Whether it is a symbolic link, which only
    /// [`symlink_metadata`](super::symlink_metadata) can tell.
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// Who may read, write and execute the file.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode())
    }

    /// The kind of file and the permissions, as in `inode(7)`.
    pub fn mode(&self) -> u32 {
        self.statx.stx_mode.into()
    }

    /// The number of the file in its file system.
    pub fn ino(&self) -> u64 {
        self.statx.stx_ino
    }

    /// The number of the device that holds the file system.
    pub fn dev(&self) -> u64 {
        device_number(self.statx.stx_dev_major, self.statx.stx_dev_minor)
    }

    /// The number of the device that the file is, if it is one.
    pub fn rdev(&self) -> u64 {
        device_number(self.statx.stx_rdev_major, self.statx.stx_rdev_minor)
    }

    /// How many names the file has.
    pub fn nlink(&self) -> u64 {
        self.statx.stx_nlink.into()
    }

    /// The owner's number.
    pub fn uid(&self) -> u32 {
        self.statx.stx_uid
    }

    /// The owning group's number.
    pub fn gid(&self) -> u32 {
        self.statx.stx_gid
    }

    /// The room it takes on the disk, in units of 512 bytes. Less than [`len`](Self::len) says for
    /// a file with holes.
    pub fn blocks(&self) -> u64 {
        self.statx.stx_blocks
    }

    /// The size in bytes that the file system likes best for a read or write.
    pub fn blksize(&self) -> u64 {
        self.statx.stx_blksize.into()
    }

    /// What the file system does with the file, and does not let be done with it.
    #[doc(alias = "stx_attributes")]
    pub fn attributes(&self) -> Attributes {
        Attributes { set: self.statx.stx_attributes, known: self.statx.stx_attributes_mask }
    }

    /// When the contents were last changed.
    pub fn modified(&self) -> SystemTime {
        system_time(self.statx.stx_mtime.tv_sec, self.statx.stx_mtime.tv_nsec)
    }

    /// When it was last read, as far as the file system keeps note of it.
    pub fn accessed(&self) -> SystemTime {
        system_time(self.statx.stx_atime.tv_sec, self.statx.stx_atime.tv_nsec)
    }

    /// When contents, owner, permissions or names were last changed.
    pub fn changed(&self) -> SystemTime {
        system_time(self.statx.stx_ctime.tv_sec, self.statx.stx_ctime.tv_nsec)
    }

    /// When it was created; `None` if the file system does not keep note of it.
    pub fn created(&self) -> Option<SystemTime> {
        let known = self.statx.stx_mask & libc::STATX_BTIME != 0;
        known.then(|| system_time(self.statx.stx_btime.tv_sec, self.statx.stx_btime.tv_nsec))
    }

    /// What reads and writes must be aligned to if the file is opened with `O_DIRECT`. `None` if it
    /// cannot be, if the file system does not say, or before Linux 6.1.
    #[doc(alias = "STATX_DIOALIGN")]
    pub fn direct_alignment(&self) -> Option<DirectAlignment> {
        DirectAlignment::of(&self.statx)
    }
}

/// What kind of file something is.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let kind = corering::fs::metadata("/dev/null").await?.file_type();
///     assert!(kind.is_char_device() && !kind.is_file());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileType(u32);

impl FileType {
    pub(super) fn from_std(kind: std::fs::FileType) -> Self {
        let known: [(bool, u32); 6] = [
            (kind.is_dir(), libc::S_IFDIR),
            (kind.is_symlink(), libc::S_IFLNK),
            (kind.is_fifo(), libc::S_IFIFO),
            (kind.is_socket(), libc::S_IFSOCK),
            (kind.is_char_device(), libc::S_IFCHR),
            (kind.is_block_device(), libc::S_IFBLK),
        ];
        FileType(known.iter().find(|(is, _)| *is).map_or(libc::S_IFREG, |(_, kind)| *kind))
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.0 == libc::S_IFREG
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.0 == libc::S_IFDIR
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.0 == libc::S_IFLNK
    }

    /// Whether it is a pipe with a name.
    pub fn is_fifo(&self) -> bool {
        self.0 == libc::S_IFIFO
    }

    /// Whether it is a socket.
    pub fn is_socket(&self) -> bool {
        self.0 == libc::S_IFSOCK
    }

    /// Whether it is a character device.
    pub fn is_char_device(&self) -> bool {
        self.0 == libc::S_IFCHR
    }

    /// Whether it is a block device.
    pub fn is_block_device(&self) -> bool {
        self.0 == libc::S_IFBLK
    }
}

impl fmt::Debug for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            libc::S_IFREG => "file",
            libc::S_IFDIR => "folder",
            libc::S_IFLNK => "symbolic link",
            libc::S_IFIFO => "pipe",
            libc::S_IFSOCK => "socket",
            libc::S_IFCHR => "character device",
            libc::S_IFBLK => "block device",
            _ => "unknown",
        };
        write!(f, "FileType({name})")
    }
}

/// A time out of the reach of `SystemTime` is one that no clock has shown: it becomes the epoch.
fn system_time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let whole = match seconds >= 0 {
        true => UNIX_EPOCH.checked_add(distance),
        false => UNIX_EPOCH.checked_sub(distance),
    };
    // The nanoseconds count forwards, also before the epoch.
    whole
        .and_then(|whole| whole.checked_add(Duration::from_nanos(nanoseconds.into())))
        .unwrap_or(UNIX_EPOCH)
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("mode", &format_args!("{:#o}", self.mode()))
            .field("len", &self.len())
            .field("ino", &self.ino())
            .field("dev", &self.dev())
            .field("nlink", &self.nlink())
            .field("uid", &self.uid())
            .field("gid", &self.gid())
            .field("blocks", &self.blocks())
            .field("modified", &self.modified())
            .field("accessed", &self.accessed())
            .field("created", &self.created())
            .field("attributes", &self.attributes())
            .field("direct_alignment", &self.direct_alignment())
            .finish_non_exhaustive()
    }
}

/// Attributes of a file, as `chattr(1)` sets most of them. Each is `None` if the file system does not say,
/// as many of older kernels (statx(2) is of Linux 4.11, and file systems have learnt it since).
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let attributes = corering::fs::metadata("/proc").await?.attributes();
///     assert_ne!(attributes.is_immutable(), Some(true));
///     assert_eq!(attributes.is_mount_root(), Some(true));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    set: u64,
    known: u64,
}

impl Attributes {
    fn has(&self, attribute: i32) -> Option<bool> {
        let attribute = attribute as u64;
        (self.known & attribute != 0).then_some(self.set & attribute != 0)
    }

    /// Whether the file cannot be changed, renamed, removed or linked to, by anybody.
    #[doc(alias = "STATX_ATTR_IMMUTABLE")]
    pub fn is_immutable(&self) -> Option<bool> {
        self.has(libc::STATX_ATTR_IMMUTABLE)
    }

    /// Whether the file can be written at its end only.
    #[doc(alias = "STATX_ATTR_APPEND")]
    pub fn is_append_only(&self) -> Option<bool> {
        self.has(libc::STATX_ATTR_APPEND)
    }

    /// Whether the file system keeps the file compressed.
    #[doc(alias = "STATX_ATTR_COMPRESSED")]
    pub fn is_compressed(&self) -> Option<bool> {
        self.has(libc::STATX_ATTR_COMPRESSED)
    }

    /// Whether the file system keeps the file encrypted, so that it needs a key to be read.
    #[doc(alias = "STATX_ATTR_ENCRYPTED")]
    pub fn is_encrypted(&self) -> Option<bool> {
        self.has(libc::STATX_ATTR_ENCRYPTED)
    }

    /// Whether the file cannot be written, and each read compares it with its hashes (Linux 5.5).
    #[doc(alias = "STATX_ATTR_VERITY")]
    pub fn is_verity(&self) -> Option<bool> {
        self.has(libc::STATX_ATTR_VERITY)
    }

    /// Whether `dump(8)` is to leave the file out of a backup.
    #[doc(alias = "STATX_ATTR_NODUMP")]
    pub fn is_left_out_of_dumps(&self) -> Option<bool> {
        self.has(libc::STATX_ATTR_NODUMP)
    }

    /// Whether the file is in memory that keeps its contents, and read and written there, without a page
    /// cache (Linux 5.8).
    #[doc(alias = "STATX_ATTR_DAX")]
    pub fn is_dax(&self) -> Option<bool> {
        self.has(libc::STATX_ATTR_DAX)
    }

    /// Whether it is the folder that a file system is mounted at (Linux 5.8).
    #[doc(alias = "STATX_ATTR_MOUNT_ROOT")]
    pub fn is_mount_root(&self) -> Option<bool> {
        self.has(libc::STATX_ATTR_MOUNT_ROOT)
    }

    /// Whether a file system is mounted here once the folder is used.
    #[doc(alias = "STATX_ATTR_AUTOMOUNT")]
    pub fn is_automount(&self) -> Option<bool> {
        self.has(libc::STATX_ATTR_AUTOMOUNT)
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("immutable", self.is_immutable()),
            ("append-only", self.is_append_only()),
            ("compressed", self.is_compressed()),
            ("encrypted", self.is_encrypted()),
            ("verity", self.is_verity()),
            ("left out of dumps", self.is_left_out_of_dumps()),
            ("dax", self.is_dax()),
            ("mount root", self.is_mount_root()),
            ("automount", self.is_automount()),
        ];
        let set = all.into_iter().filter(|(_, is_set)| *is_set == Some(true));
        f.debug_set().entries(set.map(|(name, _)| name)).finish()
    }
}

/// What reads and writes of a file opened with `O_DIRECT` must be aligned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectAlignment {
    pub(super) memory: u32,
    pub(super) offset: u32,
}

impl DirectAlignment {
    pub(super) fn of(statx: &libc::statx) -> Option<Self> {
        let (memory, offset) = (statx.stx_dio_mem_align, statx.stx_dio_offset_align);
        let known = statx.stx_mask & libc::STATX_DIOALIGN != 0 && memory != 0 && offset != 0;
        known.then_some(DirectAlignment { memory, offset })
    }

    /// The buffer's address must be a multiple of so many bytes.
    pub fn memory(&self) -> u32 {
        self.memory
    }

    /// Offset and length must be multiples of so many bytes.
    pub fn offset(&self) -> u32 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_is_unknown_set_or_not() {
        let (immutable, verity) =
            (libc::STATX_ATTR_IMMUTABLE as u64, libc::STATX_ATTR_VERITY as u64);
        let attributes = Attributes { set: verity, known: immutable | verity };
        assert_eq!(attributes.is_immutable(), Some(false));
        assert_eq!(attributes.is_verity(), Some(true));
        assert_eq!(attributes.is_compressed(), None);
        assert_eq!(format!("{attributes:?}"), r#"{"verity"}"#);
    }

    #[test]
    fn times_before_and_far_from_the_epoch_do_not_overflow() {
        assert_eq!(system_time(1, 5), UNIX_EPOCH + Duration::new(1, 5));
        assert_eq!(system_time(-1, 999_999_999), UNIX_EPOCH - Duration::from_nanos(1));
        assert!(system_time(i64::MAX, 999_999_999) > UNIX_EPOCH);
        assert!(system_time(i64::MIN, 0) < UNIX_EPOCH);
    }
}
