//! The greeter, on both drivers, by tonic's own client on tokio, and a call by curl.

#![cfg(not(without_protoc))]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../../benches/tests/common/programs.rs"]
mod programs;

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use common::Example;
use corering::compat::{HyperConnector, HyperExecutor};
use corering_grpc_example::greeter::greeter_client::GreeterClient;
use corering_grpc_example::greeter::{AgainRequest, Request};
use futures_util::stream::{self, StreamExt};
use rustix::process::Signal;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

on_both_drivers! {
    single_request_is_answered_or_refused,
    answers_are_streamed_as_they_come,
    requests_are_streamed_both_ways,
    many_calls_share_one_connection,
    client_of_tonic_runs_on_corering_too,
    call_that_has_begun_is_answered_before_it_ends,
    call_by_curl_is_answered_with_trailers,
}

fn start(driver: &str, shards: &str) -> (Example, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grpc_greeter"));
    command.args(["--driver", driver, "--addr", "127.0.0.1:0", "--shards", shards]);
    let example = Example::start(command);
    let address = example.address();
    (example, address)
}

/// Runs a client on tokio.
fn client(address: SocketAddr, run: impl AsyncFnOnce(GreeterClient<Channel>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("tokio starts").block_on(async {
        let endpoint = Endpoint::try_from(format!("http://{address}")).expect("it is a URL");
        let channel = endpoint.connect().await.expect("the greeter accepts");
        tokio::time::timeout(common::DEADLINE, run(GreeterClient::new(channel)))
            .await
            .expect("it does not hang");
    });
}

fn named(name: &str) -> Request {
    Request { name: name.to_owned() }
}

fn single_request_is_answered_or_refused(driver: &str) {
    let (_example, address) = start(driver, "1");
    client(address, async |mut client| {
        let reply = client.greet(named("you")).await.expect("it greets").into_inner();
        assert_eq!(reply.text, "hello, you");
        let refused = client.greet(named("")).await.expect_err("there is nobody to greet");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.message(), "who is to be greeted?");
    });
}

fn answers_are_streamed_as_they_come(driver: &str) {
    let (_example, address) = start(driver, "1");
    client(address, async |mut client| {
        let again = AgainRequest { name: "you".to_owned(), times: 5, pause_millis: 1 };
        let mut replies = client.greet_again(again).await.expect("it greets").into_inner();
        let mut count = 0;
        while let Some(reply) = replies.message().await.expect("it goes on") {
            assert_eq!(reply.text, "hello, you");
            count += 1;
        }
        assert_eq!(count, 5);
        // One that does not end by itself ends with the client's interest.
        let endless = AgainRequest { name: "you".to_owned(), times: u32::MAX, pause_millis: 0 };
        let mut replies = client.greet_again(endless).await.expect("it greets").into_inner();
        assert!(replies.message().await.expect("it goes on").is_some());
        drop(replies);
        assert!(client.greet(named("you")).await.is_ok());
    });
}

fn requests_are_streamed_both_ways(driver: &str) {
    let (_example, address) = start(driver, "1");
    client(address, async |mut client| {
        let (names, received) = tokio::sync::mpsc::channel(1);
        let requests = stream::unfold(received, async |mut received| {
            received.recv().await.map(|name: &str| (named(name), received))
        });
        let mut replies = client.greet_all(requests).await.expect("it greets").into_inner();
        for name in ["first", "second", "third"] {
            names.send(name).await.expect("the call goes on");
            // The answer comes before the next request exists.
            let reply = replies.message().await.expect("it goes on").expect("there is one");
            assert_eq!(reply.text, format!("hello, {name}"));
        }
        names.send("").await.expect("the call goes on");
        let refused: Status = replies.message().await.expect_err("there is nobody to greet");
        assert_eq!(refused.code(), Code::InvalidArgument);
    });
}

fn many_calls_share_one_connection(driver: &str) {
    let (_example, address) = start(driver, "2");
    client(address, async |client| {
        let calls = (0..500).map(|n| {
            let mut client = client.clone();
            async move {
                let reply = client.greet(named(&n.to_string())).await.expect("it greets");
                assert_eq!(reply.into_inner().text, format!("hello, {n}"));
            }
        });
        futures_util::future::join_all(calls).await;
    });
}

fn client_of_tonic_runs_on_corering_too(driver: &str) {
    let (_example, address) = start(driver, "1");
    let driver = driver.parse().expect("it is a driver");
    let runtime = corering::Runtime::builder().driver(driver).build().expect("it is there");
    runtime.block_on(async {
        let endpoint = Endpoint::try_from(format!("http://{address}")).expect("it is a URL");
        let endpoint = endpoint.executor(HyperExecutor);
        let channel = endpoint.connect_with_connector(HyperConnector).await;
        let mut client = GreeterClient::new(channel.expect("the greeter accepts"));
        let reply = client.greet(named("you")).await.expect("it greets").into_inner();
        assert_eq!(reply.text, "hello, you");
        let again = AgainRequest { name: "you".to_owned(), times: 5, pause_millis: 1 };
        let replies = client.greet_again(again).await.expect("it greets").into_inner();
        assert_eq!(replies.count().await, 5);
    });
}

fn call_that_has_begun_is_answered_before_it_ends(driver: &str) {
    let (mut example, address) = start(driver, "1");
    client(address, async |mut client| {
        let again = AgainRequest { name: "you".to_owned(), times: 20, pause_millis: 5 };
        let mut replies = client.greet_again(again).await.expect("it greets").into_inner();
        example.signal(Signal::TERM);
        let mut count = 0;
        while replies.message().await.expect("it goes on").is_some() {
            count += 1;
        }
        assert_eq!(count, 20);
    });
    assert_eq!(example.wait().code(), Some(0));
}

fn call_by_curl_is_answered_with_trailers(driver: &str) {
    if programs::is_left_out("curl") {
        return;
    }
    let (_example, address) = start(driver, "1");
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "--http2-prior-knowledge", "-D", "/dev/stderr"]);
    command.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
    command.args(["--data-binary", "@-", &format!("http://{address}/greeter.Greeter/Greet")]);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut curl = pipes.spawn().expect("curl runs");
    // Not compressed, five bytes: the first field, three bytes of text.
    let message = b"\0\0\0\0\x05\x0a\x03you";
    let mut input = curl.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut input, message).expect("curl reads");
    drop(input);
    let output = curl.wait_with_output().expect("curl ends");
    assert_eq!(output.stdout, b"\0\0\0\0\x0c\x0a\x0ahello, you");
    let headers = String::from_utf8_lossy(&output.stderr);
    assert!(headers.contains("HTTP/2 200") && headers.contains("grpc-status: 0"), "{headers}");
}
