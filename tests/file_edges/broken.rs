//! Disks, servers and quotas that fail: strace puts errors in the place of system calls on one file, below
//! the epoll driver. What a ring is told is tested with its operations, `src/op/disk_errors.rs`.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use corering::fs::{self, File, OpenOptions};
use corering::test_support::{drivers, run_configured};
use corering::{Builder, Driver};

use crate::child::{self, Child};
use crate::programs::is_left_out;
use crate::{Folder, pattern};

/// Names the file in the child.
const PATH: &str = "CORERING_TEST_PATH";

/// More than one read of a whole file.
const LEN: usize = 300_000;

const READS: &str = "read,pread64,readv,preadv,preadv2";
const WRITES: &str = "write,pwrite64,writev,pwritev,pwritev2";

/// Runs a body in a child, in which calls on one file, and on its folder, fail as `faults` say to strace.
fn with_faults<F>(test: &str, faults: &[String], body: impl Fn(PathBuf) -> F)
where
    F: Future<Output = io::Result<()>>,
{
    if !drivers().contains(&Driver::Epoll) {
        return;
    }
    if child::is_child() {
        let path = PathBuf::from(std::env::var_os(PATH).expect("the parent says it"));
        let body = || body(path.clone());
        // strace counts the calls of each thread.
        let configure = |builder: Builder| builder.blocking_threads(1);
        return run_configured(test, Some(Driver::Epoll), configure, body);
    }
    if is_left_out("strace") {
        return;
    }
    let folder = Folder::new();
    let path = folder.file("file", &pattern(LEN));
    let path = path.to_str().expect("it is text");
    let within = folder.as_ref().to_str().expect("it is text");
    let mut arguments = vec!["-f", "-qq", "-o", "/dev/null", "-P", path, "-P", within];
    for fault in faults {
        arguments.extend(["-e", fault]);
    }
    Child::of(test).env(PATH, path).under("strace", &arguments).passes();
}

fn fault(calls: &str, rest: &str) -> String {
    format!("inject={calls}:{rest}")
}

fn is_disk_error(error: &io::Error) {
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
}

#[test]
fn read_of_a_broken_disk_fails_with_its_buffer() {
    const TEST: &str = "broken::read_of_a_broken_disk_fails_with_its_buffer";
    with_faults(TEST, &[fault(READS, "error=EIO")], async |path: PathBuf| {
        let file = File::open(&path).await?;
        let failed = file.read_at(vec![7; 5], 0).await.expect_err("the disk is broken");
        is_disk_error(&failed.error);
        assert_eq!(failed.buf()[..], [7; 5]);
        let failed = file.read_exact_at(Vec::with_capacity(LEN), LEN, 0).await;
        let failed = failed.expect_err("the disk is broken");
        is_disk_error(&failed.error);
        assert_eq!((failed.transferred(), failed.buf().len()), (0, 0));
        let bufs = vec![Vec::with_capacity(5), Vec::with_capacity(5)];
        let failed = file.read_vectored_at(bufs, 0).await.expect_err("the disk is broken");
        is_disk_error(&failed.error);
        is_disk_error(&file.read_to_end().await.expect_err("the disk is broken"));
        is_disk_error(&fs::read(&path).await.expect_err("the disk is broken"));
        is_disk_error(&fs::read_to_string(&path).await.expect_err("the disk is broken"));
        Ok(())
    });
}

#[test]
fn disk_that_breaks_on_the_way_leaves_what_came() {
    const TEST: &str = "broken::disk_that_breaks_on_the_way_leaves_what_came";
    with_faults(TEST, &[fault("pread64", "error=EIO:when=2+")], async |path: PathBuf| {
        // Larger than what is read from the page cache in place, so that each read is a plain one.
        let len = 2 * LEN;
        OpenOptions::new().write(true).open(&path).await?.write_all_at(pattern(len), 0).await?;
        let file = File::open(&path).await?;
        let first = file.read_at(Vec::with_capacity(LEN), 0).await?;
        assert_eq!(first.0, LEN);
        let failed = file.read_at(first.1, LEN as u64).await.expect_err("it is broken now");
        is_disk_error(&failed.error);
        // The buffer is as it was.
        assert!(failed.buf()[..] == pattern(LEN));
        Ok(())
    });
}

/// The error number of a quota that is used up.
fn over_quota(error: &io::Error) {
    assert_eq!(error.raw_os_error(), Some(libc::EDQUOT), "{error}");
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
}

#[test]
fn write_beyond_a_quota_fails_and_leaves_what_is_there() {
    const TEST: &str = "broken::write_beyond_a_quota_fails_and_leaves_what_is_there";
    let faults = [fault(&format!("{WRITES},fallocate,copy_file_range,ioctl"), "error=EDQUOT")];
    with_faults(TEST, &faults, async |path: PathBuf| {
        let file = OpenOptions::new().read(true).write(true).open(&path).await?;
        let failed = file.write_at("text", 0).await.expect_err("the quota is used up");
        over_quota(&failed.error);
        assert_eq!(*failed.buf(), "text");
        let failed = file.write_all_at(vec![7; LEN], 0).await.expect_err("it is used up");
        over_quota(&failed.error);
        assert_eq!((failed.transferred(), failed.buf().len()), (0, LEN));
        let failed = file.write_vectored_at(vec!["te", "xt"], 0).await.expect_err("it is used up");
        over_quota(&failed.error);
        assert_eq!(failed.buf()[..], ["te", "xt"]);
        over_quota(&file.allocate(0, 1 << 20).await.expect_err("the quota is used up"));
        assert!(fs::read(&path).await? == pattern(LEN));
        let error = fs::copy("/proc/self/exe", &path).await.expect_err("the quota is used up");
        over_quota(&error);
        let failed = fs::write(&path, vec![7; LEN]).await.expect_err("the quota is used up");
        over_quota(&failed.error);
        assert_eq!(failed.into_parts().1.len(), LEN);
        Ok(())
    });
}

