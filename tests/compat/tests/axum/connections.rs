//! What becomes of connections: both versions of HTTP, panics, limits, families, shards.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use corering::Runtime;
use corering::compat::{self, local};
use corering::net::{self, ByteStream, Family, TcpListener, TcpStream, UnixListener, UnixStream};
use corering::test_support::drivers;
use corering::time::{self, Duration};
use futures_util::future::try_join_all;
use hyper::StatusCode;
use tokio::sync::{Barrier, Notify, watch};
use tower::Layer;

use super::{Failure, Server, whole};

const HELLO: &str = "GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";

/// All that comes until the peer closes.
async fn until_end<F: Family>(stream: &mut ByteStream<F>) -> io::Result<String> {
    let mut all = Vec::new();
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(String::from_utf8_lossy(&all).into_owned());
        }
        all.extend_from_slice(&received);
    }
}

#[corering::test]
async fn requests_of_one_http2_connection_run_at_once() -> Result<(), Failure> {
    // Each waits until all have come.
    let barrier = Arc::new(Barrier::new(20));
    let meet = move || {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            "met"
        }
    };
    let server = Server::start(Router::new().route("/", get(meet))).await?;
    let client = server.http2().await?;
    let answers = (0..20).map(|_| {
        let mut client = client.clone();
        async move { whole(client.send_request(super::get("/")).await?).await }
    });
    for (status, answer) in try_join_all(answers).await? {
        assert_eq!((status, answer.as_str()), (StatusCode::OK, "met"));
    }
    drop(client);
    Ok(server.end().await?)
}

#[corering::test]
async fn panic_in_handler_closes_its_connection_only() -> Result<(), Failure> {
    async fn fail() -> &'static str {
        panic!("this handler panics on purpose")
    }

    let router = Router::new().route("/", get("well")).route("/panic", get(fail));
    let server = Server::start(router).await?;
    let (mut failing, mut other) = (server.http1().await?, server.http1().await?);
    assert_eq!(whole(other.send_request(super::get("/")).await?).await?.1, "well");
    let failed = failing.send_request(super::get("/panic")).await;
    assert!(failed.is_err_and(|error| error.is_incomplete_message()), "the connection ends");
    other.ready().await?;
    assert_eq!(whole(other.send_request(super::get("/")).await?).await?.1, "well");
    assert_eq!(server.get("/").await?.1, "well");
    Ok(server.end().await?)
}

#[corering::test]
async fn panic_by_http2_ends_its_request_only() -> Result<(), Failure> {
    async fn fail() -> &'static str {
        panic!("this handler panics on purpose")
    }

    let router = Router::new().route("/", get("well")).route("/panic", get(fail));
    let server = Server::start(router).await?;
    let mut client = server.http2().await?;
    assert!(client.send_request(super::get("/panic")).await.is_err());
    assert_eq!(whole(client.send_request(super::get("/")).await?).await?.1, "well");
    drop(client);
    Ok(server.end().await?)
}

#[corering::test]
async fn client_without_whole_head_is_closed_at_its_limit() -> Result<(), Failure> {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Nothing; what may be either version; half a head; the second version, and then silence.
    for begun in ["", "PRI * HTTP", "GET / HTTP/1.1\r\nhost:", preface] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let server = compat::serve(listener, Router::new());
        let server = corering::spawn(server.header_timeout(Duration::from_millis(5)).into_future());
        client.write_all(begun).await?;
        until_end(&mut client).await?;
        server.abort();
    }
    Ok(())
}

#[corering::test]
async fn handler_may_take_longer_than_header_timeout() -> Result<(), Failure> {
    let limit = Duration::from_millis(100);
    let slow = move || {
        local(async move {
            time::sleep(limit * 2).await;
            "slow"
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    // The head is there before the server is, so it is in time on a busy machine, too.
    client.write_all(HELLO).await?;
    let server = compat::serve(listener, Router::new().route("/", get(slow)));
    let server = corering::spawn(server.header_timeout(limit).into_future());
    assert!(until_end(&mut client).await?.ends_with("slow"));
    server.abort();
    Ok(())
}

#[corering::test]
async fn unix_socket_is_served() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).await?;
    let router = Router::new().route("/", get("by path"));
    let server = corering::spawn(compat::serve(listener, router).into_future());
    let mut client = UnixStream::connect(&path).await?;
    client.write_all(HELLO).await?;
    assert!(until_end(&mut client).await?.ends_with("by path"));
    server.abort();
    Ok(())
}

#[corering::test]
async fn each_connection_has_service_made_of_its_stream() -> Result<(), Failure> {
    async fn peer(Extension(peer): Extension<SocketAddr>) -> String {
        peer.to_string()
    }

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/", get(peer));
    let server = compat::serve_each(listener, move |stream| {
        Ok(Extension(stream.peer_addr()?).layer(router.clone()))
    });
    let server = corering::spawn(server.into_future());
    let mut clients = [TcpStream::connect(address).await?, TcpStream::connect(address).await?];
    for client in &mut clients {
        client.write_all(HELLO).await?;
        let mine = client.local_addr()?.to_string();
        assert!(until_end(client).await?.ends_with(&mine));
    }
    server.abort();
    Ok(())
}

#[corering::test]
async fn connection_without_service_is_closed_and_others_go_on() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut made = 0;
    let server = compat::serve_each(listener, move |_| {
        made += 1;
        if made == 1 { Err(io::Error::other("not the first")) } else { Ok(Router::new()) }
    });
    let server = corering::spawn(server.into_future());
    let mut refused = TcpStream::connect(address).await?;
    assert_eq!(until_end(&mut refused).await?, "");
    let mut client = TcpStream::connect(address).await?;
    client.write_all(HELLO).await?;
    assert!(until_end(&mut client).await?.starts_with("HTTP/1.1 404"));
    server.abort();
    Ok(())
}

#[corering::test]
async fn dropped_server_closes_its_connections() -> Result<(), Failure> {
    let begun = Arc::new(Notify::new());
    let begins = begun.clone();
    let hangs = || async move {
        begins.notify_one();
        std::future::pending::<()>().await
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let server = compat::serve(listener, Router::new().route("/", get(hangs)));
    let server = corering::spawn(server.into_future());
    client.write_all(HELLO).await?;
    begun.notified().await;
    server.abort();
    assert_eq!(until_end(&mut client).await?, "");
    Ok(())
}

#[test]
fn every_shard_serves_one_router() {
    for driver in drivers() {
        let listeners = net::bind_shards("127.0.0.1:0", 2).expect("a free port");
        let address = listeners.local_addr();
        let router = Router::new().route("/", get(|| async { thread_name() }));
        let (stop, stopped) = watch::channel(false);
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let ended = builder.try_run(async |shard| {
            let mut stopped = stopped.clone();
            let end = async move { stopped.wait_for(|stopped| *stopped).await.is_ok() };
            let server = compat::serve(listeners.take(&shard)?, router.clone());
            let server = corering::spawn(server.with_graceful_shutdown(end).into_future());
            if shard.id() == 0 {
                let mut answered = HashSet::new();
                while answered.len() < 2 {
                    let mut client = TcpStream::connect(address).await?;
                    client.write_all(HELLO).await?;
                    let answer = until_end(&mut client).await?;
                    answered.extend(answer.lines().last().map(str::to_owned));
                }
                stop.send_replace(true);
            }
            server.await.expect("a server does not panic")
        });
        ended.unwrap_or_else(|error| panic!("on {driver}: {error}"));
    }
}

fn thread_name() -> String {
    format!("{:?}", std::thread::current().id())
}
