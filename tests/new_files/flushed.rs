//! What is on the disk, and when: the order of the calls, and a process that is killed.

use std::io::{BufRead, BufReader};

use corering::fs::atomic_write;
use corering::{Driver, Runtime};

use crate::Folder;
use crate::child::{self, Child};

/// Names the file to write in a child.
const TARGET: &str = "ATOMIC_TARGET";

#[test]
fn file_is_flushed_before_it_gets_its_name_and_folder_after() {
    const TEST: &str = "flushed::file_is_flushed_before_it_gets_its_name_and_folder_after";
    if child::is_child() {
        return write_once();
    }
    if !corering::test_support::drivers().contains(&Driver::Epoll) {
        return;
    }
    let folder = Folder::new();
    let (target, trace) = (folder.join("target"), folder.join("trace"));
    let traced = |expected: &[&str]| {
        let calls = "trace=pwrite64,write,fsync,linkat,rename,renameat,renameat2";
        let into = trace.to_str().expect("it is ours");
        let child = Child::of(TEST).under("strace", &["-f", "-y", "-e", calls, "-o", into]);
        child.env(TARGET, target.to_str().expect("it is ours")).passes();
        let trace = std::fs::read_to_string(&trace).expect("strace has written it");
        // A call that another thread interrupts has two lines, of which the first names what it is of.
        let ours = trace.lines().filter(|line| line.contains(folder.0.to_str().expect("ours")));
        let calls: Vec<_> = ours
            .filter_map(|line| {
                let call = line.split_whitespace().nth(1)?;
                let of_folder =
                    call.split_once('<')?.1.starts_with(&format!("{}>", folder.0.display()));
                Some(match call.split('(').next()? {
                    "fsync" if of_folder => "fsync folder",
                    call => call,
                })
            })
            .map(str::to_owned)
            .collect();
        assert_eq!(calls, expected, "{trace}");
    };
    traced(&["pwrite64", "fsync", "linkat", "fsync folder"]);
    // There it is now, so that nothing without a name can take its place.
    traced(&["pwrite64", "fsync", "linkat", "linkat", "renameat", "fsync folder"]);
    assert_eq!(folder.names(), ["target", "trace"]);
}

fn write_once() {
    let target = std::env::var(TARGET).expect("the parent names it");
    let runtime = Runtime::builder().driver(Driver::Epoll).build().expect("epoll is everywhere");
    runtime.block_on(atomic_write(target, vec![7; 1000])).expect("the disk has room");
}

#[test]
fn killed_process_leaves_old_or_new_contents() {
    const TEST: &str = "flushed::killed_process_leaves_old_or_new_contents";
    if child::is_child() {
        return write_until_killed();
    }
    for driver in corering::test_support::drivers() {
        for lines in 1..6 {
            let folder = Folder::new();
            let target = folder.join("target");
            let child = Child::of(TEST).env(TARGET, target.to_str().expect("it is ours"));
            let mut child = child.env("DRIVER", &driver.to_string()).spawn();
            let output = child.stdout.take().expect("it is piped");
            let written = BufReader::new(output).lines().map(|line| line.expect("it is text"));
            let written = written.filter(|line| line.ends_with("written")).take(lines).count();
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
            assert_eq!(written, lines, "it writes until it is killed");
            let found = std::fs::read(&target).expect("it was written");
            let is_whole = found.len() == 100_000 && found.iter().all(|byte| *byte == found[0]);
            assert!(is_whole, "{} bytes", found.len());
        }
    }
}

fn write_until_killed() {
    let target = std::env::var(TARGET).expect("the parent names it");
    let named = std::env::var("DRIVER").expect("the parent names it");
    let mut drivers = corering::test_support::drivers().into_iter();
    let driver = drivers.find(|driver| driver.to_string() == named).expect("one of them");
    let runtime = Runtime::builder().driver(driver).build().expect("the driver was asked for");
    runtime.block_on(async {
        for number in 0.. {
            let bytes = vec![number as u8; 100_000];
            atomic_write(&target, bytes).await.expect("the disk has room");
            println!("written");
        }
    });
}
