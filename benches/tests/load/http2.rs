//! HTTP/2: what is measured on servers that do as they should, and what is said of others.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use h2::server::{Builder, SendResponse};
use hyper::Response;
use hyper::body::Bytes;

use crate::servers::{http, ok, serve, stay_silent};
use crate::{bench, load, text};

type Answer = SendResponse<Bytes>;
type Connection = h2::server::Connection<tokio::net::TcpStream, Bytes>;

/// Gives each connection to `answer`, on a thread of its own.
fn serve_http2<F>(
    builder: Builder,
    answer: impl Fn(Connection) -> F + Send + Sync + 'static,
) -> String
where
    F: Future<Output = Result<(), h2::Error>>,
{
    let answer = Arc::new(answer);
    let address: SocketAddr = serve(move |stream| {
        // What this server allows it tells only now: a client has to bear that.
        stream.peek(&mut [0])?;
        stream.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (builder, answer) = (builder.clone(), answer.clone());
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let connection = builder.handshake(stream).await.map_err(io::Error::other)?;
            answer(connection).await.map_err(io::Error::other)
        })
    });
    format!("http://{address}/page")
}

/// Answers every request as soon as it is there.
async fn answer_all(mut connection: Connection) -> Result<(), h2::Error> {
    while let Some(request) = connection.accept().await {
        let (request, mut answer) = request?;
        assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/page"));
        give(&mut answer, "hello")?;
    }
    Ok(())
}

fn give(answer: &mut Answer, body: &'static str) -> Result<(), h2::Error> {
    let mut stream = answer.send_response(Response::new(()), false)?;
    stream.send_data(Bytes::from_static(body.as_bytes()), true)
}

#[test]
fn every_shape_of_http2_load_is_sound() {
    let target = serve_http2(Builder::new(), answer_all);
    for options in [
        &["--connections=3"][..],
        &["--connections=2", "--depth=20"],
        &["--connections=4", "--threads=2", "--depth=3"],
        &["--connections=3", "--churn"],
        &["--connections=2", "--rate=500", "--depth=4"],
        &["--connections=2", "--rate=500", "--arrivals=poisson"],
    ] {
        let run = load(&target, &[&["--http2"], options].concat()).expect_sound();
        assert_eq!(run.text("protocol"), "http2");
        assert_eq!(run.text("verified"), "each body was that of the first answer, 5 bytes");
    }
}

#[test]
fn an_open_loop_over_http2_starts_what_the_rate_says() {
    let target = serve_http2(Builder::new(), answer_all);
    let options = ["--http2", "--rate=200", "--duration=500ms", "--connections=2", "--depth=8"];
    let run = load(&target, &options).expect_sound();
    assert_eq!(run.requests(), 100);
    assert_eq!(run.text("loop"), "open");
}

#[test]
fn server_that_takes_one_stream_at_a_time_is_asked_one_by_one() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let target = serve_http2(builder, answer_all);
    load(&target, &["--http2", "--connections=2", "--depth=10"]).expect_sound();
}

#[test]
fn large_bodies_come_whole_over_http2() {
    // Half a megabyte does not fit in a frame, nor in the window that a client has at first.
    static BODY: [u8; 1 << 19] = [7; 1 << 19];
    let target = serve_http2(Builder::new(), |mut connection| async move {
        while let Some(request) = connection.accept().await {
            let mut stream = request?.1.send_response(Response::new(()), false)?;
            stream.send_data(Bytes::from_static(&BODY), true)?;
        }
        Ok(())
    });
    let run = load(&target, &["--http2", "--connections=2", "--depth=2"]).expect_sound();
    assert_eq!(run.text("verified"), "each body was that of the first answer, 524288 bytes");
}

