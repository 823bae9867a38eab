//! The server of `docs/getting-started.md`, and the test that the page shows.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;

use common::{Example, connect};
use corering::net::UnixStream;
use rustix::process::Signal;

on_both_drivers! {
    lines_are_answered_and_kept_and_a_signal_ends_the_server,
}

fn lines_are_answered_and_kept_and_a_signal_ends_the_server(driver: &str) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_line_server"));
    command.arg("127.0.0.1:0").env("CORERING_DRIVER", driver).current_dir(folder.path());
    let server = Example::start(command);
    let client = connect(server.address());

    (&client).write_all(b"hello\nyou\n").expect("the server reads");
    let mut answers = BufReader::new(&client).lines();
    for expected in ["HELLO", "YOU"] {
        let answer = answers.next().expect("there is an answer").expect("it is text");
        assert_eq!(answer, expected);
    }
    let log = fs::read_to_string(folder.path().join("lines.log")).expect("lines are kept");
    assert_eq!(log, "hello\nyou\n");

    server.signal(Signal::TERM);
    assert_eq!(server.text(), "1 connections: 1 finished, 0 failed, 0 panicked, 0 aborted\n");
    assert!(answers.next().is_none(), "the connection has ended");
}

#[corering::test]
async fn closed_peer_reads_as_end() -> std::io::Result<()> {
    let (mut own, peer) = UnixStream::pair()?;
    drop(peer);
    assert!(own.recv().await?.is_empty());
    Ok(())
}

#[test]
fn page_shows_the_server_and_the_test_as_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path| fs::read_to_string(folder.join(path)).expect("it is there");
    let page = read("../docs/getting-started.md");

    let server = read("src/bin/line_server.rs");
    let (_, server) = server.split_once("\n\n").expect("the head ends");
    assert!(page.contains(&format!("```rust,no_run\n{server}```\n")), "the server differs");

    let tests = read("tests/line_server.rs");
    let (_, test) = tests.split_once("#[corering::test]\n").expect("it has the test");
    let (test, _) = test.split_once("\n}\n").expect("the test ends");
    assert!(page.contains(&format!("#[corering::test]\n{test}\n}}\n```\n")), "the test differs");
}
