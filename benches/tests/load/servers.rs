//! Servers to be loaded, on threads of the test.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Serves each connection on a thread of its own, as long as the test runs.
pub(crate) fn serve(
    answer: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("accepting works");
            stream.set_nodelay(true).expect("a TCP stream");
            let answer = answer.clone();
            // The client may have given up on us, which is the point of some tests.
            thread::spawn(move || drop(answer(stream)));
        }
    });
    address
}

/// Sends back what comes.
pub(crate) fn echo() -> SocketAddr {
    serve(echo_to)
}

pub(crate) fn echo_to(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count])?;
    }
}

/// Answers the first `correct` messages of 64 bytes of each connection, and then by `then`, which
/// has just read the next one.
pub(crate) fn echo_then(
    correct: usize,
    then: impl Fn(&mut TcpStream, &mut [u8]) -> io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    serve(move |mut stream| {
        let mut message = [0; 64];
        for _ in 0..correct {
            stream.read_exact(&mut message)?;
            stream.write_all(&message)?;
        }
        stream.read_exact(&mut message)?;
        then(&mut stream, &mut message)
    })
}

/// Holds a connection open without a word until the other end closes it.
pub(crate) fn stay_silent(stream: &mut TcpStream) -> io::Result<()> {
    io::copy(stream, &mut io::sink()).map(drop)
}

/// Lets the stream end by a reset when it is dropped.
pub(crate) fn end_by_reset(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(&stream.as_fd()).set_linger(Some(Duration::ZERO))
}

/// Answers each line by `answer`.
pub(crate) fn lines(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    serve(move |mut stream| {
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            stream.write_all(answer(&line).as_bytes())?;
            line.clear();
        }
        Ok(())
    })
}

/// Answers the requests of each connection, counted from 0, by `answer`; after the last of
/// `requests`, closes.
pub(crate) fn http(
    requests: usize,
    answer: impl Fn(usize) -> String + Send + Sync + 'static,
) -> SocketAddr {
    serve(move |mut stream| {
        let mut heads = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        for index in 0..requests {
            while line != "\r\n" {
                line.clear();
                if heads.read_line(&mut line)? == 0 {
                    return Ok(());
                }
            }
            line.clear();
            stream.write_all(answer(index).as_bytes())?;
        }
        // Requests that were sent ahead are read, or they would make a reset of the close.
        stream.shutdown(Shutdown::Write)?;
        stay_silent(&mut stream)
    })
}

/// An answer with this body.
pub(crate) fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}
