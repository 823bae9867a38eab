//! HTTP/2, server and client.

use corering::compat::Hyper;
use corering::time::Duration;
use futures_util::future::try_join_all;
use hyper::service::service_fn;

use super::*;

#[corering::test]
async fn http2_connection_answers_many_requests_at_once() -> Result<(), Failure> {
    let (client, server) = connection().await?;
    let served = http2_server().serve_connection(Hyper::new(server), service_fn(repeat));
    let server = corering::spawn(served);
    let client = http2_client(client).await?;
    let requests = (0..50).map(|number| {
        let mut client = client.clone();
        async move {
            let body = "x".repeat(number * 1_000);
            let answer = text(client.send_request(post("/there", body.clone()))).await?;
            assert_eq!(answer, format!("POST /there {body}"));
            Ok::<(), Failure>(())
        }
    });
    try_join_all(requests).await?;
    drop(client);
    server.await??;
    Ok(())
}

#[corering::test]
async fn peer_that_answers_no_ping_ends_its_connection() -> Result<(), Failure> {
    let (mut client, server) = connection().await?;
    let mut builder = http2_server();
    builder
        .keep_alive_interval(Duration::from_millis(5))
        .keep_alive_timeout(Duration::from_millis(5));
    let served = builder.serve_connection(Hyper::new(server), service_fn(greet));
    let server = corering::spawn(served);
    // The preface and empty settings, and then nothing.
    client.write_all("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    let error = server.await?.expect_err("no ping is answered");
    assert!(error.is_timeout(), "{error}");
    Ok(())
}

#[corering::test]
async fn both_versions_are_told_apart() -> Result<(), Failure> {
    let builder = || {
        let mut builder = hyper_util::server::conn::auto::Builder::new(HyperExecutor);
        builder.http1().timer(HyperTimer);
        builder.http2().timer(HyperTimer);
        builder
    };
    let serve = |stream| {
        let builder = builder();
        corering::spawn(async move {
            builder.serve_connection_with_upgrades(Hyper::new(stream), service_fn(repeat)).await
        })
    };
    let (client, server) = connection().await?;
    let server = serve(server);
    let mut client = http1_client(client).await?;
    assert_eq!(text(client.send_request(post("/1", String::new()))).await?, "POST /1 ");
    drop(client);
    server.await??;

    let (client, server) = connection().await?;
    let server = serve(server);
    let mut client = http2_client(client).await?;
    assert_eq!(text(client.send_request(post("/2", String::new()))).await?, "POST /2 ");
    drop(client);
    server.await??;
    Ok(())
}
