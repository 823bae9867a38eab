//! Lines, and what ends with another byte, of streams of all kinds.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::pin;

use corering::Builder;
use corering::io::{Lend, OwnedWrite, duplex, lines, read_until};
use corering::net::UnixStream;
use corering::test_support::run_configured;
use corering::{spawn, yield_now};
use futures_util::{StreamExt, TryStreamExt};
use net::{POLICIES, Random, pattern, poll_once, tcp_pair};

/// Runs a body on both drivers with each receive policy.
fn with_each_policy<F: Future<Output = io::Result<()>>>(name: &str, body: impl Fn() -> F) {
    for policy in POLICIES {
        let configure = |builder: Builder| builder.receive_policy(policy);
        run_configured(&format!("{name}, {policy:?}"), None, configure, &body);
    }
}

/// Sends bytes in pieces of so many, and ends.
fn send<S: OwnedWrite + 'static>(mut stream: S, bytes: Vec<u8>, piece: usize) {
    drop(spawn(async move {
        for part in bytes.chunks(piece) {
            stream.write_all(part.to_vec()).await?;
            yield_now().await;
        }
        stream.shutdown().await
    }));
}

/// What `lines` has to give of bytes: lines, or `None` for one that is not text or too long.
fn expected(bytes: &[u8], len_max: usize) -> Vec<Option<String>> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (line, behind) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => (rest[..at].strip_suffix(b"\r").unwrap_or(&rest[..at]), &rest[at + 1..]),
            None => (rest, &[][..]),
        };
        let is_short = line.len() <= len_max;
        all.push(String::from_utf8(line.to_vec()).ok().filter(|_| is_short));
        rest = behind;
    }
    all
}

async fn gives_what_is_expected<S: Lend + OwnedWrite + 'static>(
    (one, other): (S, S),
    bytes: &[u8],
    piece: usize,
    len_max: usize,
) -> io::Result<()> {
    send(one, bytes.to_vec(), piece);
    let mut lines = lines(other).max_len(len_max);
    let mut given = Vec::new();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => given.push(Some(line)),
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
                given.push(None);
            }
        }
    }
    assert_eq!(given, expected(bytes, len_max), "in pieces of {piece}");
    assert!(lines.next_line().await?.is_none());
    Ok(())
}

async fn of_all_kinds(bytes: &[u8], piece: usize, len_max: usize) -> io::Result<()> {
    gives_what_is_expected(tcp_pair().await?, bytes, piece, len_max).await?;
    gives_what_is_expected(UnixStream::pair()?, bytes, piece, len_max).await?;
    gives_what_is_expected(duplex(7), bytes, piece, len_max).await
}

#[test]
fn lines_end_with_lf_or_crlf_or_the_stream() {
    with_each_policy("lines_end_with_lf_or_crlf_or_the_stream", || async {
        let texts = ["", "\n", "\r\n", "one\ntwo\r\n\n\r\nf\rive\n\r\r\nlast", "last\r", "äö\n"];
        for text in texts {
            for piece in [1, 2, 3, 100] {
                of_all_kinds(text.as_bytes(), piece, 100).await?;
            }
        }
        Ok(())
    });
}

#[test]
fn line_that_is_too_long_is_passed_over() {
    with_each_policy("line_that_is_too_long_is_passed_over", || async {
        let text = "12345\r\n123456\r\n12345\n123456\n12345678901234567890\nok\n1234567";
        for piece in [1, 3, 100] {
            of_all_kinds(text.as_bytes(), piece, 5).await?;
            of_all_kinds(text.as_bytes(), piece, 0).await?;
            of_all_kinds(text.as_bytes(), piece, usize::MAX).await?;
        }
        Ok(())
    });
}

#[test]
fn garbage_gives_lines_or_errors_and_then_the_rest() {
    with_each_policy("garbage_gives_lines_or_errors_and_then_the_rest", || async {
        let mut random = Random(3);
        let mut garbage: Vec<u8> = (0..20_000).map(|_| random.next() as u8).collect();
        garbage.extend_from_slice(b"\ntext\r\nmore");
        of_all_kinds(&garbage, 999, 300).await?;
        of_all_kinds(&garbage, 20_011, 64 * 1024).await
    });
}

#[corering::test]
async fn huge_line_is_refused_and_costs_no_memory() -> io::Result<()> {
    let (mut one, other) = tcp_pair().await?;
    let sender = spawn(async move {
        let mut piece = vec![b'x'; 1 << 20];
        for _ in 0..64 {
            piece = one.write_all(piece).await?;
        }
        one.write_all("\nnext\n").await?;
        one.close().await
    });
    let mut lines = lines(other);
    let error = lines.next_line().await.expect_err("it is longer than 64 KiB");
    assert_eq!(error.to_string(), "a line is longer than 65536 bytes");
    assert_eq!(lines.next_line().await?.as_deref(), Some("next"));
    assert!(lines.next_line().await?.is_none());
    sender.await.expect("it does not panic")
}

