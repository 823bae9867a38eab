//! What is measured on servers that do as they should.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::load;
use crate::servers::{echo, echo_to, http, lines, ok, serve};

#[test]
fn every_shape_of_echo_load_expect_sound() {
    let address = echo().to_string();
    for options in [
        &["--connections=8"][..],
        &["--connections=2", "--depth=16", "--size=1000"],
        &["--connections=3", "--size=200000"],
        &["--connections=1", "--size=1", "--depth=3"],
        &["--connections=5", "--threads=2"],
        &["--connections=4", "--sources=3"],
        &["--connections=4", "--rate=500"],
        &["--connections=4", "--rate=500", "--arrivals=poisson", "--depth=2", "--threads=2"],
    ] {
        let run = load(&address, options).expect_sound();
        assert_eq!(run.text("protocol"), "echo");
        assert_eq!(run.text("verified"), "each message came back");
    }
}

#[test]
fn churn_opens_a_connection_for_each_request() {
    let run = load(&echo().to_string(), &["--churn", "--connections=4"]).expect_sound();
    // The first connection was there before.
    assert_eq!(run.json["connects"].as_u64(), Some(run.requests() - 1));
}

#[test]
fn a_unix_socket_is_loaded_as_a_port_is() {
    for (protocol, answer) in [
        ("echo", answer_by_echo as fn(UnixStream) -> io::Result<()>),
        ("line", answer_by_echo),
        ("http", answer_by_page),
    ] {
        let path = std::env::temp_dir().join(format!("corering-{protocol}-{}", std::process::id()));
        // A test of an earlier process with this id may have left it.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a path that is free");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("accepting works");
                thread::spawn(move || answer(stream));
            }
        });
        let target = format!("{protocol}://unix:{}", path.display());
        let run = load(&target, &["--connections=2"]).expect_sound();
        assert_eq!(run.text("protocol"), protocol);
        std::fs::remove_file(&path).expect("it was there");
    }
}

fn answer_by_echo(stream: UnixStream) -> io::Result<()> {
    io::copy(&mut &stream, &mut &stream).map(drop)
}

/// Answers what asks as one may ask on a socket that has no host.
fn answer_by_page(mut stream: UnixStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(request) = lines.next().transpose()? {
        assert_eq!(request, "GET / HTTP/1.1");
        assert_eq!(lines.next().transpose()?.as_deref(), Some("Host: localhost"));
        assert_eq!(lines.next().transpose()?.as_deref(), Some(""));
        stream.write_all(ok("", "hello").as_bytes())?;
    }
    Ok(())
}

#[test]
fn an_open_loop_starts_as_many_requests_as_the_rate_says() {
    let options = ["--rate=200", "--duration=500ms", "--connections=4"];
    let run = load(&echo().to_string(), &options).expect_sound();
    assert_eq!(run.requests(), 100);
    assert_eq!(run.text("loop"), "open");
}

#[test]
fn a_body_of_any_framing_is_compared_with_the_first_one() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    let address =
        http(
            usize::MAX,
            move |index| {
                if index % 2 == 0 { ok("", "hello") } else { chunked.to_owned() }
            },
        );
    let run =
        load(&format!("http://{address}/x"), &["--connections=3", "--depth=2"]).expect_sound();
    assert_eq!(run.text("verified"), "each body was that of the first answer, 5 bytes");
}

#[test]
fn a_connection_that_the_server_gives_up_as_announced_is_opened_again() {
    let address = http(4, |index| match index {
        3 => ok("Connection: close\r\n", "hello"),
        _ => ok("", "hello"),
    });
    for options in [&["--connections=2"][..], &["--connections=2", "--depth=4"], &["--churn"]] {
        let run = load(&format!("http://{address}/"), options).expect_sound();
        assert!(run.json["connects"].as_u64().expect("a count") > 0, "{options:?}");
    }
}

#[test]
fn lines_are_answered_by_themselves_or_by_the_same_line() {
    let options = ["--connections=3", "--depth=4"];
    let same = load(&format!("line://{}", lines(str::to_owned)), &options).expect_sound();
    assert_eq!(same.text("verified"), "each line came back");
    let ok = load(&format!("line://{}", lines(|_| "ok\n".to_owned())), &options).expect_sound();
    assert!(ok.text("verified").contains("\"ok\""), "{}", ok.text("verified"));
    let address = lines(|line| format!("{}!\n", line.trim_end()));
    let own =
        load(&format!("line://{address}"), &["--line=hello", "--connections=2"]).expect_sound();
    assert!(own.text("verified").contains("\"hello!\""), "{}", own.text("verified"));
}

#[test]
fn an_open_loop_charges_a_server_that_stops_for_all_that_was_due() {
    const STOP: Duration = Duration::from_millis(200);
    let start = Instant::now();
    let address = serve(move |stream| {
        let mut read = stream.try_clone()?;
        let mut buffer = [0; 64];
        loop {
            std::io::Read::read_exact(&mut read, &mut buffer)?;
            // All connections are stopped for the same part of each half second.
            let into = start.elapsed().as_millis() % 500;
            thread::sleep(STOP.saturating_sub(Duration::from_millis(into as u64)));
            std::io::Write::write_all(&mut &stream, &buffer)?;
        }
    });
    let options = ["--rate=200", "--duration=1s", "--connections=64"];
    let run = load(&address.to_string(), &options).expect_sound();
    // A fifth of the requests were due in the first half of a stop. This is no bound on the speed of
    // anything: it is what the server holds back.
    let p90_ns = run.json["latency_ns"]["p90"].as_u64().expect("a quantile");
    assert!(p90_ns >= 100_000_000, "{p90_ns} ns");
}

#[test]
fn the_search_for_a_knee_tells_what_it_tried() {
    let address = serve(echo_to).to_string();
    let options = ["--find-knee", "--p99-max=1h", "--rate=1000", "--connections=4"];
    // Nothing takes an hour, so the search ends where the rate cannot be reached.
    let run = load(&address, &options);
    assert_eq!(run.status, i32::from(run.verdict() != "valid"), "{}", run.errors);
    let steps = run.json["knee"]["steps"].as_array().expect("a list");
    assert_eq!(steps[0]["rate_per_second"], 1000.0);
    assert!(steps.len() > 1, "{steps:?}");
    // On a machine that is too busy even for this, no rate is.
    let knee = run.json["knee"]["rate_per_second"].as_f64();
    assert!(run.status == 1 || knee.is_some_and(|rate| rate >= 1000.0), "{}", run.json);
}
