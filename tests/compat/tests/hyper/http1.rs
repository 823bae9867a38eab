//! HTTP/1.1, server and client.

use std::net::Shutdown;
use std::rc::Rc;

use corering::compat::Hyper;
use corering::sync::Notify;
use corering::time::Duration;
use hyper::service::service_fn;

use super::*;

#[corering::test]
async fn http1_connection_answers_one_request_after_the_other() -> Result<(), Failure> {
    let (client, server) = connection().await?;
    let served = http1_server().serve_connection(Hyper::new(server), service_fn(repeat));
    let server = corering::spawn(served);
    let mut client = http1_client(client).await?;
    for length in [0, 13, 100, 10_000, 1_000_000] {
        client.ready().await?;
        let body = "x".repeat(length);
        let answer = text(client.send_request(post("/there", body.clone()))).await?;
        assert_eq!(answer, format!("POST /there {body}"));
    }
    drop(client);
    server.await??;
    Ok(())
}

#[corering::test]
async fn pipelined_requests_are_answered_in_order() -> Result<(), Failure> {
    let (mut client, server) = connection().await?;
    let served = http1_server().serve_connection(Hyper::new(server), service_fn(repeat));
    let server = corering::spawn(served);
    let request = |path| format!("GET /{path} HTTP/1.1\r\nhost: test\r\n\r\n");
    let requests: String = (0..100).map(request).collect();
    client.write_all(requests).await?;
    let answers = receive_until(&mut client, "GET /99 ").await?;
    let places: Vec<_> = (0..100).map(|path| answers.find(&format!("GET /{path} "))).collect();
    assert!(places.is_sorted() && places[0].is_some(), "{answers}");
    client.shutdown(Shutdown::Write).await?;
    server.await??;
    Ok(())
}

#[corering::test]
async fn client_that_expects_100_is_told_to_go_on() -> Result<(), Failure> {
    let (mut client, server) = connection().await?;
    let served = http1_server().serve_connection(Hyper::new(server), service_fn(repeat));
    let server = corering::spawn(served);
    let head = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head).await?;
    assert_eq!(receive_until(&mut client, "\r\n\r\n").await?, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all("body").await?;
    assert!(receive_until(&mut client, "body").await?.starts_with("HTTP/1.1 200 OK\r\n"));
    drop(client);
    server.await??;
    Ok(())
}

#[corering::test]
async fn client_that_expects_100_may_be_refused() -> Result<(), Failure> {
    let (mut client, server) = connection().await?;
    let served = http1_server().serve_connection(Hyper::new(server), service_fn(greet));
    let server = corering::spawn(served);
    let head = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head).await?;
    // The body was not asked for, so the connection cannot go on.
    assert!(receive_all(&mut client).await?.starts_with("HTTP/1.1 200 OK\r\n"));
    server.await??;
    Ok(())
}

#[corering::test]
async fn slow_headers_end_the_connection_at_their_limit() -> Result<(), Failure> {
    let (mut client, server) = connection().await?;
    let mut builder = http1_server();
    builder.header_read_timeout(Duration::from_millis(10));
    let served = builder.serve_connection(Hyper::new(server), service_fn(greet));
    let server = corering::spawn(served);
    // The limit counts anew for the second request.
    client.write_all("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await?;
    receive_until(&mut client, "Hello, World!").await?;
    client.write_all("GET / HTTP/1.1\r\nhost: ").await?;
    let error = server.await?.expect_err("the headers never end");
    assert!(error.is_timeout(), "{error}");
    receive_all(&mut client).await?;
    Ok(())
}

#[corering::test]
async fn client_that_ended_its_side_is_answered() -> Result<(), Failure> {
    let (mut client, server) = connection().await?;
    let mut builder = http1_server();
    builder.half_close(true);
    let ended = Rc::new(Notify::new());
    let answer = service_fn(|request| {
        let ended = Rc::clone(&ended);
        async move {
            ended.notified().await;
            repeat(request).await
        }
    });
    let served = builder.serve_connection(Hyper::new(server), answer);
    let exchange = async {
        client.write_all("GET /there HTTP/1.1\r\nhost: test\r\n\r\n").await?;
        client.shutdown(Shutdown::Write).await?;
        // The end of the client's side has come to the server, and was looked at.
        for _ in 0..100 {
            corering::yield_now().await;
        }
        ended.notify_one();
        receive_all(&mut client).await
    };
    let (served, answer) = corering::join!(served, exchange);
    served?;
    assert!(answer?.ends_with("GET /there "));
    Ok(())
}

#[corering::test]
async fn answer_without_a_length_ends_with_the_stream() -> Result<(), Failure> {
    let (client, mut server) = connection().await?;
    let mut client = http1_client(client).await?;
    let answer = text(client.send_request(post("/", String::new())));
    let serve = async {
        receive_until(&mut server, "\r\n\r\n").await?;
        server.write_all("HTTP/1.1 200 OK\r\n\r\nall ").await?;
        server.write_all("there is").await?;
        server.shutdown(Shutdown::Write).await?;
        // The client closes what cannot be used again.
        receive_all(&mut server).await
    };
    let (answer, rest) = corering::join!(answer, serve);
    assert_eq!(answer?, "all there is");
    assert_eq!(rest?, "");
    Ok(())
}
