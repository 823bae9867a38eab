//! Connections that become something else: hyper gives the stream back, and what it has read of it.

use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::Pin;
use std::thread;

use corering::compat::Hyper;
use corering::io::Lend;
use http_body_util::Empty;
use hyper::rt::{Read, ReadBuf, Write};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, StatusCode};

use super::*;

const UPGRADE: &str =
    "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// Takes the stream out of an upgrade, with what came for it already.
fn own(upgraded: Upgraded) -> TcpStream {
    let parts = upgraded.downcast::<Hyper<TcpStream>>().expect("the stream is ours");
    let mut stream = parts.io.into_inner();
    stream.put_back(Vec::from(parts.read_buf).into());
    stream
}

/// Sends back what comes, by the stream itself.
async fn echo(upgrade: OnUpgrade) -> Result<(), Failure> {
    let mut stream = own(upgrade.await?);
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(());
        }
        stream.write_all(received).await?;
    }
}

/// Agrees to the upgrade that a request asks for, and hands it to `then`.
fn switch<F>(then: impl Fn(OnUpgrade) -> F) -> impl AsyncFn(Request<Incoming>) -> Switched
where
    F: Future<Output = Result<(), Failure>> + 'static,
{
    async move |mut request| {
        corering::spawn(then(hyper::upgrade::on(&mut request)));
        let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        answer.header("connection", "upgrade").header("upgrade", "echo").body(Empty::new())
    }
}

type Switched = Result<Response<Empty<Bytes>>, hyper::http::Error>;

#[corering::test]
async fn upgraded_connection_is_used_by_the_stream_itself() -> Result<(), Failure> {
    let (client, server) = connection().await?;
    let agree = switch(echo);
    let service = service_fn(|request| agree(request));
    let served = http1_server().serve_connection(Hyper::new(server), service).with_upgrades();
    let exchange = async {
        let mut client = http1_client(client).await?;
        let request = Request::get("/").header("connection", "upgrade").header("upgrade", "echo");
        let answer = client.send_request(request.body(Empty::<Bytes>::new())?).await?;
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut stream = own(hyper::upgrade::on(answer).await?);
        stream.write_all("hello").await?;
        assert_eq!(receive_until(&mut stream, "hello").await?, "hello");
        stream.shutdown(Shutdown::Write).await?;
        assert_eq!(receive_all(&mut stream).await?, "");
        Ok::<(), Failure>(())
    };
    let (served, exchanged) = corering::join!(served, exchange);
    served?;
    exchanged
}

#[corering::test]
async fn bytes_that_came_before_the_upgrade_are_not_lost() -> Result<(), Failure> {
    // More than hyper's first buffer takes, so that some of it is with the wrapper.
    for length in [0, 1, 9_000, 30_000] {
        let (mut client, server) = connection().await?;
        let agree = switch(echo);
        let service = service_fn(|request| agree(request));
        let mut builder = http1_server();
        builder.half_close(true);
        let served = builder.serve_connection(Hyper::new(server), service).with_upgrades();
        let early: String = (0..length).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
        let exchange = async {
            client.write_all(format!("{UPGRADE}{early}")).await?;
            client.shutdown(Shutdown::Write).await?;
            receive_all(&mut client).await
        };
        let (served, answer) = corering::join!(served, exchange);
        served?;
        let answer = answer?;
        let (head, rest) = answer.split_once("\r\n\r\n").expect("there is a head");
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(rest == early, "{} of {length} bytes came back", rest.len());
    }
    Ok(())
}

#[corering::test]
async fn upgraded_connection_that_is_dropped_elsewhere_is_closed() -> Result<(), Failure> {
    let (mut client, server) = connection().await?;
    let agree = switch(async |upgrade: OnUpgrade| {
        let upgraded = upgrade.await?;
        thread::spawn(move || drop(upgraded)).join().expect("a drop does not panic");
        Ok(())
    });
    let service = service_fn(|request| agree(request));
    let served = http1_server().serve_connection(Hyper::new(server), service).with_upgrades();
    let exchange = async {
        client.write_all(UPGRADE).await?;
        receive_all(&mut client).await
    };
    let (served, answer) = corering::join!(served, exchange);
    served?;
    assert!(answer?.starts_with("HTTP/1.1 101"));
    Ok(())
}

#[corering::test]
async fn tunnel_through_http2_carries_both_directions() -> Result<(), Failure> {
    async fn tunnel(mut request: Request<Incoming>) -> Switched {
        assert_eq!(request.method(), Method::CONNECT);
        let upgrade = hyper::upgrade::on(&mut request);
        corering::spawn(async move {
            let mut io = upgrade.await?;
            loop {
                let received = read(&mut io).await?;
                if received.is_empty() {
                    return Ok(());
                }
                write_all(&mut io, &received).await?;
            }
            #[expect(unreachable_code, reason = "it says what the future's errors are")]
            Ok::<(), Failure>(())
        });
        Ok(Response::new(Empty::new()))
    }

    let (client, server) = connection().await?;
    let server = http2_server().serve_connection(Hyper::new(server), service_fn(tunnel));
    let server = corering::spawn(server);
    let mut client = http2_client(client).await?;
    let answer =
        client.send_request(Request::connect("test:1").body(Empty::<Bytes>::new())?).await?;
    let mut io = hyper::upgrade::on(answer).await?;
    let mut received = Vec::new();
    let sent: Vec<u8> = (0..50_000).map(|at| at as u8).collect();
    write_all(&mut io, &sent).await?;
    while received.len() < sent.len() {
        received.extend(read(&mut io).await?);
    }
    assert!(received == sent, "other bytes came back");
    drop((io, client));
    server.await??;
    Ok(())
}

async fn read(io: &mut Upgraded) -> IoResult<Vec<u8>> {
    let mut memory = [0; 1_000];
    let mut buf = ReadBuf::new(&mut memory);
    poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, buf.unfilled())).await?;
    Ok(buf.filled().to_vec())
}

async fn write_all(io: &mut Upgraded, mut bytes: &[u8]) -> IoResult<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, bytes)).await?;
        bytes = &bytes[written..];
    }
    poll_fn(|cx| Pin::new(&mut *io).poll_flush(cx)).await
}
