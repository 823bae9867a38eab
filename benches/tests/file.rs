//! `corering-bench file`: that what is wrong with a file is found, that all drivers do the same
//! work, and that what the environment refuses is said so.

#[path = "common/programs.rs"]
mod programs;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use corering::{Driver, test_support};
use corering_bench::os::send_signal;
use corering_bench::process;
use programs::is_left_out;
use serde_json::Value;

/// Blocks of the small files of these tests.
const BLOCK_BYTES: u64 = 4096;

fn file(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corering-bench"));
    command.arg("file").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> Output {
    file(arguments).output().expect("cargo built it for this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The drivers that can run where this test run is about.
fn drivers() -> Vec<&'static str> {
    let allowed = test_support::drivers();
    let mut drivers = vec!["tokio"];
    if allowed.contains(&Driver::Epoll) {
        drivers.push("epoll");
    }
    if allowed.contains(&Driver::Uring) {
        drivers.extend(["uring", "raw-uring"]);
    }
    drivers
}

/// A bounded run of all drivers, as JSON.
fn measured(options: &[&str]) -> Value {
    let drivers = drivers().join(",");
    let mut arguments = vec!["--driver", &drivers, "--json=-"];
    if !options.iter().any(|option| option.starts_with("--file-size")) {
        arguments.push("--file-size=1m");
    }
    arguments.extend(options);
    let output = output(&arguments);
    assert!(output.status.success(), "{options:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the JSON is one document")
}

fn runs(report: &Value) -> &[Value] {
    let runs = report["runs"].as_array().expect("there are runs");
    assert_eq!(runs.len(), drivers().len());
    runs
}

/// All drivers of this test run transfer exactly so many blocks per slice.
fn all_agree(options: &[&str], blocks_per_slice: u64) {
    let report = measured(options);
    for run in runs(&report) {
        assert_eq!(run["invalid"], Value::Null, "{run}");
        let slices = run["slices"].as_array().expect("there are slices");
        assert_eq!(slices.len(), 10, "{run}");
        for slice in slices {
            assert_eq!(slice["count"], blocks_per_slice, "{run}");
        }
        // One slice warms up.
        assert_eq!(run["whole"]["count"], blocks_per_slice * 11, "{run}");
    }
}

#[test]
fn all_drivers_read_every_byte_rightly() {
    all_agree(&["--access=random-read", "--count=2000", "--verify=full"], 200);
    all_agree(&["--access=sequential-read", "--count=2000", "--verify=full", "--depth=1"], 200);
}

#[test]
fn more_blocks_in_flight_than_the_file_has_are_read_rightly() {
    all_agree(&["--file-size=64k", "--depth=256", "--count=5000", "--verify=full"], 500);
}

/// How many blocks each driver has read back after writing.
fn checked_blocks(report: &Value) -> Vec<u64> {
    let checked = |run: &Value| run["whole"]["counters"]["checked_blocks"].as_u64();
    runs(report).iter().map(|run| checked(run).expect("it is counted")).collect()
}

#[test]
fn what_all_drivers_write_is_read_back() {
    for access in ["--access=random-write", "--access=sequential-write"] {
        all_agree(&[access, "--count=2000"], 200);
        let report = measured(&[access, "--count=2000"]);
        let all_blocks = (1 << 20) / BLOCK_BYTES;
        assert_eq!(checked_blocks(&report), vec![all_blocks; drivers().len()]);
    }
}

#[test]
fn groups_are_written_whole() {
    // A slice of 10 blocks is rounded up to whole groups of 4.
    all_agree(&["--access=random-write", "--fsync-every=4", "--count=100", "--depth=8"], 12);
    all_agree(&["--access=append", "--fsync-every=4", "--count=100", "--depth=3"], 12);
}

#[test]
fn a_log_is_read_back_after_each_slice_and_at_the_end() {
    let report = measured(&["--access=append", "--fsync-every=1", "--count=100", "--depth=1"]);
    // Slices of 10 blocks, one of them for warming up; the last is read a second time, from the
    // disk.
    assert_eq!(checked_blocks(&report), vec![120; drivers().len()]);
}

#[test]
fn a_log_that_fills_its_file_ends_the_slice() {
    let options = ["--file-size=64k", "--access=append", "--fsync-every=8", "--count=1000"];
    all_agree(&[&options[..], &["--depth=8"]].concat(), 16);
}

#[test]
fn direct_access_works_or_is_refused_by_name() {
    let drivers = drivers().join(",");
    for access in ["--access=random-read", "--access=random-write", "--access=append"] {
        let output = output(&[
            "--direct",
            access,
            "--driver",
            &drivers,
            "--file-size=1m",
            "--count=200",
            "--depth=4",
        ]);
        let errors = text(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            // The folder for temporary files may be on a file system that cannot.
            Some(3) => assert!(errors.contains("--direct"), "{errors}"),
            _ => panic!("{access}: {errors}{}", text(&output.stdout)),
        }
    }
}

#[test]
fn a_written_block_that_changes_on_the_disk_is_found_at_the_end() {
    let bytes = 16 << 20;
    let drivers = drivers().join(",");
    let mut arguments = vec!["--driver", &drivers, "--access=random-write", "--file-size=16m"];
    arguments.extend(["--duration=3600s", "--slice-ms=1"]);
    let child = file(&arguments).spawn().expect("cargo built it for this test");
    // Each driver has a file of its own.
    let paths = hidden_files(&child, bytes, self::drivers().len());
    // Nobody gets another slice from now on, and one slice writes few of the blocks anew.
    process::stop(child.id()).expect("it runs for an hour");
    let file = File::options().write(true).open(&paths[0]).expect("it is our own process's");
    for block in 0..bytes / BLOCK_BYTES {
        file.write_all_at(&[0xA5], block * BLOCK_BYTES + 1000).expect("there is room");
    }
    send_signal(child.id(), libc::SIGINT).expect("it is stopped");
    process::resume(child.id()).expect("it is stopped");
    let output = child.wait_with_output().expect("it has ended");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("read back after writing: wrong content"), "{table}");
}

#[test]
fn the_table_and_json_name_every_driver() {
    let drivers = drivers().join(",");
    let output = output(&["--driver", &drivers, "--file-size=64k", "--count=10"]);
    let table = text(&output.stdout);
    for driver in drivers.split(',') {
        assert!(table.lines().any(|line| line.starts_with(driver)), "no {driver} in\n{table}");
    }
    let report = measured(&["--count=10"]);
    for row in report["rows"].as_array().expect("there are rows") {
        assert_eq!(row["verdict"], "valid");
        for name in ["operations_per_second", "cpu_ns_per_operation", "bytes_per_second"] {
            assert!(row[name].as_f64().expect("it is a number") > 0.0, "{name} of {row}");
        }
        assert!(row["latency_ns"]["p99"].as_u64() >= row["latency_ns"]["p50"].as_u64());
    }
}

/// Where the files without a name of a running measurement can be reached, once they are complete.
fn hidden_files(of: &Child, bytes: u64, count: usize) -> Vec<PathBuf> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let descriptors = PathBuf::from(format!("/proc/{}/fd", of.id()));
    let is_it = |path: &PathBuf| {
        let target = fs::read_link(path).unwrap_or_default();
        target.to_string_lossy().contains("corering-bench-")
            && fs::metadata(path).is_ok_and(|metadata| metadata.len() == bytes)
    };
    loop {
        let entries = fs::read_dir(&descriptors).into_iter().flatten().flatten();
        let paths: Vec<_> = entries.map(|entry| entry.path()).filter(is_it).collect();
        if paths.len() == count {
            return paths;
        }
        assert!(Instant::now() < deadline, "{count} files were not made in a minute");
        std::thread::yield_now();
    }
}

