//! A served folder, the server in front of it, and a client that sends raw bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::common::{Example, connect};

/// A folder with files, served by a process of its own.
pub(crate) struct Server {
    pub(crate) root: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) example: Example,
}

impl Server {
    /// Serves a new folder in which `fill` puts the files.
    pub(crate) fn start(driver: &str, flags: &[&str], fill: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        fill(root.path());
        let mut command = command();
        command.args(["--addr", "127.0.0.1:0", "--driver", driver]).args(flags);
        command.arg("--root").arg(root.path());
        Self::of(command, driver, root)
    }

    /// Starts `command`, which serves `root`.
    pub(crate) fn of(command: Command, driver: &str, root: TempDir) -> Self {
        let example = Example::start(command);
        let address = example.address();
        let expected = format!("serving {} on {driver}", root.path().display());
        assert_eq!(example.line(), expected);
        Self { root, address, example }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::to(self.address)
    }

    /// The answer to GET of `target` on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Response {
        self.get_with(target, "")
    }

    /// The same with more header lines, each with its line end.
    pub(crate) fn get_with(&self, target: &str, lines: &str) -> Response {
        let mut client = self.connect();
        client.send(&format!("GET {target} HTTP/1.1\r\nHost: test\r\n{lines}\r\n"));
        client.response()
    }
}

/// The server's program, without any flag.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_static_server"));
    command.env_remove("CORERING_DRIVER");
    command
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { stream: connect(address), unread: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).expect("the server takes the request");
    }

    /// Reads one response with its content.
    pub(crate) fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// Reads the response to a request of `method`: that to HEAD has no content.
    pub(crate) fn response_to(&mut self, method: &str) -> Response {
        self.try_response(method).expect("the server answers")
    }

    /// The next response, or none if the server closes the connection before its first byte.
    pub(crate) fn try_response(&mut self, method: &str) -> Option<Response> {
        let head_bytes = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.receive() == 0 {
                assert!(self.unread.is_empty(), "the head of the response is whole");
                return None;
            }
        };
        let content = self.unread.split_off(head_bytes);
        let head = String::from_utf8(std::mem::replace(&mut self.unread, content))
            .expect("heads are text");
        let status = head[9..12].parse().expect("a status is a number");
        let mut response = Response { status, head, content: Vec::new() };
        if method != "HEAD" && status != 304 {
            let length = response.field("Content-Length").expect("the content has a length");
            let length: usize = length.parse().expect("a length is a number");
            while self.unread.len() < length {
                assert_ne!(self.receive(), 0, "the content is whole");
            }
            let rest = self.unread.split_off(length);
            response.content = std::mem::replace(&mut self.unread, rest);
        }
        Some(response)
    }

    /// Whether the server has closed the connection, after which nothing comes.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.receive() == 0
    }

    fn receive(&mut self) -> usize {
        let mut piece = [0; 64 * 1024];
        let count = self.stream.read(&mut piece).expect("the server sends or closes");
        self.unread.extend_from_slice(&piece[..count]);
        count
    }
}

/// A response as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) content: Vec<u8>,
}

impl Response {
    /// The value of a header field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.content).expect("the content is text")
    }
}

/// Bytes that differ from place to place, so that any that are lost, doubled or moved are noticed.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Makes a file that is long and takes no room.
pub(crate) fn write_sparse(path: &Path, bytes: u64) {
    let file = std::fs::File::create(path).expect("the file can be made");
    file.set_len(bytes).expect("the length can be set");
}
