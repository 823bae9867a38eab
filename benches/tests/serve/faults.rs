//! What `--workload faulty` does wrong, as a client sees it, over echo and over HTTP.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corering_bench::server::body;

use crate::support::{Server, bytes, refused, servers};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
const SIZE: usize = 64;

/// The drivers that serve faulty.
fn drivers() -> impl Iterator<Item = &'static str> {
    servers().into_iter().filter(|driver| matches!(*driver, "uring" | "epoll"))
}

/// A protocol: what is asked, and the whole answer.
fn protocols() -> [(Vec<u8>, Vec<u8>); 2] {
    let mut page = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {SIZE}\r\n\r\n"
    )
    .into_bytes();
    page.extend(body(SIZE));
    [(bytes(SIZE, 1), bytes(SIZE, 1)), (GET.to_vec(), page)]
}

fn ask(stream: &mut TcpStream, request: &[u8], answer: &[u8]) {
    stream.write_all(request).expect("the server reads");
    let mut got = vec![0; answer.len()];
    stream.read_exact(&mut got).expect("a whole answer");
    assert!(got == answer, "another answer");
}

/// Meets each fault after two right answers, and hands over what the third one is like.
fn on_each(mode: &[&str], check: impl Fn(&mut TcpStream, &[u8], &[u8])) {
    for driver in drivers() {
        let options = ["--workload=faulty", "--mode"].into_iter().chain(mode.iter().copied());
        let server = Server::start(driver, options);
        for (request, answer) in protocols() {
            let mut stream = server.connect();
            (0..2).for_each(|_| ask(&mut stream, &request, &answer));
            stream.write_all(&request).expect("the server reads");
            check(&mut stream, &request, &answer);
        }
        assert!(server.end().0["requests"] >= 6);
    }
}

#[test]
fn close_after_ends_where_an_answer_should_begin() {
    on_each(&["close-after", "2"], |stream, _, _| {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an end in order");
        assert!(rest.is_empty(), "{rest:?}");
    });
}

#[test]
fn short_ends_in_the_middle_of_an_answer() {
    on_each(&["short", "2"], |stream, _, answer| {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an end in order");
        assert!(!rest.is_empty() && rest.len() < answer.len(), "{} bytes", rest.len());
        assert!(answer.starts_with(&rest), "what came is right");
    });
}

#[test]
fn reset_breaks_off() {
    on_each(&["reset", "2"], |stream, _, answer| {
        let mut got = vec![0; answer.len()];
        let error = stream.read_exact(&mut got).expect_err("no whole answer");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    });
}

#[test]
fn wrong_changes_one_bit_of_one_answer_and_goes_on() {
    on_each(&["wrong", "2"], |stream, request, answer| {
        let mut got = vec![0; answer.len()];
        stream.read_exact(&mut got).expect("an answer of the right length");
        let bits: u32 = got.iter().zip(answer).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(bits, 1);
        ask(stream, request, answer);
    });
}

#[test]
fn stall_falls_silent_and_stays_open() {
    on_each(&["stall", "2"], |stream, _, answer| {
        let mut got = vec![0; answer.len()];
        let half = stream.read(&mut got).expect("the beginning of an answer");
        assert!(half < answer.len());
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a positive time");
        let error = stream.read(&mut got).expect_err("silence");
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    });
}

#[test]
fn slow_answers_are_right() {
    on_each(&["slow", "--pause=20ms"], |stream, _, answer| {
        let mut got = vec![0; answer.len()];
        stream.read_exact(&mut got).expect("a whole answer");
        assert!(got == answer, "another answer");
    });
}

#[test]
fn a_server_that_stops_now_and_then_answers_right_and_late_in_that_time() {
    for driver in drivers() {
        let stall = ["--workload=faulty", "--mode=stall", "--stall=200ms", "--every=1s"];
        let server = Server::start(driver, stall);
        for (request, answer) in protocols() {
            let mut stream = server.connect();
            let deadline = Instant::now() + Duration::from_secs(60);
            // As soon as one answer has taken as long as the server stops, or nearly.
            loop {
                let asked = Instant::now();
                ask(&mut stream, &request, &answer);
                if asked.elapsed() > Duration::from_millis(150) {
                    break;
                }
                assert!(Instant::now() < deadline, "{driver} never stopped");
            }
        }
    }
}

#[test]
fn faults_that_make_no_sense_are_bad_usage() {
    for arguments in [
        &["--workload=faulty"][..],
        &["--workload=faulty", "--mode=nonsense"],
        &["--workload=faulty", "--mode=close-after"],
        &["--workload=faulty", "--mode", "short", "many"],
        &["--workload=faulty", "--mode=stall", "--stall=2s", "--every=1s"],
        &["--workload=faulty", "--mode=stall", "--stall=2s"],
        &["--workload=faulty", "--mode=wrong", "--driver=tokio"],
        &["--workload=echo", "--mode=wrong"],
    ] {
        let (status, text) = refused(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {text}");
        assert!(!text.trim().is_empty(), "{arguments:?} is refused without a word");
    }
}