/// Changes one byte in each block of the file of a running measurement until it ends.
fn corrupt(child: &mut Child, bytes: u64, place: u64) {
    let paths = hidden_files(child, bytes, 1);
    let file = File::options().write(true).open(&paths[0]).expect("it is our own process's");
    while child.try_wait().expect("it is our child").is_none() {
        for block in 0..bytes / BLOCK_BYTES {
            file.write_all_at(&[0xA5], block * BLOCK_BYTES + place).expect("there is room");
        }
    }
}

fn a_changed_byte_is_found(place: u64, verify: &str) {
    let drivers = drivers().join(",");
    let arguments = ["--driver", &drivers, "--file-size=1m", "--duration=60s", verify];
    let mut child = file(&arguments).spawn().expect("cargo built it for this test");
    corrupt(&mut child, 1 << 20, place);
    let output = child.wait_with_output().expect("it has ended");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert_eq!(table.matches("wrong content").count(), self::drivers().len(), "{table}");
}

#[test]
fn a_changed_header_is_found_by_all_drivers() {
    a_changed_byte_is_found(5, "--verify=header");
}

#[test]
fn a_changed_byte_within_a_block_is_found_by_all_drivers() {
    a_changed_byte_is_found(3001, "--verify=full");
}

#[test]
fn what_makes_no_sense_is_refused_as_usage() {
    for (arguments, reason) in [
        (&["--file-size=1k"][..], "too small"),
        (&["--depth=0"], "depth of 0"),
        (&["--depth=257"], "depth of 257"),
        (&["--block-size=1000"], "multiple of 512"),
        (&["--block-size=large"], "no size"),
        (&["--fsync-every=4"], "writes nothing"),
        (&["--access=random-write", "--fsync-every=4", "--fio"], "--depth 1"),
        (&["--access=append", "--fio"], "--access sequential-write"),
        (&["--duration=1h"], "no duration"),
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(reason), "{}", text(&output.stderr));
    }
}

