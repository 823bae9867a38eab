//! The measuring programs themselves: that each server echoes, and that the client does not
//! overlook what is wrong with one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

use corering::{Driver, test_support};

fn paired(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_corering-bench");
    Command::new(program)
        .arg("paired")
        .args(arguments)
        .output()
        .expect("cargo built it for this test")
}

fn echo_load(address: SocketAddr) -> Output {
    let program = env!("CARGO_BIN_EXE_echo_load");
    let target = format!("--addr={address}");
    let arguments = ["rounds", &target, "--connections=2", "--rounds=3", "--size=100"];
    Command::new(program).args(arguments).output().expect("cargo built it for this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The servers that can run on the drivers that this test run is about.
fn servers() -> Vec<&'static str> {
    let drivers = test_support::drivers();
    let mut servers = vec!["tokio", "raw-epoll"];
    if drivers.contains(&Driver::Epoll) {
        servers.push("epoll");
    }
    if drivers.contains(&Driver::Uring) {
        servers.extend(["uring", "raw-uring"]);
    }
    servers
}

/// Runs one short round with all servers; the client verifies every byte.
fn all_echo(options: &[&str]) {
    let servers = servers().join(",");
    let mut arguments = vec!["--servers", &servers, "--rounds=1", "--slice-ms=10"];
    // A machine may have no second CPU.
    arguments.extend(["--server-cpu=0", "--client-cpu=0"]);
    arguments.extend(options);
    let output = paired(&arguments);
    assert!(output.status.success(), "{options:?}: {}", text(&output.stderr));
    let table = text(&output.stdout);
    for server in servers.split(',') {
        assert!(table.lines().any(|line| line.starts_with(server)), "no {server} in\n{table}");
    }
}

#[test]
fn every_server_echoes_small_messages() {
    all_echo(&["--cells=8x1"]);
}

#[test]
fn every_server_echoes_messages_larger_than_any_buffer() {
    all_echo(&["--cells=4x600000"]);
}

#[test]
fn every_server_echoes_on_more_connections_than_it_has_buffers() {
    all_echo(&["--cells=400x20000"]);
}

#[test]
fn every_server_echoes_over_unix_sockets() {
    all_echo(&["--cells=8x5000", "--unix"]);
}

#[test]
fn the_first_server_stands_twice_in_the_table() {
    let servers = "--servers=tokio,raw-epoll";
    let output = paired(&[servers, "--rounds=2", "--slice-ms=5", "--server-cpu=0"]);
    let table = text(&output.stdout);
    assert!(table.contains("tokio again"), "{table}\n{}", text(&output.stderr));
}

#[test]
fn a_server_that_cannot_start_is_named() {
    let output = paired(&["--servers=tokio", "--rounds=1", "--server-cpu=1000000"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("tokio: the server did not start to listen"));
}

#[test]
fn deny_uring_refuses_io_uring_and_nothing_else() {
    let run = |driver| {
        let program = env!("CARGO_BIN_EXE_deny-uring");
        let mut command = Command::new(program);
        command.args([
            env!("CARGO_BIN_EXE_corering-bench"),
            "paired",
            "--rounds=1",
            "--slice-ms=5",
        ]);
        command.args(["--server-cpu=0", "--client-cpu=0", "--cells=2x64", "--servers", driver]);
        command.output().expect("cargo built it for this test")
    };
    assert!(run("epoll").status.success());
    let refused = run("uring");
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("seccomp"), "{}", text(&refused.stderr));
}

/// Serves each connection on a thread, by `answer`, until it returns false.
fn serve(answer: fn(&mut [u8]) -> bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepting works");
            thread::spawn(move || {
                let mut buffer = [0; 100];
                while stream.read_exact(&mut buffer).is_ok() && answer(&mut buffer) {
                    // The client may have given up on us, which is the point of some tests.
                    let _ = stream.write_all(&buffer);
                }
            });
        }
    });
    address
}

#[test]
fn the_client_counts_what_came_back() {
    let output = echo_load(serve(|_| true));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "6\n");
}

#[test]
fn the_client_sees_a_wrong_byte() {
    let output = echo_load(serve(|message| {
        message[57] ^= 1;
        true
    }));
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("other bytes than it sent"));
}

#[test]
fn the_client_sees_a_server_that_closes() {
    let output = echo_load(serve(|_| false));
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("was closed by the server"));
}
