//! What is said of servers that do not do as they should: each fault has its own verdict.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::thread;

use corering::{Driver, test_support};
use corering_bench::process::ServerProcess;

use crate::servers::{echo, echo_then, end_by_reset, http, lines, ok, stay_silent};
use crate::{bench, load, text};

/// Ends early, by the fault that is looked for.
const BRIEF: &[&str] = &["--connections=2", "--duration=30s"];

/// The same, for servers that say nothing.
const SILENT: &[&str] = &["--connections=2", "--duration=30s", "--timeout=1s"];

#[test]
fn a_server_that_stops_answering_is_named() {
    let address = echo_then(3, |stream, _| stay_silent(stream));
    let run = load(&address.to_string(), SILENT).expect_invalid("server stopped answering");
    assert!(run.text("detail").contains("of 2 connections"), "{}", run.text("detail"));
    assert!(run.requests() <= 6, "{}", run.json);
}

#[test]
fn a_server_that_stops_answering_is_named_in_an_open_loop_too() {
    let address = echo_then(3, |stream, _| stay_silent(stream));
    let options = [SILENT, &["--rate=1000"]].concat();
    load(&address.to_string(), &options).expect_invalid("server stopped answering");
}

#[test]
fn a_reset_is_named() {
    let address = echo_then(3, |stream, _| end_by_reset(stream));
    load(&address.to_string(), BRIEF).expect_invalid("connection reset");
}

#[test]
fn a_connection_closed_between_two_answers_is_named() {
    let address = echo_then(3, |stream, _| stream.shutdown(Shutdown::Both));
    load(&address.to_string(), BRIEF).expect_invalid("connection closed");
}

#[test]
fn an_answer_that_ends_early_is_short() {
    let address = echo_then(3, |stream, message| {
        stream.write_all(&message[..63])?;
        stream.shutdown(Shutdown::Write)?;
        stay_silent(stream)
    });
    load(&address.to_string(), BRIEF).expect_invalid("short answer");
}

#[test]
fn an_answer_whose_end_never_comes_is_told_with_what_came() {
    let address = echo_then(3, |stream, message| {
        stream.write_all(&message[..63])?;
        stay_silent(stream)
    });
    let run = load(&address.to_string(), SILENT).expect_invalid("server stopped answering");
    assert!(run.text("detail").contains("63 bytes"), "{}", run.text("detail"));
}

#[test]
fn each_mode_of_the_faulty_server_has_its_own_verdict() {
    for driver in drivers() {
        for (mode, verdict) in [
            (&["stall", "5"][..], "server stopped answering"),
            (&["reset", "5"], "connection reset"),
            (&["short", "5"], "short answer"),
            (&["wrong", "5"], "wrong answer"),
            (&["close-after", "5"], "connection closed"),
        ] {
            let server = faulty(driver, mode);
            for target in [format!("echo://{server}"), format!("http://{server}/")] {
                let run = load(&target, SILENT).expect_invalid(verdict);
                assert!(run.requests() >= 5, "{driver} {mode:?}: {}", run.json);
            }
        }
        let server = faulty(driver, &["slow", "--pause=20ms"]);
        let options = ["--connections=2", "--duration=200ms"];
        let run = load(&format!("http://{server}/"), &options).expect_sound();
        let p50_ns = run.json["latency_ns"]["p50"].as_u64().expect("a quantile");
        assert!(p50_ns >= 20_000_000, "the server waits longer than {p50_ns} ns");
    }
}

fn drivers() -> impl Iterator<Item = &'static str> {
    test_support::drivers().into_iter().map(|driver| match driver {
        Driver::Uring => "uring",
        _ => "epoll",
    })
}

/// A server that ends with this.
struct Faulty(ServerProcess);

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.address().fmt(f)
    }
}

fn faulty(driver: &str, mode: &[&str]) -> Faulty {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corering-bench"));
    command.args(["serve", "--workload=faulty", "--driver", driver, "--mode"]).args(mode);
    Faulty(ServerProcess::start(command).expect("it listens"))
}

#[test]
fn a_wrong_byte_is_named() {
    let address = echo_then(3, |stream, message| {
        message[63] ^= 1;
        stream.write_all(message)?;
        stay_silent(stream)
    });
    load(&address.to_string(), BRIEF).expect_invalid("wrong answer");
}

#[test]
fn an_answer_that_is_too_long_is_wrong() {
    let address = echo_then(3, |stream, message| {
        stream.write_all(&[&*message, b"more"].concat())?;
        stay_silent(stream)
    });
    load(&address.to_string(), BRIEF).expect_invalid("wrong answer");
}

