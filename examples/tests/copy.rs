//! Copies files of every shape, on both drivers, and checks what is left when that fails.

mod common;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::{Example, run_to_end};
use rustix::process::Signal;

on_both_drivers! {
    files_of_any_length_are_the_same_afterwards,
    holes_stay_holes,
    what_stood_there_is_replaced,
    a_file_is_not_copied_onto_itself,
    a_full_device_is_an_error,
    what_is_no_file_is_refused,
    a_signal_ends_it_and_leaves_nothing_behind,
}

fn copy(driver: &str, source: &Path, target: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let mut command = command(driver);
    command.arg(source).arg(target).args(flags);
    run_to_end(command)
}

fn command(driver: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_copy"));
    command.args(["--driver", driver]).env_remove("CORERING_DRIVER");
    command
}

const DONE: (Option<i32>, String) = (Some(0), String::new());

/// Bytes that differ from place to place.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn files_of_any_length_are_the_same_afterwards(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    for bytes in [0, 1, 4095, 262_144, 262_145, 5_000_000] {
        for depth in ["1", "7", "64"] {
            fs::write(&source, pattern(bytes)).unwrap();
            assert_eq!(copy(driver, &source, &target, &["--depth", depth, "--verify"]), DONE);
            assert!(fs::read(&target).unwrap() == pattern(bytes), "{bytes} bytes");
        }
    }
}

fn holes_stay_holes(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    let file = fs::File::create(&source).unwrap();
    file.write_all_at(&pattern(10_000), 0).unwrap();
    file.write_all_at(&pattern(500_000), 100 << 20).unwrap();
    file.set_len(1 << 30).unwrap();
    assert_eq!(copy(driver, &source, &target, &[]), DONE);
    let (from, to) = (fs::metadata(&source).unwrap(), fs::metadata(&target).unwrap());
    assert_eq!(from.len(), to.len());
    // Where the file system keeps no holes, the source has none either.
    assert!(to.blocks() <= from.blocks() + 64, "{} blocks became {}", from.blocks(), to.blocks());
    let mut found = vec![0; 500_000];
    fs::File::open(&target).unwrap().read_exact_at(&mut found, 100 << 20).unwrap();
    assert!(found == pattern(500_000));
}

fn what_stood_there_is_replaced(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    // A hole of the source must not show what the target held at its place.
    fs::File::create(&source).unwrap().set_len(100_000).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(&target, pattern(1_000_000)).unwrap();
    assert_eq!(copy(driver, &source, &target, &["--verify"]), DONE);
    assert!(fs::read(&target).unwrap() == vec![0; 100_000]);

    fs::remove_file(&target).unwrap();
    assert_eq!(copy(driver, &source, &target, &[]), DONE);
    let mode = fs::metadata(&target).unwrap().mode() & 0o777;
    assert_eq!(mode & !0o750, 0, "no right is given that the source does not give: {mode:o}");
    assert_eq!(mode & 0o700, 0o700);
}

fn a_file_is_not_copied_onto_itself(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::write(&source, "precious").unwrap();
    fs::hard_link(&source, folder.path().join("hard")).unwrap();
    symlink("source", folder.path().join("soft")).unwrap();
    for name in ["source", "hard", "soft", "./source"] {
        let (status, error) = copy(driver, &source, &folder.path().join(name), &[]);
        assert_eq!(status, Some(1));
        assert!(error.contains("the same file"), "{error}");
        assert_eq!(fs::read_to_string(&source).unwrap(), "precious");
    }
}

fn a_full_device_is_an_error(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::write(&source, pattern(1_000_000)).unwrap();
    let (status, error) = copy(driver, &source, Path::new("/dev/full"), &[]);
    assert_eq!(status, Some(1));
    assert!(error.contains("/dev/full") && error.contains("No space left on device"), "{error}");
    assert!(Path::new("/dev/full").exists());
    assert_eq!(copy(driver, &source, Path::new("/dev/null"), &[]), DONE);
}

fn what_is_no_file_is_refused(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    let (status, error) = copy(driver, &source, &target, &[]);
    assert_eq!(status, Some(1));
    assert!(error.contains(&*source.to_string_lossy()), "{error}");
    let (status, error) = copy(driver, folder.path(), &target, &[]);
    assert_eq!(status, Some(1));
    assert!(error.contains("not a regular file"), "{error}");
    assert!(!target.exists());

    fs::write(&source, "x").unwrap();
    let (status, error) = copy(driver, &source, folder.path(), &[]);
    assert_eq!(status, Some(1));
    assert!(error.contains(&*folder.path().to_string_lossy()), "{error}");
    assert!(folder.path().exists());

    let (status, _) = copy(driver, &source, &target, &["--depth", "0"]);
    assert_eq!(status, Some(2));
}

fn a_signal_ends_it_and_leaves_nothing_behind(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    // Nothing is copied of a file that is one hole, and comparing this one takes minutes.
    let bytes = 1 << 40;
    fs::File::create(&source).unwrap().set_len(bytes).unwrap();
    let mut command = command(driver);
    command.arg(&source).arg(&target).arg("--verify");
    let mut copying = Example::start(command);
    while !fs::metadata(&target).is_ok_and(|target| target.len() == bytes) {
        std::thread::yield_now();
    }
    copying.signal(Signal::INT);
    assert_eq!(copying.wait().code(), Some(0));
    assert!(!target.exists());
}
