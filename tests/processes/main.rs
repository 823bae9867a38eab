//! Child processes: how they end, what they inherit, and that whatever is dropped, and when, leaves no
//! process and no zombie.

#[path = "../common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "../common/net.rs"]
mod net;

mod attacks;
mod communicate;
mod dropped;
mod ends;
mod errors;
mod inherits;
mod stdio;
mod storm;
mod streams;

use std::fs;
use std::future::Future;
use std::io;

use corering::process::{Child, Command, Stdio};
use corering::{Runtime, test_support};

/// A program that goes on until it is killed. It holds none of this one's streams, so that a test that fails
/// ends.
fn endless() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A program of the shell.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).stdin(Stdio::null());
    command
}

fn id_of(child: &Child) -> u32 {
    child.id().expect("it was not waited for")
}

/// What `waitid(2)` says of a child, or of any with 0, without reaping it: 0 or an errno.
fn look_at(pid: u32, options: i32) -> i32 {
    let kind = if pid == 0 { libc::P_ALL } else { libc::P_PID };
    // SAFETY: an all-zero siginfo is one, and the pointer leads to it.
    let result = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(kind, pid, &mut info, libc::WEXITED | libc::WNOWAIT | options)
    };
    if result == 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(-1) }
}

/// Whether there is no such child any more, nor its zombie.
fn is_reaped(pid: u32) -> bool {
    look_at(pid, libc::WNOHANG) == libc::ECHILD
}

/// Whether a process, which need be no child, is not there, or is a zombie.
fn is_over(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")),
        Err(_) => true,
    }
}

/// Waits for the end of a child, and leaves its zombie.
fn becomes_zombie(pid: u32) {
    assert_eq!(look_at(pid, 0), 0, "it is a child");
}

/// The processes that another has started and that were not reaped, as `/proc` has them.
fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("proc is mounted");
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // After the name, which may contain anything: the state and the parent.
            let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
            fields.and_then(|mut fields| fields.nth(1)?.parse().ok()) == Some(parent)
        })
        .collect()
}

/// The names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("proc is mounted");
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

fn reaper_runs() -> bool {
    threads().iter().any(|name| name == "corering-reaper")
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
}

/// Lets the threads of this process run until `holds`.
fn until_now(mut holds: impl FnMut() -> bool) {
    while !holds() {
        std::thread::yield_now();
    }
}

/// Runs a body in a process of its own, once for each driver; at its end the process has no child, no
/// thread that reaps and no descriptor more than before.
fn alone(test: &str, body: impl Fn(corering::Driver) -> io::Result<()>) {
    if !child::is_child() {
        return child::Child::of(test).passes();
    }
    for driver in test_support::drivers() {
        println!("on {driver}");
        // What signals need stays for the rest of the process's life.
        drop(corering::signal::shutdown());
        let before = open_descriptors();
        body(driver).unwrap_or_else(|error| panic!("on {driver}: {error:?}"));
        until_now(|| is_reaped(0));
        assert_eq!(children_of(std::process::id()), [0; 0], "on {driver}");
        // Threads of the pool end with their job.
        until_now(|| !threads().iter().any(|name| name.starts_with("corering-")));
        assert_eq!(open_descriptors(), before, "on {driver}");
    }
}

/// As [`alone`], of a body that runs in a runtime. No thread has to reap its children.
fn alone_in_runtime<F: Future<Output = io::Result<()>>>(test: &str, body: impl Fn() -> F) {
    alone(test, |driver| {
        let runtime = Runtime::builder().driver(driver).build()?;
        runtime.block_on(async {
            body().await?;
            net::until(|| is_reaped(0)).await;
            assert!(!reaper_runs(), "a thread was started while the runtime could reap");
            io::Result::Ok(())
        })
    });
}
