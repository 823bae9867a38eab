//! How the server starts, refuses to start, and ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::common::{Example, connect, run_to_end};
use crate::on_both_drivers;
use crate::support::{Client, Server, command, pattern, write_sparse};

on_both_drivers! {
    signals_end_it_with_status_0,
    a_signal_while_shards_start_ends_them_all,
    requests_under_way_are_answered_before_the_end,
    clients_that_stop_reading_cannot_prevent_the_end,
    output_that_cannot_be_written_ends_nothing,
    a_missing_root_is_an_error,
    a_root_that_goes_away_is_404,
    a_port_in_use_is_an_error,
    an_address_of_another_machine_is_an_error,
}

fn signals_end_it_with_status_0(driver: &str) {
    for (signal, shards) in [(Signal::TERM, "1"), (Signal::INT, "2")] {
        let mut server = Server::start(driver, &["--shards", shards], |root| {
            fs::write(root.join("f"), "here").unwrap();
        });
        // An idle connection and half a request do not hold it up.
        let (mut idle, mut half) = (server.connect(), server.connect());
        idle.send("GET /f HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(idle.response().text(), "here");
        half.send("GET /f HTTP");
        server.example.signal(signal);
        assert_eq!(server.example.wait().code(), Some(0));
        assert!(idle.is_closed());
    }
}

fn a_signal_while_shards_start_ends_them_all(driver: &str) {
    // One shard says that the server listens; the other may not have begun.
    for _ in 0..20 {
        let mut server = Server::start(driver, &["--shards", "2"], |_| {});
        server.example.signal(Signal::TERM);
        assert_eq!(server.example.wait().code(), Some(0));
    }
}

fn requests_under_way_are_answered_before_the_end(driver: &str) {
    let mut server = Server::start(driver, &[], |root| {
        fs::write(root.join("f"), pattern(100_000)).unwrap();
    });
    let (answered, address) = (AtomicU32::new(0), server.address);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::to(address);
                loop {
                    // The connection may be closed between two requests, never within an answer:
                    // `try_response` panics at one that is cut short.
                    let sent = client.stream.write_all(b"GET /f HTTP/1.1\r\nHost: x\r\n\r\n");
                    if sent.is_err() || client.stream.peek(&mut [0]).is_err() {
                        break;
                    }
                    let Some(response) = client.try_response("GET") else { break };
                    assert!(response.content == pattern(100_000));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 100 {
            std::thread::yield_now();
        }
        server.example.signal(Signal::TERM);
    });
    assert_eq!(server.example.wait().code(), Some(0));
}

fn clients_that_stop_reading_cannot_prevent_the_end(driver: &str) {
    let mut server = Server::start(driver, &["--shutdown-timeout", "0.2"], |root| {
        write_sparse(&root.join("large"), 1 << 30);
    });
    let mut stalled: Vec<_> = (0..20).map(|_| connect(server.address)).collect();
    for client in &mut stalled {
        client.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        client.read_exact(&mut [0]).expect("the answer begins");
    }
    server.example.signal(Signal::TERM);
    assert_eq!(server.example.wait().code(), Some(0));
}

fn output_that_cannot_be_written_ends_nothing(driver: &str) {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("f"), "here").unwrap();
    // It cannot say where it listens. The address is this test's own, so its port stays free.
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let host = Ipv4Addr::new(127, if driver == "uring" { 2 } else { 3 }, high, low | 1);
    let free = TcpListener::bind((host, 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let full = || fs::File::create("/dev/full").unwrap();
    let (reader, without_reader) = std::io::pipe().unwrap();
    drop(reader);
    let outputs: [(Stdio, Stdio); 2] = [
        (full().into(), full().into()),
        (without_reader.try_clone().unwrap().into(), without_reader.into()),
    ];
    for (output, errors) in outputs {
        let mut server = command();
        server.args(["--addr", &address.to_string(), "--driver", driver]);
        server.arg("--root").arg(root.path()).stdout(output).stderr(errors);
        let mut server = Example::of(server.spawn().unwrap());
        // There is nothing to wait for but the listener.
        while TcpStream::connect(address).is_err() {
            assert!(server.is_running(), "the server listens");
            std::thread::yield_now();
        }
        let mut client = Client::to(address);
        client.send("GET /f HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().text(), "here");
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
    }
}

fn a_root_that_goes_away_is_404(driver: &str) {
    let mut server = Server::start(driver, &[], |root| fs::write(root.join("f"), "here").unwrap());
    fs::remove_dir_all(server.root.path()).unwrap();
    for target in ["/missing", "/f/g", "/folder/"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    assert!(matches!(server.get("/").status, 200 | 404));
    server.example.signal(Signal::TERM);
    assert_eq!(server.example.wait().code(), Some(0));
}

fn a_missing_root_is_an_error(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (missing, file) = (folder.path().join("missing"), folder.path().join("file"));
    fs::write(&file, "x").unwrap();
    for root in [missing, file] {
        let mut server = command();
        server.args(["--addr", "127.0.0.1:0", "--driver", driver]).arg("--root").arg(&root);
        let (status, error) = run_to_end(server);
        assert_eq!(status, Some(1), "{error}");
        assert!(error.contains(&*root.to_string_lossy()), "{error}");
    }
}

fn a_port_in_use_is_an_error(driver: &str) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for shards in ["1", "2"] {
        let mut server = command();
        server.args(["--root", ".", "--addr", &address, "--driver", driver, "--shards", shards]);
        let (status, error) = run_to_end(server);
        assert_eq!(status, Some(1), "{error}");
        assert!(error.contains(&address) && error.contains("in use"), "{error}");
    }
}

fn an_address_of_another_machine_is_an_error(driver: &str) {
    // Of a block for documentation (RFC 5737).
    for shards in ["1", "2"] {
        let mut server = command();
        server.args([
            "--root",
            ".",
            "--addr",
            "192.0.2.1:0",
            "--driver",
            driver,
            "--shards",
            shards,
        ]);
        let (status, error) = run_to_end(server);
        assert_eq!(status, Some(1), "{error}");
        assert!(error.contains("192.0.2.1:0") && !error.contains("panicked"), "{error}");
    }
}

#[test]
fn a_wrong_command_line_is_an_error_of_its_own() {
    for flags in [
        &["--addr", "nowhere"][..],
        &["--driver", "kqueue"],
        &["--shards", "0"],
        &["--max-connections", "0"],
        &["--idle-timeout", "-1"],
        &["--write-timeout", "1e30"],
        &["--unknown"],
    ] {
        let mut server = command();
        server.args(["--root", "."]).args(flags);
        let (status, error) = run_to_end(server);
        assert_eq!(status, Some(2), "{flags:?}: {error}");
        assert!(error.contains(flags[0]), "{flags:?}: {error}");
    }
}

#[test]
fn help_explains_every_flag() {
    let output = command().arg("--help").output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in [
        "--root",
        "--addr",
        "--driver",
        "--shards",
        "--max-connections",
        "--header-timeout",
        "--idle-timeout",
        "--write-timeout",
        "--shutdown-timeout",
    ] {
        assert!(help.contains(flag), "{help}");
    }
}
