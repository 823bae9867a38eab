//! How connections end: by a graceful shutdown, and by a panic.

use std::cell::Cell;
use std::rc::Rc;

use corering::compat::Hyper;
use corering::sync::Notify;
use futures_util::future::join_all;
use hyper::service::service_fn;
use hyper_util::server::graceful::GracefulShutdown;

use super::*;

const REQUESTS: usize = 100;
const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// Where handlers wait until all may answer.
#[derive(Default)]
struct Gate {
    waiting: Cell<usize>,
    open: Notify,
}

impl Gate {
    async fn pass(self: Rc<Self>) -> Result<Response<Full<Bytes>>, Infallible> {
        self.waiting.set(self.waiting.get() + 1);
        self.open.notified().await;
        Ok(Response::new(Full::from("passed")))
    }
}

#[corering::test]
async fn graceful_shutdown_answers_all_http1_requests_and_closes() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (graceful, gate) = (GracefulShutdown::new(), Rc::new(Gate::default()));
    let mut clients = Vec::new();
    for _ in 0..REQUESTS {
        let (mut client, server) = connection_to(&listener).await?;
        let gate = Rc::clone(&gate);
        let service = service_fn(move |_: Request<Incoming>| Rc::clone(&gate).pass());
        let served = http1_server().serve_connection(Hyper::new(server), service);
        corering::spawn(graceful.watch(served));
        client.write_all(GET).await?;
        clients.push(client);
    }
    // One that asks for nothing now.
    let (mut idle, server) = connection_to(&listener).await?;
    let served = http1_server().serve_connection(Hyper::new(server), service_fn(greet));
    corering::spawn(graceful.watch(served));
    idle.write_all(GET).await?;
    receive_until(&mut idle, "Hello, World!").await?;

    until(|| gate.waiting.get() == REQUESTS).await;
    let shutdown = corering::spawn(graceful.shutdown());
    assert_eq!(receive_all(&mut idle).await?, "");
    assert!(!shutdown.is_finished(), "there are requests in flight");
    gate.open.notify_waiters();
    for answer in join_all(clients.iter_mut().map(receive_all)).await {
        let answer = answer?;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\npassed"), "{answer}");
    }
    shutdown.await?;
    Ok(())
}

#[corering::test]
async fn graceful_shutdown_answers_all_http2_requests_and_closes() -> Result<(), Failure> {
    let (client, server) = connection().await?;
    let (graceful, gate) = (GracefulShutdown::new(), Rc::new(Gate::default()));
    let at = Rc::clone(&gate);
    let service = service_fn(move |_: Request<Incoming>| Rc::clone(&at).pass());
    let served = http2_server().serve_connection(Hyper::new(server), service);
    let server = corering::spawn(graceful.watch(served));
    let client = http2_client(client).await?;
    let ask = |mut client: client2::SendRequest<String>| async move {
        text(client.send_request(post("/", String::new()))).await
    };
    let asked: Vec<_> = (0..REQUESTS).map(|_| corering::spawn(ask(client.clone()))).collect();
    until(|| gate.waiting.get() == REQUESTS).await;
    let shutdown = corering::spawn(graceful.shutdown());
    drop(client);
    corering::yield_now().await;
    assert!(!shutdown.is_finished(), "there are requests in flight");
    gate.open.notify_waiters();
    for answer in join_all(asked).await {
        assert_eq!(answer??, "passed");
    }
    shutdown.await?;
    server.await??;
    Ok(())
}

#[corering::test]
async fn panic_in_an_http1_handler_closes_its_connection_only() -> Result<(), Failure> {
    async fn panics(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        panic!("on purpose")
    }

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (mut other, server) = connection_to(&listener).await?;
    corering::spawn(http1_server().serve_connection(Hyper::new(server), service_fn(greet)));
    let (mut client, server) = connection_to(&listener).await?;
    let panics = http1_server().serve_connection(Hyper::new(server), service_fn(panics));
    let panicked = corering::spawn(panics);
    client.write_all(GET).await?;
    assert_eq!(receive_all(&mut client).await?, "");
    assert!(panicked.await.expect_err("it panicked").is_panic());
    other.write_all(GET).await?;
    receive_until(&mut other, "Hello, World!").await?;
    Ok(())
}

#[corering::test]
async fn panic_in_an_http2_handler_ends_its_request_only() -> Result<(), Failure> {
    async fn panics(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        assert_ne!(request.uri().path(), "/panic", "on purpose");
        repeat(request).await
    }

    let (client, server) = connection().await?;
    let served = http2_server().serve_connection(Hyper::new(server), service_fn(panics));
    let server = corering::spawn(served);
    let mut client = http2_client(client).await?;
    client.send_request(post("/panic", String::new())).await.expect_err("nobody answers it");
    assert_eq!(text(client.send_request(post("/", String::new()))).await?, "POST / ");
    drop(client);
    server.await??;
    Ok(())
}
