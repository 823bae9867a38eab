//! Keeps shells and other commands running, on both drivers, and looks at what they leave.

mod common;
#[path = "common/kept.rs"]
mod kept;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::process::Command;

use common::{Example, has_ended, run_to_end};
use kept::{kept, read_back};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

on_both_drivers! {
    lines_have_the_name_of_their_command_in_front,
    bytes_that_are_no_text_and_long_lines_pass,
    ended_commands_are_started_again,
    exits_by_status_and_by_signal_are_told_apart,
    signals_are_passed_on_to_the_group,
    commands_that_ignore_the_end_are_killed,
    second_signal_kills_before_the_grace_is_over,
    what_an_ended_command_leaves_is_killed,
    process_outside_of_the_group_holds_nothing_up,
    missing_program_ends_the_others,
    closed_output_ends_the_commands,
    output_that_is_not_read_does_not_hold_up_the_end,
    wrong_command_lines_are_refused,
}

fn command(driver: &str, flags: &[&str], commands: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
    command
        .args(["--driver", driver, "--wait", "1", "--wait-max", "600000"])
        .args(flags)
        .arg("--")
        .args(commands);
    command.env_remove("CORERING_DRIVER");
    command
}

/// A supervisor that gives up at the first end of its one command, a script for the shell.
fn once(driver: &str, script: &str) -> Command {
    command(driver, &["--early-max", "1"], &["sh", "-c", script])
}

/// Runs it to its end, and returns its status and what it wrote to both outputs.
fn outputs(mut command: Command) -> (Option<i32>, Vec<u8>, String) {
    let (mut stdout, file) = kept();
    command.stdout(file);
    let (status, stderr) = run_to_end(command);
    (status, read_back(&mut stdout), stderr)
}

fn process(id: &str) -> OwnedFd {
    let id = id.trim().parse().ok().and_then(Pid::from_raw).expect("it is the id of a process");
    pidfd_open(id, PidfdFlags::empty()).expect("the process is there")
}

fn lines_have_the_name_of_their_command_in_front(driver: &str) {
    let (status, stdout, stderr) = outputs(once(driver, "echo one; echo >&2 two; printf three"));
    assert_eq!(status, Some(1));
    assert_eq!(stdout, b"sh | one\nsh | three\n");
    assert!(stderr.starts_with("sh | two\n"), "{stderr}");

    let both = ["/bin/sleep", "1000", "--", "sh", "-c", "sleep 1000", "--", "sh", "-c", "echo x"];
    let (_, stdout, _) = outputs(command(driver, &["--early-max", "3"], &both));
    assert_eq!(stdout, b"sh.2 | x\n".repeat(3));
}

fn bytes_that_are_no_text_and_long_lines_pass(driver: &str) {
    let script =
        r"head -c 1000000 /dev/zero; printf '\n\377\376\033\n'; head -c 9000 /dev/zero >&2";
    let (_, stdout, stderr) = outputs(once(driver, script));
    let mut lines: Vec<&[u8]> = stdout.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.pop(), Some(&b""[..]));
    assert_eq!(lines.pop(), Some(&b"sh | \xff\xfe\x1b"[..]));
    assert!(lines[0].starts_with(b"sh | \0") && lines[1].starts_with(b"sh + \0"));
    assert!(lines.iter().all(|line| line.len() <= 5 + 8192));
    let zeros = lines.iter().flat_map(|line| *line).filter(|byte| **byte == 0).count();
    assert_eq!(zeros, 1_000_000);
    assert_eq!(stderr.bytes().filter(|byte| *byte == 0).count(), 9_000);
}

fn ended_commands_are_started_again(driver: &str) {
    let (status, stdout, stderr) =
        outputs(command(driver, &["--early-max", "4"], &["sh", "-c", "echo again; exit 7"]));
    assert_eq!((status, &*stdout), (Some(1), &*b"sh | again\n".repeat(4)));
    let waits: Vec<&str> =
        stderr.lines().filter_map(|line| line.split("again in ").nth(1)).collect();
    assert_eq!(waits, ["0.001 s", "0.002 s", "0.004 s"], "{stderr}");
    assert!(stderr.lines().any(|line| line.contains("is given up")), "{stderr}");
}

fn exits_by_status_and_by_signal_are_told_apart(driver: &str) {
    let (_, _, stderr) = outputs(once(driver, "exit 3"));
    assert!(stderr.contains("ended with exit status: 3"), "{stderr}");
    let (_, _, stderr) = outputs(once(driver, "kill -9 $$"));
    assert!(stderr.contains("ended with signal: 9 (SIGKILL)"), "{stderr}");
}

/// A shell that says which signals come, and ends at SIGTERM.
const SAYS: &str = r#"
for name in HUP USR1 USR2; do trap "echo $name" $name; done
trap 'echo TERM; exit 0' TERM
echo $$
while :; do sleep 1000 & wait $!; done"#;

fn signals_are_passed_on_to_the_group(driver: &str) {
    let mut example =
        Example::start(command(driver, &[], &["sh", "-c", SAYS, "--", "sh", "-c", SAYS]));
    let started = [example.line(), example.line()];
    let shells = started.map(|line| process(line.split_once(" | ").expect("it has a name").1));
    let heard = |example: &Example, signal, name: &str| {
        example.signal(signal);
        let mut lines = [example.line(), example.line()];
        lines.sort();
        assert_eq!(lines, [format!("sh.1 | {name}"), format!("sh.2 | {name}")]);
    };
    for (signal, name) in [(Signal::HUP, "HUP"), (Signal::USR1, "USR1"), (Signal::USR2, "USR2")] {
        heard(&example, signal, name);
    }
    heard(&example, Signal::TERM, "TERM");
    assert_eq!(example.wait().code(), Some(0));
    assert!(shells.iter().all(has_ended));
}