/// Of two streams at once, the first is answered only after twenty others.
#[test]
fn an_answer_that_others_overtake_is_charged_for_its_own_time() {
    const PAUSE: Duration = Duration::from_millis(10);
    let target = serve_http2(Builder::new(), |mut connection| async move {
        let mut held: Option<Answer> = None;
        let mut overtakers = 0;
        loop {
            // The last answer has no later one that could overtake it.
            let request = match tokio::time::timeout(10 * PAUSE, connection.accept()).await {
                Ok(Some(request)) => request?.1,
                Ok(None) => return Ok(()),
                Err(_) => {
                    held.take().map_or(Ok(()), |mut held| give(&mut held, "hello"))?;
                    continue;
                }
            };
            let Some(mut first) = held.take() else {
                held = Some(request);
                continue;
            };
            tokio::time::sleep(PAUSE).await;
            give(&mut { request }, "hello")?;
            overtakers += 1;
            match overtakers % 20 {
                0 => give(&mut first, "hello")?,
                _ => held = Some(first),
            }
        }
    });
    let options = ["--http2", "--connections=1", "--depth=2", "--duration=1s", "--timeout=1h"];
    let run = load(&target, &options).expect_sound();
    // No bound on the speed of anything: it is what the server holds back. Charged to others in turn,
    // the time would be no more than two pauses for each of them.
    let max_ns = run.json["latency_ns"]["max"].as_u64().expect("a quantile");
    assert!(u128::from(max_ns) >= (20 * PAUSE).as_nanos(), "{max_ns} ns");
}

#[test]
fn http2_server_that_stops_is_charged_for_all_that_was_due() {
    const STOP: Duration = Duration::from_millis(200);
    let start = Instant::now();
    let target = serve_http2(Builder::new(), move |mut connection| async move {
        while let Some(request) = connection.accept().await {
            // All connections are stopped for the same part of each half second.
            let into = start.elapsed().as_millis() % 500;
            std::thread::sleep(STOP.saturating_sub(Duration::from_millis(into as u64)));
            give(&mut request?.1, "hello")?;
        }
        Ok(())
    });
    let options = ["--http2", "--rate=200", "--duration=1s", "--connections=4", "--depth=16"];
    let run = load(&target, &options).expect_sound();
    // As in the loop over echo: a fifth of the requests were due in the first half of a stop.
    let p90_ns = run.json["latency_ns"]["p90"].as_u64().expect("a quantile");
    assert!(p90_ns >= 100_000_000, "{p90_ns} ns");
}

#[test]
fn connection_that_ends_with_a_farewell_is_opened_again() {
    let target = serve_http2(Builder::new(), |mut connection| async move {
        for index in 0.. {
            let Some(request) = connection.accept().await else { break };
            give(&mut request?.1, "hello")?;
            if index == 3 {
                connection.graceful_shutdown();
            }
        }
        Ok(())
    });
    for options in [&["--connections=2"][..], &["--connections=2", "--depth=4"]] {
        let run = load(&target, &[&["--http2"], options].concat()).expect_sound();
        assert!(run.json["connects"].as_u64().expect("a count") > 0, "{options:?}");
    }
}

