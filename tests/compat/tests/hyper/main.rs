//! hyper over `compat::Hyper`: both versions of HTTP, server and client, and what must not break.

mod http1;
mod http2;
mod io;
mod timer;

use std::future::Future;

use corering::compat::{Hyper, HyperExecutor, HyperTimer};
use corering::net::{TcpListener, TcpStream};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1 as client1, http2 as client2};
use hyper::server::conn::{http1 as server1, http2 as server2};
use hyper::{Request, Response};

/// What a failing test ends with.
type Failure = Box<dyn std::error::Error>;

/// Both ends of a connection.
async fn connection() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    corering::try_join!(TcpStream::connect(listener.local_addr()?), listener.accept())
}

/// A server of the first version, as programs set it up: with a limit for headers.
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
async fn http1_client<B>(stream: TcpStream) -> hyper::Result<client1::SendRequest<B>>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let (sender, connection) = client1::handshake(Hyper::new(stream)).await?;
    corering::spawn(connection.with_upgrades());
    Ok(sender)
}

/// A client of the second version, whose connection is a task.
async fn http2_client<B>(stream: TcpStream) -> hyper::Result<client2::SendRequest<B>>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static,
{
    let mut builder = client2::Builder::new(HyperExecutor);
    builder.timer(HyperTimer);
    let (sender, connection) = builder.handshake(Hyper::new(stream)).await?;
    corering::spawn(connection);
    Ok(sender)
}

/// Answers with the method, the path and the body of the request.
async fn repeat(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut answer = format!("{} {} ", request.method(), request.uri().path()).into_bytes();
    answer.extend_from_slice(&request.into_body().collect().await?.to_bytes());
    Ok(Response::new(Full::from(answer)))
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://test{path}")).header("host", "test");
    request.body(Full::new(body.into())).expect("the path is one")
}

/// The body of an answer, whole.
async fn text<E: Into<Failure>>(
    answer: impl Future<Output = Result<Response<Incoming>, E>>,
) -> Result<String, Failure> {
    let body = answer.await.map_err(Into::into)?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.into())?)
}