/// A shell that does not end at SIGTERM.
const STUBBORN: &str = r#"trap '' TERM; sleep 1000 & echo $$ $!; wait; wait"#;

/// The shell and its child, which do not end either.
fn stubborn(example: &Example) -> [OwnedFd; 2] {
    let line = example.line();
    let ids = line.strip_prefix("sh | ").expect("it has a name");
    let (shell, child) = ids.split_once(' ').expect("there are two");
    [process(shell), process(child)]
}

fn commands_that_ignore_the_end_are_killed(driver: &str) {
    let mut example = Example::start(command(driver, &["--grace", "0"], &["sh", "-c", STUBBORN]));
    let processes = stubborn(&example);
    example.signal(Signal::TERM);
    assert_eq!(example.wait().code(), Some(1));
    assert!(processes.iter().all(has_ended));
}

fn second_signal_kills_before_the_grace_is_over(driver: &str) {
    let (stderr, writer) = std::io::pipe().expect("a pipe can be made");
    let mut command = command(driver, &["--grace", "86400"], &["sh", "-c", STUBBORN]);
    command.stderr(writer);
    let mut example = Example::start(command);
    let processes = stubborn(&example);
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    example.signal(Signal::INT);
    // Two signals of which the first has not been taken are one.
    assert!(lines.any(|line| line.contains("are to end")), "the first signal is taken");
    example.signal(Signal::INT);
    assert_eq!(example.wait().code(), Some(1));
    assert!(processes.iter().all(has_ended));
}

/// Runs a shell that starts `left`, which says its id, and ends when that is known. Returns what is left.
fn leave(driver: &str, left: &str) -> OwnedFd {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("go");
    assert!(Command::new("mkfifo").arg(&path).status().expect("it runs").success());
    let script = format!("{left} & read line < {}", path.display());
    let mut example = Example::start(once(driver, &script));
    let left = process(example.line().strip_prefix("sh | ").expect("it has a name"));
    fs::write(&path, "go\n").expect("the shell reads");
    assert_eq!(example.wait().code(), Some(1));
    left
}

const SLEEPER: &str = "sh -c 'echo $$; exec sleep 1000'";

fn what_an_ended_command_leaves_is_killed(driver: &str) {
    assert!(has_ended(&leave(driver, SLEEPER)));
}

fn process_outside_of_the_group_holds_nothing_up(driver: &str) {
    let left = leave(driver, &format!("setsid {SLEEPER}"));
    pidfd_send_signal(&left, Signal::KILL).expect("it runs on");
    assert!(has_ended(&left));
}

fn missing_program_ends_the_others(driver: &str) {
    let commands = ["sleep", "1000", "--", "/no/such/program"];
    let (status, _, stderr) = outputs(command(driver, &[], &commands));
    assert_eq!(status, Some(1));
    assert!(stderr.contains("program cannot be started: "), "{stderr}");
}

fn closed_output_ends_the_commands(driver: &str) {
    let (stdout, writer) = std::io::pipe().expect("a pipe can be made");
    let mut command = command(driver, &[], &["sh", "-c", "echo $$; while echo x; do :; done"]);
    let mut example = Example::of(command.stdout(writer).spawn().expect("the example starts"));
    drop(command);
    let mut first = String::new();
    let mut reader = BufReader::new(stdout);
    reader.read_line(&mut first).expect("it is text");
    let shell = process(first.strip_prefix("sh | ").expect("it has a name"));
    drop(reader);
    assert!(has_ended(&shell));
    assert_eq!(example.wait().code(), Some(1));
}

fn output_that_is_not_read_does_not_hold_up_the_end(driver: &str) {
    let (stdout, writer) = std::io::pipe().expect("a pipe can be made");
    let (stderr, errors) = std::io::pipe().expect("a pipe can be made");
    // More than the pipe that is not read can hold, and less than two of them can.
    let script = "head -c 100000 /dev/zero; echo $$ >&2; sleep 1000";
    let mut command = command(driver, &["--grace", "0"], &["sh", "-c", script]);
    command.stdout(writer).stderr(errors);
    let mut example = Example::of(command.spawn().expect("the example starts"));
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let line = lines.next().expect("the shell says its id");
    let shell = process(line.strip_prefix("sh | ").expect("it has a name"));
    example.signal(Signal::TERM);
    assert_eq!(example.wait().code(), Some(1));
    assert!(has_ended(&shell));
    drop(stdout);
}

fn wrong_command_lines_are_refused(driver: &str) {
    let wrong: [&[&str]; 4] =
        [&[], &["--grace", "-1"], &["--early-max", "0", "--", "true"], &["x"]];
    for flags in wrong {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command.args(["--driver", driver]).args(flags);
        assert_eq!(run_to_end(command).0, Some(2), "{flags:?}");
    }
    let (status, _, stderr) = outputs(command(driver, &[], &["true", "--", "--", "true"]));
    assert_eq!(status, Some(1));
    assert!(stderr.contains("a command is missing beside a `--`"), "{stderr}");
}
