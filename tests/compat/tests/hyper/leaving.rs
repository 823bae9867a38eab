//! Clients that leave in the middle: their handlers are dropped, and nobody else notices.

use std::cell::Cell;
use std::rc::Rc;

use corering::compat::Hyper;
use corering::sync::oneshot;
use corering::time::Duration;
use hyper::service::service_fn;
use socket2::SockRef;

use super::*;

/// What clients send before they leave.
const PARTS: [&str; 4] = [
    "",
    "GET / HT",
    "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhalf",
    "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n4\r\nha",
];

#[corering::test]
async fn client_that_leaves_in_the_middle_of_a_request_ends_it() -> Result<(), Failure> {
    for (part, resets) in PARTS.into_iter().flat_map(|part| [(part, false), (part, true)]) {
        let (mut client, server) = connection().await?;
        let served = http1_server().serve_connection(Hyper::new(server), service_fn(repeat));
        let server = corering::spawn(served);
        client.write_all(part).await?;
        if resets {
            SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        }
        drop(client);
        if let Err(error) = server.await? {
            // The handler of a request that was cut is told, and so its error is the connection's.
            assert!(!error.is_parse() && !error.is_timeout(), "after {part:?}: {error}");
        }
    }
    Ok(())
}

/// Tells when it is dropped.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let sender = self.0.take().expect("it is dropped once");
        // Nobody listens only if the test has failed already.
        let _ = sender.send(());
    }
}

#[corering::test]
async fn handler_is_dropped_when_its_http1_client_leaves() -> Result<(), Failure> {
    let (mut client, server) = connection().await?;
    let (sender, dropped) = oneshot::channel();
    let guard = Cell::new(Some(Guard(Some(sender))));
    let called = Rc::new(Cell::new(false));
    let service = service_fn(async |_: Request<Incoming>| {
        let _guard = guard.take();
        called.set(true);
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
    });
    let served = http1_server().serve_connection(Hyper::new(server), service);
    let leaves = async {
        client.write_all("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await?;
        until(|| called.get()).await;
        drop(client);
        dropped.await?;
        Ok::<(), Failure>(())
    };
    let (_, left) = corering::join!(served, leaves);
    left
}

#[corering::test]
async fn handler_is_dropped_when_its_http2_request_is_given_up() -> Result<(), Failure> {
    let (client, server) = connection().await?;
    let (sender, dropped) = oneshot::channel();
    let guard = Rc::new(Cell::new(Some(Guard(Some(sender)))));
    let service = service_fn(move |request: Request<Incoming>| {
        let guard = guard.take();
        async move {
            if guard.is_some() {
                std::future::pending::<()>().await;
            }
            repeat(request).await
        }
    });
    let served = http2_server().serve_connection(Hyper::new(server), service);
    let server = corering::spawn(served);
    let mut client = http2_client(client).await?;
    let mut given_up = Box::pin(client.send_request(post("/", String::new())));
    assert!(futures_util::poll!(&mut given_up).is_pending());
    corering::yield_now().await;
    drop(given_up);
    dropped.await?;
    assert_eq!(text(client.send_request(post("/", String::new()))).await?, "POST / ");
    drop(client);
    server.await??;
    Ok(())
}
