//! hyper over `compat::Hyper`: both versions of HTTP, server and client, and what must not break.

mod bodies;
mod ends;
mod files;
mod http1;
mod http2;
mod io;
mod leaving;
mod pool;
mod sim;
mod timer;
mod upgrades;

#[path = "../../../common/echo.rs"]
mod echo;
#[path = "../../../common/simulated.rs"]
mod simulated;

use std::convert::Infallible;
use std::future::Future;
use std::io::Result as IoResult;

use corering::compat::{Hyper, HyperExecutor, HyperTimer};
use corering::io::{Lend, PollWrite};
use corering::net::{TcpListener, TcpStream};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1 as client1, http2 as client2};
use hyper::server::conn::{http1 as server1, http2 as server2};
use hyper::{Request, Response};

/// What a failing test ends with.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Both ends of a connection: the client's, and the server's.
async fn connection() -> IoResult<(TcpStream, TcpStream)> {
    connection_to(&TcpListener::bind("127.0.0.1:0").await?).await
}

async fn connection_to(listener: &TcpListener) -> IoResult<(TcpStream, TcpStream)> {
    corering::try_join!(TcpStream::connect(listener.local_addr()?), listener.accept())
}

/// A server of the first version, as programs set it up: with a timer, and so with a limit for headers.
fn http1_server() -> server1::Builder {
    let mut builder = server1::Builder::new();
    builder.timer(HyperTimer);
    builder
}

fn http2_server() -> server2::Builder<HyperExecutor> {
    let mut builder = server2::Builder::new(HyperExecutor);
    builder.timer(HyperTimer);
    builder
}

/// A client of the first version, whose connection is a task.
async fn http1_client<S, B>(stream: S) -> hyper::Result<client1::SendRequest<B>>
where
    S: Lend + PollWrite + 'static,
    B: Body<Data: Send, Error: Into<Failure>> + 'static,
{
    let (sender, connection) = client1::handshake(Hyper::new(stream)).await?;
    corering::spawn(connection.with_upgrades());
    Ok(sender)
}

/// A client of the second version, whose connection is a task.
async fn http2_client<S, B>(stream: S) -> hyper::Result<client2::SendRequest<B>>
where
    S: Lend + PollWrite + 'static,
    B: Body<Data: Send, Error: Into<Failure>> + Unpin + 'static,
{
    let mut builder = client2::Builder::new(HyperExecutor);
    builder.timer(HyperTimer);
    // h2 remembers the streams that it has reset for a second of the real clock, which no timer replaces:
    // a simulated run would not be the same twice if the machine stalled for so long.
    builder.max_concurrent_reset_streams(0);
    let (sender, connection) = builder.handshake(Hyper::new(stream)).await?;
    corering::spawn(connection);
    Ok(sender)
}

/// Answers with the method, the path and the body of the request.
async fn repeat(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let mut answer = format!("{} {} ", request.method(), request.uri().path()).into_bytes();
    answer.extend_from_slice(&request.into_body().collect().await?.to_bytes());
    Ok(Response::new(Full::from(answer)))
}

/// Answers any request with a greeting.
async fn greet(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("Hello, World!")))
}

fn post<B>(path: &str, body: B) -> Request<B> {
    let request = Request::post(format!("http://test{path}")).header("host", "test");
    request.body(body).expect("the path is one")
}

/// The body of an answer, whole.
async fn text<B, E>(answer: impl Future<Output = Result<Response<B>, E>>) -> Result<String, Failure>
where
    B: Body<Error: Into<Failure>>,
    E: Into<Failure>,
{
    let body = answer.await.map_err(Into::into)?.into_body().collect().await;
    Ok(String::from_utf8(body.map_err(Into::into)?.to_bytes().into())?)
}

/// Receives, without hyper, until what came ends with `end`.
async fn receive_until(stream: &mut TcpStream, end: &str) -> IoResult<String> {
    let mut text = String::new();
    while !text.ends_with(end) {
        let received = stream.recv().await?;
        assert!(!received.is_empty(), "the end came after {text:?}");
        text.push_str(std::str::from_utf8(&received).expect("it is text"));
    }
    Ok(text)
}

/// Receives, without hyper, until the end of the stream.
async fn receive_all(stream: &mut TcpStream) -> IoResult<String> {
    let mut bytes = Vec::new();
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(String::from_utf8(bytes).expect("it is text"));
        }
        bytes.extend_from_slice(&received);
    }
}

/// Lets the loop turn until `holds`.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        corering::yield_now().await;
    }
}
