//! Streams in memory, copies and lines whose bytes never end.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use corering::buf::RecvBuf;
use corering::io::{
    DuplexStream, Lend, OwnedRead, OwnedWrite, PipeReader, copy, copy_bidirectional, duplex, lines,
    pipe, read_until,
};
use corering::net::TcpStream;
use corering::process::{Command, CommunicateError, Stdio};

use crate::beside::Beside;
use crate::net_rows::{drained, fed};

/// A stream that ends after so many receives, and goes on when it is asked again.
struct Parts {
    stream: TcpStream,
    left: Rc<Cell<usize>>,
}

impl Lend for Parts {
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        if self.left.get() == 0 {
            return Poll::Ready(Ok(Vec::new().into()));
        }
        let polled = self.stream.poll_lend(cx);
        if polled.is_ready() {
            self.left.set(self.left.get() - 1);
        }
        polled
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        self.stream.put_back(bytes);
    }
}

/// Children whose output never ends by itself.
pub(crate) async fn communicates(beside: &Beside) {
    const ENOUGH: usize = 1 << 20;
    let endless = || {
        let mut command = Command::new("yes");
        command.stdout(Stdio::piped());
        command
    };
    let is_limit = |ended: Result<_, CommunicateError>| {
        assert!(matches!(ended, Err(error) if error.stdout.len() == ENOUGH));
    };
    beside
        .endless("process::communicate::communicate", async move || {
            let child = endless().spawn().await.expect("yes is everywhere");
            is_limit(child.communicate("").max_output(ENOUGH).await.map(drop));
        })
        .await;
    beside
        .endless("process::communicate::wait_with_output", async move || {
            let child = endless().spawn().await.expect("yes is everywhere");
            is_limit(child.wait_with_output().max_output(ENOUGH).await.map(drop));
        })
        .await;
    beside
        .endless("process::communicate::output", async move || {
            is_limit(endless().output().max_output(ENOUGH).await.map(drop));
        })
        .await;
    beside
        .endless("process::communicate::status", async move || {
            let status = Command::new("true").status().await;
            assert!(status.expect("true is everywhere").success());
        })
        .await;
}

pub(crate) async fn rows(beside: &Beside) {
    in_memory(beside).await;
    copies(beside).await;
    delimited(beside).await;
    pipes(beside).await;
}

async fn in_memory(beside: &Beside) {
    let (mut one, mut other) = duplex(100);
    beside
        .endless("io::duplex, write and read", async move || {
            one.write_all("x").await.expect("the reader is there");
            other.read(Vec::with_capacity(1)).await.expect("it was written");
        })
        .await;
    let (mut one, mut other) = duplex(100);
    beside
        .endless("io::duplex, lend", async move || {
            one.write_all("x").await.expect("the reader is there");
            other.lend().await.expect("it was written");
        })
        .await;
    let (mut one, _other) = duplex(100);
    beside
        .endless("io::duplex, flush", async move || {
            one.flush().await.expect("the reader is there");
        })
        .await;
    let mut ended = duplex(100).0;
    beside
        .endless("io::duplex, shutdown", async move || {
            ended.shutdown().await.expect("it may end twice");
        })
        .await;
    let mut stream = drained().await;
    beside
        .endless("a stream's flush and shutdown", async move || {
            stream.flush().await.expect("the peer is there");
        })
        .await;
}

async fn copies(beside: &Beside) {
    // Of nothing, of single receives, and of what is far from ending in one poll.
    let mut ended = duplex(1).0;
    let mut to = duplex(1);
    beside
        .endless("io::copy::copy", async move || {
            assert_eq!(copy(&mut ended, &mut to.0).await.expect("nothing is written"), 0);
        })
        .await;
    for receives in [1, 50] {
        let left = Rc::new(Cell::new(0));
        let mut from = Parts { stream: fed().await, left: left.clone() };
        let mut to = drained().await;
        beside
            .endless("io::copy::copy", async move || {
                left.set(receives);
                assert!(copy(&mut from, &mut to).await.expect("both are there") > 0);
            })
            .await;
    }
    beside
        .endless("io::copy::copy_bidirectional", async move || {
            let [mut one, mut other]: [DuplexStream; 2] = [duplex(1).0, duplex(1).0];
            let copied = copy_bidirectional(&mut one, &mut other).await;
            assert_eq!(copied.expect("both have ended"), (0, 0));
        })
        .await;
}

async fn delimited(beside: &Beside) {
    let mut stream = fed().await;
    beside
        .endless("io::lines::read_until", async move || {
            assert_eq!(read_until(&mut stream, 7, 100).await.expect("the peer is there"), [7]);
        })
        .await;
    let (mut one, other) = duplex(1 << 20);
    one.write_all(vec![b'\n'; 1 << 20]).await.expect("there is room");
    let mut lines = lines(other);
    beside
        .endless("io::lines::next_line", async move || {
            if lines.next_line().await.expect("the peer is there").is_none() {
                unreachable!("the peer is there");
            }
            let _ = &one;
        })
        .await;
}

async fn pipes(beside: &Beside) {
    let zeroes = || {
        let file = std::fs::File::open("/dev/zero").expect("it is there");
        PipeReader::from(OwnedFd::from(file))
    };
    for row in ["recv", "read", "read_exact", "write", "write_all"] {
        let (mut reader, mut writer) = pipe().expect("descriptors are free");
        let name = match row {
            "recv" => "io::pipe::reader::recv",
            "read" => "io::pipe::reader::read",
            "read_exact" => "io::pipe::reader::read_exact",
            "write" => "io::pipe::writer::write",
            _ => "io::pipe::writer::write_all",
        };
        beside
            .endless(name, async move || {
                match row {
                    "write" => drop(writer.write("x").await.expect("it is read")),
                    _ => drop(writer.write_all("x").await.expect("it is read")),
                }
                match row {
                    "read" => drop(reader.read(Vec::with_capacity(1)).await.expect("it is there")),
                    "read_exact" => {
                        reader.read_exact(Vec::with_capacity(1), 1).await.expect("it is there");
                    }
                    _ => assert_eq!(reader.recv().await.expect("it is there"), "x"),
                }
            })
            .await;
    }
    let mut always = zeroes();
    beside
        .endless("io::pipe::reader::recv", async move || {
            assert!(!always.recv().await.expect("it is open").is_empty());
        })
        .await;
    let mut ended = pipe().expect("descriptors are free").0;
    beside
        .endless("io::pipe::reader::recv", async move || {
            assert!(ended.recv().await.expect("it is open").is_empty());
        })
        .await;
    beside
        .endless("io::pipe::reader::into_parts", async move || {
            let (reader, _writer) = pipe().expect("descriptors are free");
            reader.into_parts().await.expect("the runtime is here");
        })
        .await;
    beside
        .endless("io::pipe::writer::into_fd", async move || {
            let (_reader, writer) = pipe().expect("descriptors are free");
            writer.into_fd().await.expect("the runtime is here");
        })
        .await;
    beside
        .endless("io::pipe::writer::close", async move || {
            let (_reader, writer) = pipe().expect("descriptors are free");
            writer.close().await.expect("the runtime is here");
        })
        .await;
}
