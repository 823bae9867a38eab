//! The measuring programs themselves: that the client does not overlook what is wrong with a
//! server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

fn echo_load(address: SocketAddr) -> Output {
    let program = env!("CARGO_BIN_EXE_echo_load");
    let target = format!("--addr={address}");
    let arguments = ["rounds", &target, "--connections=2", "--rounds=3", "--size=100"];
    Command::new(program).args(arguments).output().expect("cargo built it for this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
    // A busy machine may make the measurement invalid, which is status 1.
    assert!(matches!(run("epoll").status.code(), Some(0 | 1)));
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