/// fio needs io_uring, as the drivers that it is compared with do.
#[test]
fn fio_takes_turns_with_the_drivers_on_the_same_file() {
    if !test_support::drivers().contains(&Driver::Uring) || is_left_out("fio") {
        return;
    }
    for options in [
        &["--access=random-read", "--depth=8"][..],
        &["--access=sequential-write", "--depth=8"],
        &["--access=sequential-write", "--depth=1", "--fsync-every=4"],
    ] {
        // One round, and one to warm up.
        let fixed = ["--fio", "--driver=raw-uring", "--json=-", "--file-size=8m"];
        let time = ["--duration=100ms", "--slice-ms=100"];
        let output = output(&[&fixed[..], &time, options].concat());
        let errors = text(&output.stderr);
        assert!(
            output.status.success(),
            "{options:?} (this test needs fio, which scripts/test installs): {errors}"
        );
        assert!(errors.contains("fio was run as: fio --name"), "{errors}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("it is one document");
        let runs = report["runs"].as_array().expect("there are runs");
        assert_eq!(runs.len(), 2);
        for run in runs {
            let slices = run["slices"].as_array().expect("there are slices");
            assert_eq!(slices.len(), 1, "{options:?}: {run}");
            let cpu_ns = slices[0]["server_cpu_ns"].as_u64().expect("it is counted");
            // fio counts in whole milliseconds: none are over where the disk stalled all the while.
            let has_worked = run["server"] != "fio" || slices[0]["count"].as_u64() > Some(1_000);
            assert!(cpu_ns > 0 || !has_worked, "{options:?}: {run}");
        }
        assert_eq!(report["rows"][0]["throughput_ratios"][0]["against"], "fio");
    }
}

#[test]
fn a_missing_fio_is_refused() {
    let mut command = file(&["--fio", "--driver=tokio", "--file-size=64k", "--count=10"]);
    let output = command.env("PATH", "/nowhere").output().expect("cargo built it for this test");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("install it"), "{}", text(&output.stderr));
}

fn is_refused(arguments: &[&str], reason: &str) {
    let output = output(arguments);
    assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", text(&output.stderr));
    assert!(text(&output.stderr).contains(reason), "{}", text(&output.stderr));
}

#[test]
fn a_disk_without_room_is_refused_before_it_is_filled() {
    is_refused(&["--file-size=4000000g"], "a smaller file (--file-size)");
}

#[test]
fn a_directory_that_takes_no_file_is_refused() {
    let small = "--file-size=64k";
    is_refused(&[small, "--dir=/nowhere/at/all"], "choose another directory (--dir)");
    let directory = env!("CARGO_MANIFEST_DIR").to_owned() + "/Cargo.toml";
    is_refused(&[small, "--dir", &directory], "choose another directory (--dir)");
}

#[test]
fn a_result_that_cannot_be_written_is_told_before_anything_is_measured() {
    is_refused(&["--json=/nowhere/at/all.json", "--duration=3600s"], "/nowhere/at/all.json");
}

/// Runs what takes an hour, and asks it to end.
fn interrupted(directory: &Path, signal: i32) -> Output {
    let drivers = drivers().join(",");
    let directory = directory.to_str().expect("it is made of letters");
    let mut arguments = vec!["--driver", &drivers, "--file-size=1m", "--duration=3600s"];
    arguments.extend(["--slice-ms=1", "--json=-", "--dir", directory]);
    let child = file(&arguments).spawn().expect("cargo built it for this test");
    hidden_files(&child, 1 << 20, 1);
    send_signal(child.id(), signal).expect("it runs");
    child.wait_with_output().expect("it ends")
}

#[test]
fn an_interrupt_gives_what_was_measured_and_leaves_no_file() {
    let directory = std::env::temp_dir().join(format!("corering-test-{}", std::process::id()));
    fs::create_dir(&directory).expect("there is room");
    let output = interrupted(&directory, libc::SIGINT);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    assert_eq!(report["is_partial"], true);
    assert!(text(&output.stderr).contains("partial"));
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", text(&output.stderr));
    // It is not empty if a file was left.
    fs::remove_dir(&directory).expect("the directory is empty");
}