#[test]
fn an_error_status_is_named() {
    let error = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let address =
        http(usize::MAX, move |index| if index < 3 { ok("", "hello") } else { error.to_owned() });
    let run = load(&format!("http://{address}/"), BRIEF).expect_invalid("error status");
    assert!(run.text("detail").contains("503"), "{}", run.text("detail"));
}

#[test]
fn a_body_that_changes_is_wrong() {
    let address = http(usize::MAX, |index| ok("", if index < 3 { "hello" } else { "hellO" }));
    load(&format!("http://{address}/"), BRIEF).expect_invalid("wrong answer");
}

#[test]
fn a_body_that_ends_early_is_short() {
    let address = http(4, |index| match index {
        3 => ok("", "hello").trim_end_matches("lo").to_owned(),
        _ => ok("", "hello"),
    });
    load(&format!("http://{address}/"), BRIEF).expect_invalid("short answer");
}

#[test]
fn what_is_no_http_is_wrong() {
    let address = lines(|_| "ok\n".to_owned());
    load(&format!("http://{address}/"), BRIEF).expect_invalid("wrong answer");
}

#[test]
fn a_line_that_changes_is_wrong() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let address = lines(move |_| {
        let count = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if count < 10 { "ok\n".to_owned() } else { "no\n".to_owned() }
    });
    load(&format!("line://{address}"), BRIEF).expect_invalid("wrong answer");
}

#[test]
fn nobody_listening_is_no_measurement() {
    // A port that was free a moment ago, and is not given out again at once.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
    let address = address.expect("a free port").to_string();
    for options in [&["load", &address][..], &["load", &address, "--churn", "--rate=10"]] {
        let output = bench(options);
        assert_eq!(output.status.code(), Some(3));
        let errors = text(&output.stderr);
        assert!(errors.contains("connection refused: is the server running"), "{errors}");
    }
}

#[test]
fn a_server_that_goes_away_in_the_middle_refuses_the_next_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut message = [0; 64];
        for _ in 0..20 {
            let (mut stream, _) = listener.accept().expect("accepting works");
            stream.read_exact(&mut message).expect("a message");
            stream.write_all(&message).expect("a connection");
        }
    });
    let options = ["--connections=1", "--churn", "--duration=30s"];
    let run = load(&address.to_string(), &options);
    // Whoever stands in the queue of a listener that closes is reset.
    let ends = ["invalid: connection refused", "invalid: connection reset"];
    assert!(ends.contains(&run.verdict()), "{}", run.json);
    assert_eq!((run.status, run.requests()), (1, 20));
}

#[test]
fn a_server_that_is_behind_the_rate_does_not_reach_it() {
    // One request in 50 ms, for 2 s of 100 in a second.
    let address = echo_then(1000, |_, _| Ok(()));
    let slow = crate::servers::serve(move |mut stream| {
        let mut message = [0; 64];
        let mut behind = std::net::TcpStream::connect(address)?;
        loop {
            stream.read_exact(&mut message)?;
            thread::sleep(std::time::Duration::from_millis(50));
            behind.write_all(&message)?;
            behind.read_exact(&mut message)?;
            stream.write_all(&message)?;
        }
    });
    let options = ["--connections=1", "--rate=100", "--duration=1s"];
    load(&slow.to_string(), &options).expect_invalid("rate not reached");
}

#[test]
fn more_connections_than_descriptors_are_refused_before_the_first_one() {
    let address = echo();
    let program = env!("CARGO_BIN_EXE_corering-bench");
    let command = format!("ulimit -n 64 && exec {program} load {address} --connections 100");
    let output = Command::new("sh").args(["-c", &command]).output().expect("a shell");
    assert_eq!(output.status.code(), Some(3));
    let errors = text(&output.stderr);
    for part in ["64 (RLIMIT_NOFILE)", "ulimit -Hn 117", "`merge`"] {
        assert!(errors.contains(part), "no {part} in {errors}");
    }
}

#[test]
fn what_makes_no_sense_is_bad_usage() {
    for arguments in [
        &["load"][..],
        &["load", "ftp://x"],
        &["load", "127.0.0.1:1", "--connections=0"],
        &["load", "127.0.0.1:1", "--connections=1", "--threads=2"],
        &["load", "127.0.0.1:1", "--churn", "--depth=2"],
        &["load", "127.0.0.1:1", "--rate=0"],
        &["load", "127.0.0.1:1", "--rate=fast"],
        &["load", "127.0.0.1:1", "--duration=0s"],
        &["load", "127.0.0.1:1", "--duration=10"],
        &["load", "127.0.0.1:1", "--find-knee"],
        &["load", "[::1]:1", "--sources=2"],
    ] {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty());
    }
}
