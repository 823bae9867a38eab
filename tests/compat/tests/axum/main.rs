//! axum by `compat::serve`: handlers, connections, the end, WebSockets, what is local to a shard, and the
//! guide.

#[path = "../../../common/child.rs"]
mod child;
mod connections;
mod files;
mod guide;
mod handlers;
mod limits;
mod local;
mod shutdown;
mod web_sockets;

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use corering::JoinHandle;
use corering::compat::{self, Hyper, HyperExecutor};
use corering::net::{TcpListener, TcpStream};
use corering::task::CancelToken;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};

/// What a failing test ends with.
type Failure = Box<dyn std::error::Error>;

/// A server on a port of its own.
struct Server {
    address: SocketAddr,
    stop: CancelToken,
    ended: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(router: Router) -> io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancelToken::new();
        let server = compat::serve(listener, router).with_graceful_shutdown(stop.cancelled());
        Ok(Server { address, stop, ended: corering::spawn(server.into_future()) })
    }

    /// Ends it gracefully.
    async fn end(self) -> io::Result<()> {
        self.stop.cancel();
        self.ended.await.expect("a server does not panic")
    }

    async fn http1(&self) -> Result<http1::SendRequest<Body>, Failure> {
        http1(TcpStream::connect(self.address).await?).await
    }

    async fn http2(&self) -> Result<http2::SendRequest<Body>, Failure> {
        let io = Hyper::new(TcpStream::connect(self.address).await?);
        let (sender, connection) = http2::handshake(HyperExecutor, io).await?;
        corering::spawn(connection);
        Ok(sender)
    }

    /// An answer on a connection of its own, whole.
    async fn answer(&self, request: Request<Body>) -> Result<(StatusCode, String), Failure> {
        whole(self.http1().await?.send_request(request).await?).await
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, String), Failure> {
        self.answer(get(path)).await
    }
}

async fn http1(stream: TcpStream) -> Result<http1::SendRequest<Body>, Failure> {
    let (sender, connection) = http1::handshake(Hyper::new(stream)).await?;
    corering::spawn(connection.with_upgrades());
    Ok(sender)
}

fn get(path: &str) -> Request<Body> {
    request("GET", path, Body::empty())
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(format!("http://test{path}"));
    request.header("host", "test").body(body.into()).expect("the path is one")
}

async fn whole(answer: Response<Incoming>) -> Result<(StatusCode, String), Failure> {
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.into())?))
}
