//! HTTP/1.1, server and client.

use corering::compat::Hyper;
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
