//! What a ring reports of a disk that fails comes back as the error of the call, with its buffer: no test
//! can make a real disk fail under a ring, so each operation is given the result itself.

use std::fmt::Debug;
use std::io;
use std::path::Path;

use super::close::Close;
use super::fadvise::Fadvise;
use super::fallocate::Fallocate;
use super::fchmod::Fchmod;
use super::fsync::Fsync;
use super::ftruncate::Ftruncate;
use super::link_at::LinkAt;
use super::mkdir_at::MkDirAt;
use super::open_at::OpenAt;
use super::position::Position;
use super::read_at::ReadAt;
use super::read_link_at::ReadLinkAt;
use super::readv::Readv;
use super::rename_at::RenameAt;
use super::statx::Statx;
use super::sync_file_range::SyncFileRange;
use super::test_files::scratch;
use super::unlink_at::UnlinkAt;
use super::write_at::WriteAt;
use super::writev::Writev;
use crate::buf::BufError;
use crate::driver::Operation;

/// What disks, quotas and servers answer, and what no call of a ring should.
const ERRNOS: [i32; 8] = [
    libc::EIO,
    libc::ENOSPC,
    libc::EDQUOT,
    libc::ESTALE,
    libc::EROFS,
    libc::EFBIG,
    libc::EINTR,
    libc::ETIMEDOUT,
];

/// Ends operations with each of the errors.
fn each<O: Operation>(make: impl Fn() -> O, check: impl Fn(O::Output, i32)) {
    for errno in ERRNOS {
        let mut operation = make();
        operation.encode();
        check(operation.decode(Err(io::Error::from_raw_os_error(errno))), errno);
    }
}

fn fails<T: Debug>(outcome: io::Result<T>, errno: i32) {
    assert_eq!(outcome.expect_err("the disk failed").raw_os_error(), Some(errno));
}

fn fails_with<T: Debug, B>(outcome: Result<T, BufError<B>>, errno: i32, check: impl Fn(B)) {
    let Err(failed) = outcome else { panic!("the disk failed") };
    assert_eq!((failed.error.raw_os_error(), failed.transferred()), (Some(errno), 0));
    check(failed.into_parts().1);
}

#[test]
fn disk_error_of_a_ring_comes_back_with_its_buffers() {
    let at = Position::At(3);
    each(
        || ReadAt::new(scratch(b""), b"before".to_vec(), at),
        |outcome, errno| fails_with(outcome, errno, |buf| assert_eq!(buf, b"before")),
    );
    each(
        || WriteAt::new(scratch(b""), "written", at),
        |outcome, errno| fails_with(outcome, errno, |buf| assert_eq!(buf, "written")),
    );
    each(
        || Readv::new(scratch(b""), vec![b"one".to_vec(), b"two".to_vec()], at),
        |outcome, errno| {
            fails_with(outcome, errno, |bufs| assert_eq!(bufs, [b"one".to_vec(), b"two".to_vec()]));
        },
    );
    each(
        || Writev::new(scratch(b""), vec!["one", "two"], at),
        |outcome, errno| fails_with(outcome, errno, |bufs| assert_eq!(bufs, ["one", "two"])),
    );
}

#[test]
fn disk_error_of_a_ring_is_that_of_its_call() {
    let path = Path::new("path");
    each(|| Fsync::new(scratch(b""), false), fails);
    each(|| Fsync::new(scratch(b""), true), fails);
    each(|| Ftruncate::new(scratch(b""), 5), fails);
    each(|| Fallocate::new(scratch(b""), 0, 0, 5), fails);
    let advice = libc::POSIX_FADV_WILLNEED;
    each(|| Fadvise::new(scratch(b""), 0, 5, advice).expect("it is a place"), fails);
    each(|| SyncFileRange::new(scratch(b""), 0, 5), fails);
    each(|| Fchmod::new(scratch(b""), 0o600), fails);
    each(|| ReadLinkAt::new(None, path).expect("it is a path"), fails);
    each(|| Close::new(scratch(b"").try_unwrap().expect("it is used by none")), fails);
    each(|| UnlinkAt::new(None, path, 0).expect("it is a path"), fails);
    each(|| RenameAt::new((None, path), (None, path)).expect("it is a path"), fails);
    each(|| MkDirAt::new(None, path, 0o777).expect("it is a path"), fails);
    each(|| LinkAt::symbolic(path, (None, path)).expect("it is a path"), fails);
    each(|| LinkAt::hard((None, path), (None, path)).expect("it is a path"), fails);
    // Metadata is no value that can be shown.
    each(|| Statx::of_file(scratch(b"")), |outcome, errno| fails(outcome.map(drop), errno));
    each(
        || Statx::of_path(path, 0).expect("it is a path"),
        |outcome, errno| fails(outcome.map(drop), errno),
    );
    each(
        || OpenAt::new(None, path, libc::O_RDONLY, 0, 0).expect("it is a path"),
        |outcome, errno| fails(outcome.map(drop).map_err(|unopened| unopened.error), errno),
    );
}

#[test]
fn short_write_of_a_ring_says_how_much_the_disk_took() {
    let short = WriteAt::new(scratch(b""), "written", Position::At(0)).decode(Ok(3));
    assert_eq!(short.expect("something fitted"), (3, "written"));
    let short = Writev::new(scratch(b""), vec!["one", "two"], Position::At(0)).decode(Ok(4));
    assert_eq!(short.expect("something fitted"), (4, vec!["one", "two"]));
}
