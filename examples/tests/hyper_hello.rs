//! The greeting by hyper, on both drivers, by curl and by h2load; and clients that leave.

mod common;
#[path = "../../benches/tests/common/programs.rs"]
mod programs;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;

use common::{Example, connect};
use programs::is_left_out;
use rustix::process::Signal;

on_both_drivers! {
    both_versions_are_answered_to_curl,
    all_requests_of_h2load_are_answered,
    clients_that_leave_are_no_errors,
    idle_connections_do_not_hold_up_the_end,
}

fn command(driver: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyper_hello"));
    command.args(["--driver", driver, "--addr", "127.0.0.1:0", "--shards", "2"]);
    command.env_remove("CORERING_DRIVER");
    command
}

fn start(driver: &str) -> (Example, SocketAddr) {
    let example = Example::start(command(driver));
    let address = example.address();
    (example, address)
}

fn end(mut example: Example) {
    example.signal(Signal::TERM);
    assert_eq!(example.wait().code(), Some(0));
}

/// Runs a program that has to succeed, and returns what it prints.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

fn both_versions_are_answered_to_curl(driver: &str) {
    if is_left_out("curl") {
        return;
    }
    let (example, address) = start(driver);
    let url = format!("http://{address}/");
    let ask = |version, urls: &[&str]| {
        let format = " by %{http_version}, %{http_code}, %{num_connects} connections\n";
        run("curl", &[&["-sS", "--max-time", "60", version, "-w", format], urls].concat())
    };
    let answers = ask("--http1.1", &[&url, &url]);
    let (first, second) = answers.split_once('\n').expect("two requests are answered");
    assert_eq!(first, "Hello, World! by 1.1, 200, 1 connections");
    // It comes by the connection of the first.
    assert_eq!(second, "Hello, World! by 1.1, 200, 0 connections\n");
    // Debian's curl 7.88.1 cannot use such a connection again (curl's pull request 10643).
    let answer = ask("--http2-prior-knowledge", &[&url]);
    assert_eq!(answer, "Hello, World! by 2, 200, 1 connections\n");
    end(example);
}

fn all_requests_of_h2load_are_answered(driver: &str) {
    if is_left_out("h2load") {
        return;
    }
    let (example, address) = start(driver);
    let url = format!("http://{address}/");
    for version in [&["--h1"][..], &["-m", "10"]] {
        let report = run("h2load", &[&["-n", "2000", "-c", "20"], version, &[&url]].concat());
        assert!(report.contains("2000 done, 2000 succeeded, 0 failed, 0 errored"), "{report}");
    }
    end(example);
}

fn clients_that_leave_are_no_errors(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("stderr");
    let mut command = command(driver);
    command.stderr(File::create(&said).unwrap());
    let example = Example::start(command);
    let address = example.address();
    let requests: [&[u8]; 5] = [
        b"",
        b"GET / HT",
        b"no HTTP at all\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ];
    for request in requests {
        let mut leaves = connect(address);
        leaves.write_all(request).unwrap();
        drop(leaves);
        // With an answer, and bytes that nobody has asked for, it is reset.
        let mut resets = connect(address);
        resets.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        resets.read_exact(&mut [0]).unwrap();
        let _ = resets.write_all(request);
    }
    end(example);
    assert_eq!(fs::read_to_string(said).unwrap(), "");
}

fn idle_connections_do_not_hold_up_the_end(driver: &str) {
    let (example, address) = start(driver);
    let mut silent = connect(address);
    let mut idle = connect(address);
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"Hello, World!") {
        let mut byte = [0];
        idle.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    example.signal(Signal::TERM);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    end(example);
}
