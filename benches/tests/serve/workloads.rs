//! What each workload answers, on every server and in every way of receiving.

use std::io::{BufReader, Read, Write};
use std::net::Shutdown;

use corering_bench::server::body;

use crate::programs::is_left_out;
use crate::support::{Server, answer, bytes, echoed, reads, receives, servers};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";

/// Runs `check` on each server, in each of its ways of receiving and of reading.
fn on_each(workload: &str, options: &[&str], check: impl Fn(&str, Server)) {
    for driver in servers() {
        for receive in receives(driver) {
            for read in reads(driver, workload) {
                let ways = receive.iter().chain(*read).copied().chain([workload]);
                check(driver, Server::start(driver, options.iter().copied().chain(ways)));
            }
        }
    }
}

/// What every server counts at its end, and those that can, of system calls.
fn check_counters(driver: &str, server: Server, requests: u64) {
    let counters = server.end().0;
    assert_eq!(counters["requests"], requests, "{driver}: {counters:?}");
    match counters.get("system_calls") {
        Some(calls) => assert!(*calls > 0, "{driver} made no call: {counters:?}"),
        None => assert_eq!(driver, "tokio"),
    }
}

#[test]
fn echo_sends_back_small_and_large_messages() {
    on_each("--workload=echo", &["--size=1000"], |driver, server| {
        let mut streams: Vec<_> = (0..3).map(|_| server.connect()).collect();
        for (seed, length) in [(1, 1000), (2, 300_000), (3, 1000)] {
            for stream in &mut streams {
                let message = bytes(length, seed);
                assert!(echoed(stream, &message) == message, "{driver} sent other bytes back");
            }
        }
        // So many times 1,000 bytes, whatever the pieces they came in.
        check_counters(driver, server, 3 * (1 + 300 + 1));
    });
}

#[test]
fn a_stream_that_changes_its_sizes_again_and_again_loses_nothing() {
    on_each("--workload=echo", &["--size=1000"], |driver, server| {
        let mut stream = server.connect();
        for round in 0..3 {
            for length in [20_000, 65_536].into_iter().chain([10; 150]) {
                let message = bytes(length, round);
                assert!(echoed(&mut stream, &message) == message, "{driver} sent other bytes back");
            }
        }
    });
}

#[test]
fn churn_serves_connections_that_come_and_go() {
    on_each("--workload=churn", &["--size=64"], |driver, server| {
        for seed in 0..50 {
            let mut stream = server.connect();
            let message = bytes(64, seed);
            assert!(echoed(&mut stream, &message) == message, "{driver} sent other bytes back");
        }
        check_counters(driver, server, 50);
    });
}

#[test]
fn idle_connections_are_served_when_they_wake() {
    on_each("--workload=idle", &["--size=64"], |driver, server| {
        let mut streams: Vec<_> = (0..100).map(|_| server.connect()).collect();
        for stream in streams.iter_mut().step_by(33) {
            let message = bytes(64, 9);
            assert!(echoed(stream, &message) == message, "{driver} sent other bytes back");
        }
        check_counters(driver, server, 4);
    });
}

#[test]
fn a_peer_that_ends_its_side_gets_the_rest_and_then_the_end() {
    on_each("--workload=echo", &[], |driver, server| {
        let mut stream = server.connect();
        stream.write_all(b"last words").expect("the server reads");
        stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("the server ends it in order");
        assert_eq!(back, b"last words", "{driver}");
    });
}

/// Asks for pages one by one, pipelined and in pieces.
fn check_pages(workload: &str, size: usize) {
    let options = format!("--size={size}");
    let expected = body(size);
    on_each(workload, &[&options], |driver, server| {
        let stream = server.connect();
        let mut requests = stream.try_clone().expect("descriptors are left");
        let mut answers = BufReader::new(stream);
        let mut expect = |count| {
            for _ in 0..count {
                let (head, got) = answer(&mut answers);
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{driver}: {head}");
                assert!(got == expected, "{driver}: another body");
            }
        };
        requests.write_all(GET).expect("the server reads");
        expect(1);
        requests.write_all(&GET.repeat(20)).expect("the server reads");
        expect(20);
        for byte in GET {
            requests.write_all(&[*byte]).expect("the server reads");
        }
        expect(1);
        check_counters(driver, server, 22);
    });
}