#[corering::test]
async fn lines_are_a_stream_that_ends() -> io::Result<()> {
    let (mut one, mut other) = UnixStream::pair()?;
    one.write_all("a\nb\n\nc").await?;
    one.close().await?;
    let mut stream = lines(&mut other).fuse();
    let all: Vec<_> = stream.by_ref().try_collect().await?;
    assert_eq!(all, ["a", "b", "", "c"]);
    assert!(stream.next().await.is_none());
    Ok(())
}

#[test]
fn what_follows_stays_with_the_stream() {
    with_each_policy("what_follows_stays_with_the_stream", || async {
        let (mut one, mut other) = tcp_pair().await?;
        one.write_all("HTTP\r\nhost: x\r\n\r\nbody, key=value;rest").await?;
        let mut head = lines(&mut other);
        assert_eq!(head.next_line().await?.as_deref(), Some("HTTP"));
        assert_eq!(head.next_line().await?.as_deref(), Some("host: x"));
        assert_eq!(head.next_line().await?.as_deref(), Some(""));
        drop(head);
        let body = other.read_exact(Vec::with_capacity(6), 6).await?;
        assert_eq!(body, b"body, ");
        assert_eq!(read_until(&mut other, b'=', 4).await?, b"key=");
        assert_eq!(read_until(&mut other, b';', 100).await?, b"value;");
        one.close().await?;
        assert_eq!(read_until(&mut other, b';', 100).await?, b"rest");
        assert_eq!(read_until(&mut other, b';', 100).await?, b"");
        Ok(())
    });
}

#[corering::test]
async fn read_until_gives_up_after_so_many_bytes() -> io::Result<()> {
    let (mut one, mut other) = duplex(3);
    send_some(&mut one, "ab").await?;
    drop(spawn(async move {
        one.write_all("cdef;").await?;
        io::Result::Ok(one)
    }));
    let error = read_until(&mut other, b';', 6).await.expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "the first 6 bytes are without a byte 0x3b");
    // All of it is still there.
    assert_eq!(read_until(&mut other, b';', 7).await?, b"abcdef;");
    Ok(())
}

async fn send_some<S: OwnedWrite>(stream: &mut S, text: &'static str) -> io::Result<()> {
    stream.write_all(text).await?;
    Ok(())
}

#[test]
fn dropped_reads_of_lines_lose_no_byte() {
    with_each_policy("dropped_reads_of_lines_lose_no_byte", || async {
        let (one, mut other) = tcp_pair().await?;
        let text: String = (0..2000).map(|number| format!("line {number}\n")).collect();
        send(one, text.clone().into_bytes(), 101);
        let mut random = Random(5);
        let mut received = String::new();
        let mut by_lines = false;
        while received.len() < text.len() {
            by_lines = !by_lines;
            let polls = random.below(3) + 1;
            for _ in 0..polls {
                let polled = match by_lines {
                    true => {
                        let mut lines = lines(&mut other);
                        let polled = poll_once(&mut pin!(lines.next_line())).await;
                        polled.map_ok(|line| line.map(|line| line + "\n").unwrap_or_default())
                    }
                    false => {
                        let mut read = pin!(read_until(&mut other, b'\n', 100));
                        let polled = poll_once(&mut read).await;
                        polled.map_ok(|line| String::from_utf8(line).expect("it is ASCII"))
                    }
                };
                match polled {
                    std::task::Poll::Ready(line) => received += &line?,
                    std::task::Poll::Pending => yield_now().await,
                }
            }
        }
        assert_eq!(received, text);
        Ok(())
    });
}

#[corering::test]
async fn many_short_lines_of_one_receive_leave_others_their_turn() -> io::Result<()> {
    let (mut one, mut other) = tcp_pair().await?;
    one.write_all(vec![b'\n'; 20_000]).await?;
    let polls = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = polls.clone();
    let beside = spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    let mut lines = lines(&mut other);
    for _ in 0..10_000 {
        assert_eq!(lines.next_line().await?.as_deref(), Some(""));
    }
    beside.abort();
    assert!(polls.get() > 10_000 / 256, "{} polls beside 10,000 lines", polls.get());
    Ok(())
}

#[corering::test]
async fn error_in_a_line_leaves_the_line_to_the_next_call() -> io::Result<()> {
    use std::task::{Context, Poll};
    /// Fails once after the first bytes.
    struct Flaky(Vec<io::Result<corering::buf::RecvBuf>>);
    impl Lend for Flaky {
        fn poll_lend(&mut self, _: &mut Context<'_>) -> Poll<io::Result<corering::buf::RecvBuf>> {
            Poll::Ready(self.0.pop().unwrap_or_else(|| Ok(Vec::new().into())))
        }

        fn put_back(&mut self, bytes: corering::buf::RecvBuf) {
            if !bytes.is_empty() {
                self.0.push(Ok(bytes));
            }
        }
    }
    let parts = vec![Ok(pattern(0).into()), Ok(b"ne\n".to_vec().into())];
    let mut flaky = Flaky(parts);
    flaky.0.push(Err(ErrorKind::ConnectionReset.into()));
    flaky.0.push(Ok(b"o".to_vec().into()));
    let mut lines = lines(flaky);
    let error = lines.next_line().await.expect_err("the stream fails");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(lines.next_line().await?.as_deref(), Some("one"));
    Ok(())
}
