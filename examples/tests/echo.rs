//! Echoes over TCP and Unix sockets, on both drivers and several shards.

mod common;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Command;

use common::{DEADLINE, Example, connect, run_to_end};
use rustix::process::Signal;

on_both_drivers! {
    bytes_come_back_in_order,
    many_clients_are_echoed_at_once,
    a_unix_socket_is_echoed_and_removed,
    a_port_in_use_is_an_error,
}

fn command(driver: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo"));
    command.args(["--driver", driver]).env_remove("CORERING_DRIVER");
    command
}

fn start(driver: &str, flags: &[&str]) -> Example {
    let mut command = command(driver);
    command.args(flags);
    Example::start(command)
}

/// Sends `bytes` and reads until the end, which comes when all were echoed.
fn echo(mut stream: impl Read + Write + Send, bytes: &[u8], end: impl FnOnce()) {
    stream.write_all(bytes).expect("the server receives");
    end();
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed).expect("the server sends");
    assert!(echoed == bytes, "{} of {} bytes came back", echoed.len(), bytes.len());
}

fn bytes_come_back_in_order(driver: &str) {
    let mut example = start(driver, &["--addr", "127.0.0.1:0"]);
    let address = example.address();
    // Small enough for the sockets' buffers, since nothing is read before all is written.
    for length in [0, 1, 1000, 50_000] {
        let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let stream = connect(address);
        let half = stream.try_clone().unwrap();
        echo(stream, &bytes, || half.shutdown(Shutdown::Write).unwrap());
    }
    example.signal(Signal::TERM);
    assert_eq!(example.wait().code(), Some(0));
}

fn many_clients_are_echoed_at_once(driver: &str) {
    let mut example = start(driver, &["--addr", "127.0.0.1:0", "--shards", "2"]);
    let address = example.address();
    let mut clients: Vec<_> = (0..200).map(|_| connect(address)).collect();
    for round in 0..10_u8 {
        for client in &mut clients {
            client.write_all(&[round; 100]).unwrap();
        }
        for client in &mut clients {
            let mut echoed = [0; 100];
            client.read_exact(&mut echoed).unwrap();
            assert_eq!(echoed, [round; 100]);
        }
    }
    // They are still connected, and do not hold it up.
    example.signal(Signal::INT);
    assert_eq!(example.wait().code(), Some(0));
}

fn a_unix_socket_is_echoed_and_removed(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    let mut example = start(driver, &["--unix", path.to_str().unwrap()]);
    assert_eq!(example.line(), format!("listening on {}", path.display()));
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let half = stream.try_clone().unwrap();
    echo(stream, b"hello", || half.shutdown(Shutdown::Write).unwrap());

    let (status, error) = {
        let mut second = command(driver);
        second.arg("--unix").arg(&path);
        run_to_end(second)
    };
    assert_eq!(status, Some(1));
    assert!(error.contains(&*path.to_string_lossy()), "{error}");
    example.signal(Signal::TERM);
    assert_eq!(example.wait().code(), Some(0));
    assert!(!path.exists());
}

fn a_port_in_use_is_an_error(driver: &str) {
    let first = start(driver, &["--addr", "127.0.0.1:0", "--shards", "2"]);
    let address = first.address().to_string();
    for shards in ["1", "2"] {
        let mut second = command(driver);
        second.args(["--addr", &address, "--shards", shards]);
        let (status, error) = run_to_end(second);
        assert_eq!(status, Some(1));
        assert!(error.contains(&address) && error.contains("in use"), "{error}");
    }
}

#[test]
fn without_an_address_the_command_line_is_wrong() {
    assert_eq!(run_to_end(command("auto")).0, Some(2));
}
