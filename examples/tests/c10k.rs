//! Runs the server and its clients, on both drivers, and what limits and signals do to them.

mod common;
#[path = "common/kept.rs"]
mod kept;

use std::os::fd::OwnedFd;
use std::process::Command;

use common::{Example, children, has_ended, run_to_end};
use kept::{kept, read_back};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

on_both_drivers! {
    hundreds_of_clients_are_connected_at_once_and_answered,
    unanswered_questions_are_a_failure,
    too_low_limit_is_named_before_anything_starts,
    signal_ends_server_and_clients,
    killed_server_leaves_no_clients,
    killed_clients_are_an_error,
}

fn command(driver: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    command.args(["--driver", driver]).args(flags).env_remove("CORERING_DRIVER");
    command
}

/// A run of [`CLIENTS`] that lasts until something ends it.
fn long(driver: &str) -> Command {
    command(driver, &["--clients", "50", "--questions", "1000000"])
}

const CLIENTS: usize = 50;

/// Starts a run, and returns it when its clients ask.
fn asking(command: Command) -> Example {
    let example = Example::start(command);
    assert!(example.line().starts_with("one shard on "));
    let line = example.line();
    assert!(line.starts_with(&format!("connected: {CLIENTS} at the same time")), "{line}");
    assert!(example.line().starts_with("each asks "));
    example
}

/// The process of the clients, unless it has ended and been waited for.
fn clients(example: &Example) -> Option<OwnedFd> {
    let [child] = children(example.id())[..] else { return None };
    let child = Pid::from_raw(child.cast_signed()).expect("it is no 0");
    pidfd_open(child, PidfdFlags::empty()).ok()
}

fn hundreds_of_clients_are_connected_at_once_and_answered(driver: &str) {
    let flags = ["--clients", "500", "--questions", "3", "--every", "100", "--deadline", "60000"];
    let text = Example::start(command(driver, &flags)).text();
    let lines: Vec<&str> = text.lines().collect();
    let beginnings = [
        &format!("one shard on {driver}, 500 clients on 4 loopback addresses"),
        "connected: 500 at the same time, counted by both sides, ",
        "each asks 3 questions, one every 100 ms, ",
        "answers: 1500 right in ",
        "time of an answer since its question was due: p50 ",
        "memory of the server for each connection: ",
    ];
    assert_eq!(lines.len(), beginnings.len(), "{text}");
    for (line, beginning) in lines.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "{text}");
    }
    assert!(lines[3].ends_with(" 0 of them late; 0 wrong, 0 lost"), "{text}");
}

fn unanswered_questions_are_a_failure(driver: &str) {
    let mut command = long(driver);
    command.args(["--deadline", "20", "--every", "10"]);
    let (mut stderr, file) = kept();
    command.stderr(file);
    let mut example = asking(command);
    example.signal(Signal::STOP);
    // On a busy machine they may have given up before.
    assert!(clients(&example).is_none_or(|clients| has_ended(&clients)));
    example.signal(Signal::CONT);
    assert_eq!(example.wait().code(), Some(1));
    let text = String::from_utf8(read_back(&mut stderr)).expect("errors are text");
    assert!(text.contains(" not at all; client "), "{text}");
    assert!(text.contains("no answer after 10 times the deadline"), "{text}");
}

fn too_low_limit_is_named_before_anything_starts(driver: &str) {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 400 && exec \"$0\" \"$@\""]);
    let command = command(driver, &["--clients", "10000"]);
    limited.arg(command.get_program()).args(command.get_args()).stdout(kept().1);
    let (status, error) = run_to_end(limited);
    assert_eq!(status, Some(1));
    for part in ["`ulimit -n 10300`", "the hard limit is 400", "--clients 100\n"] {
        assert!(error.contains(part), "{error}");
    }
}

fn signal_ends_server_and_clients(driver: &str) {
    for signal in [Signal::INT, Signal::TERM] {
        let mut example = asking(long(driver));
        let clients = clients(&example).expect("they ask");
        example.signal(signal);
        assert_eq!(example.wait().code(), Some(1));
        assert!(has_ended(&clients));
    }
}

fn killed_server_leaves_no_clients(driver: &str) {
    let mut example = asking(long(driver));
    let clients = clients(&example).expect("they ask");
    example.signal(Signal::KILL);
    assert_eq!(example.wait().code(), None);
    assert!(has_ended(&clients));
}

fn killed_clients_are_an_error(driver: &str) {
    let mut command = long(driver);
    let (mut stderr, file) = kept();
    command.stderr(file);
    let mut example = asking(command);
    let clients = clients(&example).expect("they ask");
    pidfd_send_signal(&clients, Signal::KILL).expect("the clients run");
    assert_eq!(example.wait().code(), Some(1));
    let text = String::from_utf8(read_back(&mut stderr)).expect("errors are text");
    assert!(text.contains("the process of the clients ended with signal: 9"), "{text}");
}