#[test]
fn http_answers_one_by_one_pipelined_and_in_pieces() {
    check_pages("--workload=http", 100);
}

#[test]
fn http_answers_with_bodies_larger_than_a_socket_takes() {
    check_pages("--workload=http", 700_000);
}

#[test]
fn proxy_passes_every_byte_on_and_back() {
    let behind = Server::start("raw-epoll", ["--workload=echo"]);
    let to = format!("--to={}", behind.address);
    for driver in servers().into_iter().filter(|driver| !driver.starts_with("raw")) {
        let server = Server::start(driver, ["--workload=proxy", "--size=1000", &to]);
        let mut stream = server.connect();
        for (seed, length) in [(1, 1000), (2, 300_000), (3, 1000)] {
            let message = bytes(length, seed);
            assert!(echoed(&mut stream, &message) == message, "{driver} sent other bytes back");
        }
        stream.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(stream.read(&mut [0; 1]).expect("the end comes through"), 0);
        check_counters(driver, server, 1 + 300 + 1);
    }
}

#[test]
fn hyper_answers_one_by_one_pipelined_and_in_pieces() {
    check_pages("--workload=hyper", 13);
}

#[test]
fn hyper_answers_with_bodies_larger_than_a_socket_takes() {
    check_pages("--workload=hyper", 700_000);
}

#[test]
fn file_answers_one_by_one_pipelined_and_in_pieces() {
    check_pages("--workload=file", 1000);
}

#[test]
fn file_answers_with_bodies_larger_than_a_socket_takes() {
    check_pages("--workload=file", 700_001);
}

#[test]
fn a_log_answers_each_line_once_it_is_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = format!("--dir={}", folder.path().display());
    on_each("--workload=log", &["--group=3", &dir], |driver, server| {
        let mut streams: Vec<_> = (0..4).map(|_| server.connect()).collect();
        let mut expected = std::collections::BTreeMap::new();
        for round in 0..5 {
            // One whole line, then ten of which the last one comes in two parts.
            for (number, stream) in streams.iter_mut().enumerate() {
                let text: String =
                    (0..11).map(|line| format!("{number} {round} {line}\n")).collect();
                let (first, second) = text.split_at(text.len() - 4);
                stream.write_all(first.as_bytes()).expect("the server reads");
                stream.write_all(second.as_bytes()).expect("the server reads");
                text.lines().for_each(|line| {
                    expected.insert(line.to_owned(), 1);
                });
            }
            for stream in &mut streams {
                let mut answers = [0; 3 * 11];
                stream.read_exact(&mut answers).expect("an answer for each line");
                assert_eq!(&answers[..], "ok\n".repeat(11).as_bytes(), "{driver}");
            }
            // Read by another than the server, after its answers.
            let log = std::fs::read_to_string(folder.path().join("log-0")).expect("a log");
            let mut found = std::collections::BTreeMap::new();
            log.lines().for_each(|line| *found.entry(line.to_owned()).or_insert(0) += 1);
            assert_eq!(found, expected, "{driver}");
        }
        check_counters(driver, server, 4 * 5 * 11);
    });
}

#[test]
fn http_refuses_other_pages_and_ends_when_asked() {
    on_each("--workload=http", &[], |driver, server| {
        for (request, status, body) in [
            ("GET /other HTTP/1.1\r\n\r\n", "404", 0),
            ("POST / HTTP/1.1\r\n\r\n", "405", 0),
            ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "200", 64),
        ] {
            let mut stream = server.connect();
            stream.write_all(request.as_bytes()).expect("the server reads");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("the server ends it in order");
            let head = String::from_utf8_lossy(&all);
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{driver}: {head}");
            let end = all.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
            assert_eq!(all.len() - end, body, "{driver}: {head}");
        }
    });
}

#[test]
fn http_answers_curl() {
    if is_left_out("curl") {
        return;
    }
    on_each("--workload=http", &["--size=5000"], |driver, server| {
        let url = format!("http://{}/", server.address);
        let curl = std::process::Command::new("curl")
            .args(["--silent", "--show-error", &url, &url])
            .output()
            .expect("curl is there: scripts/test installs it");
        assert!(curl.status.success(), "{driver}: {curl:?}");
        assert!(curl.stdout == body(5000).repeat(2), "{driver} sent curl another body");
    });
}

