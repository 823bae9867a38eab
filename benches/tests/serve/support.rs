//! Servers as processes, and what a plain client does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use corering::{Driver, test_support};
use corering_bench::server::Counters;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_corering-bench");

/// A client that waits longer has met a server that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The servers that can run on the drivers that this test run is about.
pub(crate) fn servers() -> Vec<&'static str> {
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

/// The ways of receiving that a server knows, as arguments.
pub(crate) fn receives(server: &str) -> Vec<Option<&'static str>> {
    match server {
        "uring" | "raw-uring" => vec![
            Some("--receive=adaptive"),
            Some("--receive=completion"),
            Some("--receive=notification"),
        ],
        _ => vec![None],
    }
}

/// The ways of reading that a server knows in a workload, as arguments: lent buffers, those with a
/// limit in time, and its own with room for a message or for a part of one.
pub(crate) fn reads(server: &str, workload: &str) -> &'static [&'static [&'static str]] {
    let is_echo = ["--workload=echo", "--workload=churn", "--workload=idle"].contains(&workload);
    match server {
        "uring" | "epoll" if is_echo => {
            &[&["--read=lent"], &["--limit=1h"], &["--read=owned"], &["--read=owned", "--room=50"]]
        }
        "tokio" if is_echo => &[&[], &["--limit=1h"]],
        _ => &[&[]],
    }
}

pub(crate) struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server with options such as `--workload=http`.
    pub(crate) fn start<'a>(driver: &str, options: impl IntoIterator<Item = &'a str>) -> Server {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--driver", driver]).args(options);
        Server::of(command)
    }

    /// Starts a server by a command of its own.
    pub(crate) fn of(mut command: Command) -> Server {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was built for this test");
        let mut output = BufReader::new(child.stdout.take().expect("it was asked for as a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("the pipe can be read");
        let address = line.trim_end().strip_prefix("listening on ").expect("it says where");
        let address = address.parse().expect("it listens on TCP");
        Server { child, output, address }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a positive time");
        stream.set_nodelay(true).expect("it is TCP");
        stream
    }

    /// Asks the server to end as a person would, and reads its last line.
    pub(crate) fn end(mut self) -> Counters {
        corering_bench::os::send_signal(self.child.id(), libc::SIGTERM).expect("it is alive");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the pipe can be read");
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "{status}");
        Counters::of_line(&line).unwrap_or_else(|| panic!("`{line}` has no counters"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `serve` to its end, which is to be a refusal.
pub(crate) fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(PROGRAM)
        .arg("serve")
        .args(arguments)
        .output()
        .expect("cargo built it for this test");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn bytes(count: usize, seed: u8) -> Vec<u8> {
    (0..count).map(|place| (place / 7) as u8 ^ seed ^ (place as u8).wrapping_mul(31)).collect()
}

/// Sends a message while it reads what comes back, so that neither side waits for the other.
pub(crate) fn echoed(stream: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().expect("descriptors are left");
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(message).expect("the server reads"));
        let mut back = vec![0; message.len()];
        stream.read_exact(&mut back).expect("every byte comes back");
        back
    })
}

/// Reads one answer: its head and its body.
pub(crate) fn answer(stream: &mut impl BufRead) -> (String, Vec<u8>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).expect("a head of text"), 0, "ended in `{head}`");
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.parse().ok())
        .expect("a length");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("the whole body");
    (head, body)
}