#[test]
fn what_goes_wrong_over_http2_is_named() {
    let reset = serve_http2(Builder::new(), |mut connection| async move {
        while let Some(request) = connection.accept().await {
            request?.1.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        Ok(())
    });
    let status = serve_http2(Builder::new(), |mut connection| async move {
        while let Some(request) = connection.accept().await {
            let busy = Response::builder().status(503).body(()).expect("it is valid");
            request?.1.send_response(busy, true)?;
        }
        Ok(())
    });
    let differs = serve_http2(Builder::new(), |mut connection| async move {
        for body in ["hello", "hullo"].into_iter().cycle() {
            let Some(request) = connection.accept().await else { break };
            give(&mut request?.1, body)?;
        }
        Ok(())
    });
    let abrupt = serve_http2(Builder::new(), |mut connection| async move {
        let Some(request) = connection.accept().await else { return Ok(()) };
        give(&mut request?.1, "hello")?;
        connection.accept().await;
        connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        while connection.accept().await.is_some() {}
        Ok(())
    });
    for (target, why, detail) in [
        (reset, "stream reset", "unexpected internal error"),
        (status, "error status", "503"),
        (differs, "wrong answer", "differs from the first"),
        (abrupt, "connection closed", "was given up by the server"),
        // One that speaks the other version.
        (format!("http://{}/", http(9, |_| ok("", "hello"))), "wrong answer", "got no HTTP/2"),
    ] {
        let run = load(&target, &["--http2", "--connections=1"]).expect_invalid(why);
        assert!(run.text("detail").contains(detail), "{why}: {}", run.text("detail"));
    }
}

#[test]
fn http2_connection_that_is_closed_or_silent_is_named() {
    let closed = serve(|mut stream| stream.read(&mut [0; 10]).map(drop));
    // What the client sent was not read to its end, so that the connection may be reset as well.
    let run = load(&format!("http://{closed}/"), &["--http2", "--connections=1"]);
    let verdict = run.verdict().to_owned();
    let ends = ["invalid: connection closed", "invalid: connection reset"];
    assert!(ends.contains(&&*verdict), "{verdict}: {}", run.errors);

    let silent = serve(|mut stream| stay_silent(&mut stream));
    let options = ["--http2", "--connections=1", "--timeout=200ms"];
    load(&format!("http://{silent}/"), &options).expect_invalid("server stopped answering");

    let short = serve_http2(Builder::new(), |mut connection| async move {
        let Some(request) = connection.accept().await else { return Ok(()) };
        let mut stream = request?.1.send_response(Response::new(()), false)?;
        stream.send_data(Bytes::from_static(b"hel"), false)?;
        // Until it has left.
        let left = std::future::poll_fn(|context| connection.poll_closed(context));
        let _ = tokio::time::timeout(Duration::from_millis(50), left).await;
        Ok(())
    });
    let run = load(&short, &["--http2", "--connections=1"]).expect_invalid("short answer");
    assert!(run.text("detail").contains("after 3 bytes"), "{}", run.text("detail"));
}

#[test]
fn http2_is_refused_where_it_makes_no_sense() {
    for target in ["echo://127.0.0.1:9", "line://127.0.0.1:9", "127.0.0.1:9"] {
        let output = bench(&["load", target, "--http2"]);
        assert_eq!(output.status.code(), Some(2), "{target}");
        let told = text(&output.stderr);
        assert!(told.contains("--http2 is for http://"), "{told}");
    }
}

#[test]
fn http2_comes_over_a_unix_socket_as_well() {
    use std::os::unix::net::UnixListener;

    let path = std::env::temp_dir().join(format!("corering-http2-{}", std::process::id()));
    // A test of an earlier process with this id may have left it.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a path that is free");
    let tcp = serve_http2(Builder::new(), answer_all);
    let tcp = tcp.trim_start_matches("http://").trim_end_matches("/page").to_owned();
    // What comes there goes on to a server that has a port.
    std::thread::spawn(move || {
        for unix in listener.incoming() {
            let unix = unix.expect("accepting works");
            let tcp = std::net::TcpStream::connect(&tcp).expect("it listens");
            tcp.set_nodelay(true).expect("it is TCP");
            let (unix_too, tcp_too) =
                (unix.try_clone().expect("a descriptor"), tcp.try_clone().expect("a descriptor"));
            std::thread::spawn(move || copy(unix, tcp));
            std::thread::spawn(move || copy(tcp_too, unix_too));
        }
    });
    let target = format!("http://unix:{}:/page", path.display());
    load(&target, &["--http2", "--connections=2", "--depth=3"]).expect_sound();
    std::fs::remove_file(&path).expect("it was there");
}

/// Passes on what comes, as it comes.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    io::copy(&mut from, &mut to).map(drop)
}