/// Asks for much, takes none of it and goes, several times; then somebody asks for `expected`.
fn leave_early(workload: &str, request: &[u8], ask: &[u8], expected: &[u8]) {
    on_each(workload, &["--size=500000"], |driver, server| {
        for round in 0..20 {
            let mut stream = server.connect();
            // The server may have seen the end of it before it has read all.
            let _ = stream.write_all(&request[..request.len() - round % 3]);
            if round % 2 == 0 {
                // Closed with something unread, a connection is reset.
                let _ = stream.read(&mut [0]);
            }
        }
        let mut stream = server.connect();
        stream.write_all(ask).expect("the server reads");
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).expect("the server goes on");
        assert!(got == expected, "{driver} sent something else");
        server.end();
    });
}

#[test]
fn clients_that_leave_early_take_nothing_from_others() {
    let echo = bytes(100_000, 3);
    leave_early("--workload=echo", &echo, b"hello", b"hello");
    let ok = b"HTTP/1.1 200 OK\r\n";
    leave_early("--workload=http", &GET.repeat(10), GET, ok);
    leave_early("--workload=file", &GET.repeat(10), GET, ok);
    leave_early("--workload=log", &b"a line\n".repeat(500), b"one\ntwo\n", b"ok\nok\n");
}

#[test]
fn several_shards_share_a_port_and_add_up_their_counters() {
    if corering_bench::os::allowed_cpus().expect("Linux tells").len() < 2 {
        let (status, text) = crate::support::refused(&["--shards=2"]);
        assert_eq!(status, Some(2), "{text}");
        return;
    }
    on_each("--workload=http", &["--shards=2"], |driver, server| {
        for _ in 0..20 {
            let mut stream = server.connect();
            stream.write_all(GET).expect("the server reads");
            assert!(answer(&mut BufReader::new(&mut stream)).1 == body(64), "{driver}");
        }
        check_counters(driver, server, 20);
    });
}

#[test]
fn a_handicap_costs_cpu_time_per_request() {
    on_each("--workload=http", &["--handicap=3ms"], |driver, server| {
        let clock = corering_bench::os::CpuClock::of(server.id()).expect("it is alive");
        let before = clock.now().expect("it is alive");
        let mut stream = server.connect();
        stream.write_all(&GET.repeat(10)).expect("the server reads");
        let mut answers = BufReader::new(&mut stream);
        (0..10).for_each(|_| assert!(answer(&mut answers).1 == body(64), "{driver}"));
        let spent = clock.now().expect("it is alive") - before;
        assert!(spent.as_millis() >= 30, "{driver} spent {spent:?}");
    });
}

/// The disk rests before the first message and works while they come.
#[test]
fn mixed_echoes_while_it_reads_the_disk() {
    // Where cargo builds there is a disk, which a folder for temporary files need not be.
    let folder = concat!("--dir=", env!("CARGO_TARGET_TMPDIR"));
    for driver in servers().into_iter().filter(|driver| !driver.starts_with("raw-")) {
        let options = ["--workload=mixed", "--size=100", "--disk-depth=4", folder];
        let idle = Server::start(driver, options);
        // Many, since a read that one of them set off would have to end to be counted.
        for _ in 0..100 {
            let mut silent = idle.connect();
            silent.shutdown(Shutdown::Write).expect("it is connected");
            assert_eq!(silent.read(&mut [0]).expect("the server closes"), 0, "{driver}");
        }
        assert_eq!(idle.end().0["disk_reads"], 0, "{driver} read for nobody");

        let server = Server::start(driver, options);
        let mut stream = server.connect();
        let read_bytes = || {
            let path = format!("/proc/{}/io", server.id());
            let told = std::fs::read_to_string(path).expect("it is alive");
            let read = told.lines().find_map(|line| line.strip_prefix("read_bytes: "));
            read.expect("the kernel tells").parse::<u64>().expect("a number")
        };
        // The program itself may have to be read, too: so much is not of that.
        let enough = read_bytes() + (4 << 20);
        let mut messages = 0;
        while messages < 50 || (read_bytes() < enough && messages < 100_000) {
            let message = bytes(100, messages as u8);
            assert!(echoed(&mut stream, &message) == message, "{driver} sent other bytes back");
            messages += 1;
        }
        let counters = server.end().0;
        assert_eq!(counters["requests"], messages, "{driver}: {counters:?}");
        assert!(counters["disk_reads"] > 0, "{driver}: {counters:?}");
    }
}