#[test]
fn lost_write_is_told_by_sync_and_by_close() {
    const TEST: &str = "broken::lost_write_is_told_by_sync_and_by_close";
    let faults = [fault("fsync,fdatasync", "error=EIO"), fault("close", "error=EDQUOT")];
    with_faults(TEST, &faults, async |path: PathBuf| {
        let file = OpenOptions::new().write(true).open(&path).await?;
        // The disk says nothing yet.
        file.write_all_at("text", 0).await?;
        is_disk_error(&file.sync_data().await.expect_err("it did not get there"));
        is_disk_error(&file.sync_all().await.expect_err("it did not get there"));
        over_quota(&file.close().await.expect_err("it did not get there"));
        let error = fs::copy("/proc/version", &path).await.expect_err("it did not get there");
        over_quota(&error);
        // A drop has nobody to tell.
        drop(File::open(&path).await?);
        Ok(())
    });
}

#[test]
fn file_that_a_server_has_lost_is_an_error_of_every_call() {
    const TEST: &str = "broken::file_that_a_server_has_lost_is_an_error_of_every_call";
    let faults = [
        fault("openat,openat2,statx,newfstatat", "error=ESTALE"),
        fault("unlinkat,unlink,renameat,rename,linkat,readlink", "error=ESTALE"),
        fault("chmod,fchmodat", "error=ESTALE"),
    ];
    with_faults(TEST, &faults, async |path: PathBuf| {
        let stale = |outcome: io::Result<()>| {
            let error = outcome.expect_err("the server has lost it");
            assert_eq!(error.kind(), io::ErrorKind::StaleNetworkFileHandle, "{error}");
        };
        stale(File::open(&path).await.map(drop));
        stale(File::create(&path).await.map(drop));
        stale(fs::read(&path).await.map(drop));
        stale(fs::metadata(&path).await.map(drop));
        stale(fs::symlink_metadata(&path).await.map(drop));
        stale(fs::exists(&path).await.map(drop));
        stale(fs::copy(&path, "/dev/null").await.map(drop));
        stale(fs::copy("/proc/version", &path).await.map(drop));
        stale(fs::remove_file(&path).await);
        stale(fs::rename(&path, Path::new("elsewhere")).await);
        stale(fs::hard_link(&path, Path::new("elsewhere")).await);
        stale(
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).await,
        );
        Ok(())
    });
}

#[test]
fn disk_that_fails_at_changes_of_a_file_says_so() {
    const TEST: &str = "broken::disk_that_fails_at_changes_of_a_file_says_so";
    let faults = [fault("ftruncate,fallocate,fadvise64,statx,fchmod", "error=EIO")];
    with_faults(TEST, &faults, async |path: PathBuf| {
        let file = File::options().read(true).write(true).open(&path).await?;
        is_disk_error(&file.set_len(5).await.expect_err("the disk is broken"));
        is_disk_error(&file.allocate(0, 5).await.expect_err("the disk is broken"));
        is_disk_error(&file.prefetch(0, 5).await.expect_err("the disk is broken"));
        is_disk_error(&file.metadata().await.expect_err("the disk is broken"));
        assert!(fs::read(&path).await? == pattern(LEN));
        Ok(())
    });
}

/// A disk that shares blocks needs no copying; this one only says that it does.
#[test]
fn copy_shares_blocks_where_the_disk_does() {
    const TEST: &str = "broken::copy_shares_blocks_where_the_disk_does";
    let faults =
        [fault("ioctl", "retval=0"), fault(&format!("{WRITES},copy_file_range"), "error=EIO")];
    with_faults(TEST, &faults, async |path: PathBuf| {
        assert_eq!(fs::copy("/proc/self/exe", &path).await?, 0);
        assert_eq!(std::fs::metadata(&path)?.len(), 0);
        Ok(())
    });
}

#[test]
fn file_that_is_replaced_stays_if_the_disk_takes_no_other() {
    const TEST: &str = "broken::file_that_is_replaced_stays_if_the_disk_takes_no_other";
    let calls = "rename,renameat,renameat2";
    with_faults(TEST, &[fault(calls, "error=EIO")], async |path: PathBuf| {
        let failed = fs::atomic_write(&path, "other").await.expect_err("the disk is broken");
        is_disk_error(&failed.error);
        assert_eq!(failed.into_parts().1, "other");
        assert!(std::fs::read(&path)? == pattern(LEN));
        let folder = path.parent().expect("it is in a folder");
        assert_eq!(std::fs::read_dir(folder)?.count(), 1);
        Ok(())
    });
}
