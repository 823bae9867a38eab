//! Files for tests, with a say in what of them is in memory.

use std::io::Write;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many bytes, of which no two pieces are alike.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A file of the disk, a part of which is in no memory.
pub(crate) fn file_with_cold_bytes(
    bytes: &[u8],
    cold: Range<usize>,
) -> std::io::Result<std::fs::File> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("cold-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut file =
        std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    // Without a name it needs no cleaning up.
    std::fs::remove_file(&path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if cold.is_empty() {
        return Ok(file);
    }
    let advise = |advice| {
        // SAFETY: the call takes a descriptor and numbers; a length of 0 is the whole file.
        let error = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) };
        assert_eq!(error, 0, "advice is taken");
    };
    // All is given up, and the rest read again without what stands beside it: what was written
    // as one may only be given up as one.
    advise(libc::POSIX_FADV_DONTNEED);
    advise(libc::POSIX_FADV_RANDOM);
    for warm in [0..cold.start, cold.end..bytes.len()] {
        file.read_exact_at(&mut vec![0; warm.len()], warm.start as u64)?;
    }
    advise(libc::POSIX_FADV_NORMAL);
    Ok(file)
}

/// Whether the file system tells what of a file is in memory, and the byte at `offset` is.
pub(crate) fn is_told_of_memory(file: &std::fs::File, offset: i64) -> bool {
    let mut byte = [0_u8];
    let part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: the one part describes one byte that outlives the call.
    unsafe { libc::preadv2(file.as_raw_fd(), &part, 1, offset, libc::RWF_NOWAIT) == 1 }
}

/// A file without a disk, of whose pages the kernel tells nothing to who would not wait (6.18).
pub(crate) fn file_of_memory(len: usize) -> std::io::Result<std::fs::File> {
    // SAFETY: the name is a string that the kernel reads during the call.
    let fd = unsafe { libc::memfd_create(c"file".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nothing else owns it.
    let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(&content(len))?;
    Ok(file)
}
