//! Connections through the proxy, on both drivers, by curl and by sockets of the standard library.

mod common;
#[path = "../../benches/tests/common/programs.rs"]
mod programs;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use common::{DEADLINE, Example, connect};
use programs::is_left_out;
use rustix::process::Signal;

on_both_drivers! {
    pages_come_through_to_curl,
    one_side_ends_before_the_other,
    client_of_a_server_that_is_not_there_sees_the_end,
    clients_end_before_the_proxy_does,
    proxy_outlives_a_lack_of_descriptors,
}

fn command(driver: &str, to: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcp_proxy"));
    command.args(["--driver", driver, "--addr", "127.0.0.1:0", "--to", &to.to_string()]);
    command.env_remove("CORERING_DRIVER");
    command
}

/// A listener of this test's.
fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is up");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("the proxy connects");
    stream.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
    stream
}

fn pages_come_through_to_curl(driver: &str) {
    if is_left_out("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..20_000_000_u32).map(|number| (number / 7) as u8).collect();
    fs::write(folder.path().join("large"), &large).unwrap();
    fs::write(folder.path().join("small"), "small\n").unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_static_server"));
    server.args(["--driver", driver, "--addr", "127.0.0.1:0", "--root"]).arg(folder.path());
    let server = Example::start(server);
    let mut proxy = command(driver, server.address());
    proxy.args(["--shards", "2"]);
    let mut proxy = Example::start(proxy);
    let address = proxy.address();
    let urls = ["small", "large", "small"].map(|name| format!("http://{address}/{name}"));
    let mut curl = Command::new("curl");
    let output = curl.args(["-sS", "--fail", "--max-time", "60"]).args(urls).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == [b"small\n", &large[..], b"small\n"].concat());
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
}

fn one_side_ends_before_the_other(driver: &str) {
    let (listener, to) = server();
    let proxy = Example::start(command(driver, to));
    let address = proxy.address();
    for client_first in [true, false] {
        let client = connect(address);
        let server = accept(&listener);
        let (mut first, mut second) =
            if client_first { (client, server) } else { (server, client) };
        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        let mut question = String::new();
        second.read_to_string(&mut question).unwrap();
        assert_eq!(question, "question");
        second.write_all(b"answer").unwrap();
        drop(second);
        let mut answer = String::new();
        first.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    }
}

fn client_of_a_server_that_is_not_there_sees_the_end(driver: &str) {
    let (listener, to) = server();
    drop(listener);
    let mut proxy = command(driver, to);
    let mut proxy = Example::start({
        proxy.stderr(Stdio::null());
        proxy
    });
    let address = proxy.address();
    for _ in 0..3 {
        assert_eq!(connect(address).read(&mut [0; 1]).unwrap(), 0);
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
}

fn clients_end_before_the_proxy_does(driver: &str) {
    let (listener, to) = server();
    let mut proxy = command(driver, to);
    proxy.args(["--shutdown-timeout", "60"]);
    let mut proxy = Example::start(proxy);
    let address = proxy.address();
    let mut client = connect(address);
    let mut server = accept(&listener);
    client.write_all(b"before").unwrap();
    server.read_exact(&mut [0; 6]).unwrap();
    // Until the signal has come, others are let in, and leave again.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    proxy.signal(Signal::TERM);
    while TcpStream::connect_timeout(&address, DEADLINE).is_ok() {}
    // Nobody else is let in, and those who are in go on.
    server.write_all(b"after").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    drop(server);
    assert_eq!(proxy.wait().code(), Some(0));
}

fn proxy_outlives_a_lack_of_descriptors(driver: &str) {
    let (listener, to) = server();
    let proxy = command(driver, to);
    // Some clients find no descriptor for the other side, and others none for their own.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 24; exec \"$0\" \"$@\""]).arg(proxy.get_program());
    limited.args(proxy.get_args()).env_remove("CORERING_DRIVER").stderr(Stdio::null());
    let mut proxy = Example::start(limited);
    let address = proxy.address();
    let clients: Vec<_> = (0..40).map(|_| connect(address)).collect();
    // As many as there are descriptors for have a server.
    let first = accept(&listener);
    drop(clients);
    drop(first);
    // All of them leave, and then there is room.
    let echo = std::thread::spawn(move || {
        loop {
            let mut stream = accept(&listener);
            let mut byte = [0; 1];
            if stream.read(&mut byte).is_ok_and(|count| count == 1) {
                stream.write_all(&byte).expect("the client is there");
                return;
            }
        }
    });
    let mut client = connect(address);
    client.write_all(b"x").unwrap();
    let mut byte = [0; 1];
    while client.read(&mut byte).unwrap_or(0) == 0 {
        // The proxy had no descriptor for the other side yet.
        client = connect(address);
        client.write_all(b"x").unwrap();
    }
    assert_eq!(byte, *b"x");
    echo.join().expect("it does not panic");
    drop(client);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
}
