//! Runs commands by `parallel` and by `xargs`, on both drivers, and compares what they print and how they end.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Lines, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, Command, Output, Stdio};

use common::Example;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;

on_both_drivers! {
    prints_what_xargs_prints,
    order_of_the_lines_is_kept,
    outputs_are_not_mixed,
    line_is_put_where_the_braces_are,
    statuses_are_those_of_xargs,
    no_further_line_is_read_than_can_run,
    as_many_run_at_once_as_were_asked_for,
    signal_ends_the_commands,
    signal_is_the_end_of_what_is_printed,
    closed_output_ends_it_without_a_word,
    line_that_is_too_long_is_an_error,
}

fn parallel(driver: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parallel"));
    command.args(["--driver", driver]).args(arguments).env_remove("CORERING_DRIVER");
    command
}

/// Starts a command with a pipe for each of its standard streams.
fn piped(mut command: Command) -> Child {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Runs a command to its end with this input.
fn run(command: Command, input: &[u8]) -> Output {
    let mut child = piped(command);
    let (mut stdin, input) = (child.stdin.take().expect("it is piped"), input.to_vec());
    let writer = std::thread::spawn(move || {
        // It may end before it has read all.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("a child can be waited for");
    writer.join().expect("writing does not panic");
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sorted(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> = text(bytes).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn xargs(jobs: &str, command: &[&str]) -> Command {
    let mut xargs = Command::new("xargs");
    xargs.args(["-d", "\n", "-n", "1", "-P", jobs]).args(command);
    xargs
}

fn numbers(count: usize) -> Vec<u8> {
    (1..=count).map(|number| format!("{number}\n")).collect::<String>().into()
}

fn prints_what_xargs_prints(driver: &str) {
    let mut input = numbers(300);
    // An empty line, spaces, quotes, bytes that are not UTF-8, and no end of the last line.
    input.extend_from_slice(b"\n  two words \n\"quoted' \\\n-n\n\xff\xfe\nlast");
    let command = ["sh", "-c", "printf '<%s>\\n' \"$1\"", "sh"];
    let expected = run(xargs("4", &command), &input);
    for jobs in ["1", "4", "64"] {
        let arguments = [&["-P", jobs][..], &command].concat();
        let ours = run(parallel(driver, &arguments), &input);
        assert_eq!(text(&ours.stderr), "");
        assert_eq!(sorted(&ours.stdout), sorted(&expected.stdout), "with {jobs} at once");
        assert_eq!(ours.status.code(), Some(0));
    }
}

fn order_of_the_lines_is_kept(driver: &str) {
    // The first ones end last.
    let script = "test $1 -gt 3 || sleep 0.2; echo $1";
    let ours = parallel(driver, &["-P", "8", "--keep-order", "sh", "-c", script, "sh"]);
    let ours = run(ours, &numbers(100));
    assert_eq!(text(&ours.stdout), text(&numbers(100)), "{}", text(&ours.stderr));
}

/// Each prints more than is kept, some of it after the others have begun.
fn outputs_are_not_mixed(driver: &str) {
    let script = "for part in 1 2 3 4 5 6; do head -c 30000 /dev/zero | tr '\\0' $1; done; echo";
    for order in [&[][..], &["--keep-order"]] {
        let arguments = [order, &["-P", "5", "sh", "-c", script, "sh"]].concat();
        let ours = run(parallel(driver, &arguments), b"a\nb\nc\nd\ne\n");
        assert_eq!(text(&ours.stderr), "");
        let expected: Vec<_> = ["a", "b", "c", "d", "e"].map(|it| it.repeat(180_000)).into();
        assert!(sorted(&ours.stdout) == expected, "lines of several were mixed");
        assert!(order.is_empty() || text(&ours.stdout).lines().eq(&expected));
    }
}

fn line_is_put_where_the_braces_are(driver: &str) {
    let ours = parallel(driver, &["-P", "1", "echo", "<{}>", "and", "{}{}"]);
    assert_eq!(text(&run(ours, b"1\n2\n").stdout), "<1> and 11\n<2> and 22\n");
}

fn statuses_are_those_of_xargs(driver: &str) {
    let cases: [(&[&str], i32); 7] = [
        (&["true"], 0),
        (&["false"], 123),
        (&["sh", "-c", "test $1 != 2", "sh"], 123),
        (&["sh", "-c", "exit 255"], 124),
        (&["sh", "-c", "kill -9 $$"], 125),
        (&["/etc/passwd"], 126),
        (&["/there/is/no/such/program"], 127),
    ];
    for (command, status) in cases {
        let theirs = run(xargs("1", command), b"1\n2\n3\n");
        assert_eq!(theirs.status.code(), Some(status), "{command:?} by xargs");
        let ours = run(parallel(driver, &[&["-P", "1"], command].concat()), b"1\n2\n3\n");
        assert_eq!(ours.status.code(), Some(status), "{command:?}: {}", text(&ours.stderr));
        // What ends it is said once.
        let said = if status > 123 { 1 } else { 0 };
        assert_eq!(text(&ours.stderr).lines().count(), said, "{}", text(&ours.stderr));
    }
    let ours = run(parallel(driver, &["--no-such-flag"]), b"");
    assert_eq!(ours.status.code(), Some(2));
}

/// Commands that do not end by themselves.
struct Endless {
    example: Example,
    stdin: ChildStdin,
    /// Of the commands, all of which run.
    ids: Vec<u32>,
    /// Has the id of each further one that is started.
    stderr: Lines<BufReader<ChildStderr>>,
}

fn start_endless(driver: &str, jobs: usize) -> Endless {
    let jobs_text = jobs.to_string();
    let script = "echo $$ >&2; exec sleep 1000";
    let mut command = parallel(driver, &["-P", &jobs_text, "sh", "-c", script]);
    let mut child =
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let example = Example::of(child);
    stdin.write_all(&numbers(jobs)).expect("there is room");
    let ids = stderr
        .by_ref()
        .take(jobs)
        .map(|line| line.expect("it is text").parse().expect("the command prints a number"));
    let ids = ids.collect();
    Endless { example, stdin, ids, stderr }
}

/// An input without an end is read only as far as there is room for commands.
fn no_further_line_is_read_than_can_run(driver: &str) {
    let Endless { mut example, mut stdin, mut stderr, .. } = start_endless(driver, 2);
    fcntl_setfl(&stdin, OFlags::NONBLOCK).expect("the pipe is ours");
    let mut written = 0;
    let error = loop {
        match stdin.write(b"# a line that is long enough\n") {
            Ok(count) => written += count,
            Err(error) => break error,
        }
        assert!(written <= 256 * 1024, "it reads ahead without an end");
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    example.signal(Signal::TERM);
    assert_eq!(example.wait().code(), Some(143));
    assert!(stderr.next().is_none(), "a third one was started");
}

fn as_many_run_at_once_as_were_asked_for(driver: &str) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    // Each waits until all of five are there.
    let script = "touch $0/$1; while test $(ls $0 | wc -l) -lt 5; do sleep 0.01; done";
    let path = folder.path().to_str().expect("it is text");
    let ours = run(parallel(driver, &["-P", "5", "sh", "-c", script, path]), &numbers(5));
    assert_eq!(ours.status.code(), Some(0), "{}", text(&ours.stderr));
}

fn signal_ends_the_commands(driver: &str) {
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let Endless { mut example, stdin: _stdin, ids, .. } = start_endless(driver, 3);
        example.signal(signal);
        assert_eq!(example.wait().code(), Some(status));
        for id in ids {
            assert!(!fs::exists(format!("/proc/{id}")).expect("proc is mounted"), "{id} runs on");
        }
    }
}

/// What waits for the first command, which does not end, is not printed in its place.
fn signal_is_the_end_of_what_is_printed(driver: &str) {
    let script = "echo $0 >&2; test $0 = 1 && exec sleep 1000; echo $0";
    let command = parallel(driver, &["-P", "4", "--keep-order", "sh", "-c", script, "{}"]);
    let mut child = piped(command);
    child.stdin.take().expect("it is piped").write_all(&numbers(20)).expect("there is room");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    assert_eq!(stderr.by_ref().take(20).count(), 20);
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut example = Example::of(child);
    example.signal(Signal::TERM);
    assert_eq!(example.wait().code(), Some(143));
    assert!(stderr.next().is_none(), "it ends without a word");
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).expect("it is text");
    assert_eq!(printed, "");
}

fn closed_output_ends_it_without_a_word(driver: &str) {
    let command = parallel(driver, &["-P", "2", "echo"]);
    let mut child = piped(command);
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("it is piped");
    while stdin.write_all(b"line\n").is_ok() {}
    let output = child.wait_with_output().expect("a child can be waited for");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(141), String::new()));
}

fn line_that_is_too_long_is_an_error(driver: &str) {
    let ours = run(parallel(driver, &["true"]), &[b'x'; 200_000]);
    assert_eq!(ours.status.code(), Some(1));
    assert!(text(&ours.stderr).contains("standard input: the first 131072 bytes"));
}
