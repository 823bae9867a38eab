//! hyper-util's client, which keeps connections, over `compat::HyperConnector`.

use std::cell::Cell;
use std::rc::Rc;
use std::thread;

use corering::JoinHandle;
use corering::compat::{Hyper, HyperConnector};
use corering::time::Duration;
use futures_util::future::try_join_all;
use hyper::Uri;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::server::conn::auto;
use tokio::sync::Barrier;

use super::*;

/// Requests of `/together` are answered when so many have come.
const TOGETHER: usize = 5;

/// A server of both versions, and how many connections it has accepted.
async fn server() -> IoResult<(Uri, Rc<Cell<usize>>, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let uri = format!("http://localhost:{}/there", listener.local_addr()?.port());
    let accepted = Rc::new(Cell::new(0));
    let counted = Rc::clone(&accepted);
    let together = Rc::new(Barrier::new(TOGETHER));
    let answer = move |request: Request<Incoming>| {
        let together = Rc::clone(&together);
        async move {
            if request.uri().path() == "/together" {
                together.wait().await;
            }
            repeat(request).await
        }
    };
    let serving = corering::spawn(async move {
        loop {
            let stream = listener.accept().await.expect("a client comes");
            counted.set(counted.get() + 1);
            let http = auto::Builder::new(HyperExecutor);
            let served = http.serve_connection(Hyper::new(stream), service_fn(answer.clone()));
            corering::spawn(served.into_owned());
        }
    });
    Ok((uri.parse().expect("it is one"), accepted, serving))
}

#[corering::test]
async fn pooled_client_uses_its_connection_again() -> Result<(), Failure> {
    let (uri, accepted, _serving) = server().await?;
    let client: Client<_, Full<Bytes>> =
        Client::builder(HyperExecutor).pool_timer(HyperTimer).build(HyperConnector);
    for _ in 0..10 {
        assert_eq!(text(client.get(uri.clone())).await?, "GET /there ");
    }
    assert_eq!(accepted.get(), 1);
    // At the same time they need one each, and one may have begun before the first was free again.
    let together: Uri = uri.to_string().replace("/there", "/together").parse()?;
    try_join_all((0..TOGETHER).map(|_| text(client.get(together.clone())))).await?;
    assert!((TOGETHER..=TOGETHER + 1).contains(&accepted.get()), "{}", accepted.get());
    Ok(())
}

#[corering::test]
async fn pooled_client_closes_connections_that_are_idle() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let uri: Uri = format!("http://{}/", listener.local_addr()?).parse()?;
    let client: Client<_, Full<Bytes>> = Client::builder(HyperExecutor)
        .pool_idle_timeout(Duration::from_millis(5))
        .pool_timer(HyperTimer)
        .build(HyperConnector);
    let serve = async {
        let stream = listener.accept().await?;
        http1_server().serve_connection(Hyper::new(stream), service_fn(greet)).await?;
        Ok::<(), Failure>(())
    };
    let (served, answer) = corering::join!(serve, text(client.get(uri)));
    assert_eq!(answer?, "Hello, World!");
    served
}

#[corering::test]
async fn http2_client_asks_all_at_once_on_one_connection() -> Result<(), Failure> {
    let (uri, accepted, _serving) = server().await?;
    let client: Client<_, Full<Bytes>> =
        Client::builder(HyperExecutor).http2_only(true).build(HyperConnector);
    for answer in try_join_all((0..50).map(|_| text(client.get(uri.clone())))).await? {
        assert_eq!(answer, "GET /there ");
    }
    assert_eq!(accepted.get(), 1);
    Ok(())
}

#[corering::test]
async fn connector_says_what_it_cannot_do() -> Result<(), Failure> {
    let client: Client<_, Full<Bytes>> = Client::builder(HyperExecutor).build(HyperConnector);
    let error = client.get(Uri::from_static("https://localhost/")).await.expect_err("no TLS");
    let cause = std::error::Error::source(&error).ok_or("it has a cause")?.to_string();
    assert!(cause.contains("speaks no TLS"), "{cause}");
    Ok(())
}

#[corering::test]
async fn attempt_that_is_dropped_elsewhere_is_given_up() -> Result<(), Failure> {
    use tower::Service;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let uri: Uri = format!("http://{}/", listener.local_addr()?).parse()?;
    let mut connecting = HyperConnector.call(uri);
    assert!(futures_util::poll!(&mut connecting).is_pending());
    let leaked = corering::metrics().leaked_elsewhere;
    thread::spawn(move || drop(connecting)).join().expect("a drop does not panic");
    // What it has won is closed.
    until(|| corering::metrics().operations_in_flight == 0).await;
    assert_eq!(corering::metrics().leaked_elsewhere, leaked);
    Ok(())
}
