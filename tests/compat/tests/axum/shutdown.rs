//! The graceful end: what has begun is answered, all else is closed.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use corering::compat;
use corering::net::{TcpListener, TcpStream};
use corering::sync::oneshot;
use corering::task::CancelToken;
use corering::time::Duration;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::StatusCode;
use tokio::sync::Semaphore;

use super::{Failure, Server, whole};

/// A router whose handler counts itself in, and answers when it may.
fn waiting(begun: &Arc<Semaphore>, may_end: &Arc<Semaphore>) -> Router {
    let (begun, may_end) = (begun.clone(), may_end.clone());
    let wait = || async move {
        begun.add_permits(1);
        may_end.acquire().await.expect("it is not closed").forget();
        "answered"
    };
    Router::new().route("/", get(wait))
}

#[corering::test]
async fn requests_in_flight_are_answered_before_it_ends() -> Result<(), Failure> {
    let (begun, may_end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let server = Server::start(waiting(&begun, &may_end)).await?;
    let address = server.address;
    let mut requests = Vec::new();
    for _ in 0..50 {
        let mut client = server.http1().await?;
        requests.push(corering::spawn(async move { client.send_request(super::get("/")).await }));
        let client = server.http2().await?;
        let asks = async move { client.clone().send_request(super::get("/")).await };
        requests.push(corering::spawn(asks));
    }
    begun.acquire_many(100).await?.forget();

    let ended = corering::spawn(server.end());
    // It has stopped to accept when it refuses; what it has accepted before is closed.
    while TcpStream::connect(address).await.map_err(|error| error.kind()).is_ok() {}
    assert!(!ended.is_finished());
    may_end.add_permits(100);
    for request in requests {
        let (status, answer) = whole(request.await??).await?;
        assert_eq!((status, answer.as_str()), (StatusCode::OK, "answered"));
    }
    ended.await??;
    let refused = TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}

#[corering::test]
async fn idle_connections_do_not_hold_it_up() -> Result<(), Failure> {
    let server = Server::start(Router::new().route("/", get("well"))).await?;
    let (mut first, mut second) = (server.http1().await?, server.http2().await?);
    assert_eq!(whole(first.send_request(super::get("/")).await?).await?.1, "well");
    assert_eq!(whole(second.send_request(super::get("/")).await?).await?.1, "well");
    let _silent = TcpStream::connect(server.address).await?;
    server.end().await?;
    Ok(())
}

#[corering::test]
async fn answer_that_does_not_end_is_cut_at_its_limit() -> Result<(), Failure> {
    let endless = || async { Body::from_stream(stream::repeat(Ok::<_, Infallible>("more"))) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancelToken::new();
    let server = compat::serve(listener, Router::new().route("/", get(endless)));
    let server = server.with_graceful_shutdown(stop.cancelled());
    let server = corering::spawn(server.drain_timeout(Duration::from_millis(5)).into_future());
    let mut client = super::http1(TcpStream::connect(address).await?).await?;
    let mut answer = client.send_request(super::get("/")).await?;
    assert!(answer.frame().await.is_some_and(|frame| frame.is_ok()));
    stop.cancel();
    server.await??;
    while let Some(frame) = answer.frame().await {
        if frame.is_err() {
            return Ok(());
        }
    }
    panic!("the answer ended as if it were whole");
}

#[corering::test]
async fn any_future_ends_it() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (end, ends) = oneshot::channel::<()>();
    let server = compat::serve(listener, Router::new());
    let server = server.with_graceful_shutdown(ends);
    let server = corering::spawn(server.into_future());
    corering::yield_now().await;
    assert!(!server.is_finished());
    drop(end);
    Ok(server.await??)
}
