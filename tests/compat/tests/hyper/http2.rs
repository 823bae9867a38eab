//! HTTP/2, server and client.

use corering::compat::Hyper;
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
