//! Says hello by hyper, and does nothing else: what measurements run against.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use corering::compat::{Hyper, HyperExecutor, HyperTimer};
use corering::net::{self, TcpListener, TcpStream};
use corering::signal::Signal;
use corering::task::CancelToken;
use corering::time::timeout;
use corering_examples::{ShardOptions, complain, say};
use futures_util::future::{Either, select};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::server::conn::auto;

/// Answers every request with "Hello, World!", until Ctrl-C or SIGTERM: by HTTP/1.1, and by HTTP/2 to
/// clients that begin with it. Prints "listening on ADDR" when it can be connected to.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on, such as 127.0.0.1:8080. Port 0 lets the kernel choose one.
    #[arg(long, value_name = "ADDR")]
    addr: SocketAddr,
    #[command(flatten)]
    shards: ShardOptions,
}

/// How long a client may take for the head of a request, and an idle connection is kept.
const HEADER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long requests may go on at the end.
const END_TIME_MAX: Duration = Duration::from_secs(10);

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        complain(format_args!("hyper_hello: {error}"));
        std::process::exit(1);
    }
}

fn run(Arguments { addr, shards }: &Arguments) -> io::Result<()> {
    let listeners = TcpListener::builder().nodelay(true).bind_shards(*addr, shards.shards)?;
    let stop = corering::signal::shutdown();
    let ended = shards.runtime().try_run(async |shard| {
        let listener = listeners.take(&shard)?;
        if shard.id() == 0 {
            say(format_args!("listening on {}", listeners.local_addr()));
        }
        serve(listener, stop.clone()).await
    });
    ended.map(drop)
}

/// Serves connections until the signal, and then the requests that have begun.
async fn serve(listener: TcpListener, stop: Signal) -> io::Result<()> {
    let mut http = auto::Builder::new(HyperExecutor);
    http.http1().timer(HyperTimer).header_read_timeout(HEADER_TIME_MAX);
    http.http2().timer(HyperTimer).keep_alive_interval(HEADER_TIME_MAX);
    let http = Rc::new(http);
    let connection = move |stream, stop| connection(http.clone(), stream, stop);
    net::serve(listener, connection).until(stop).grace(END_TIME_MAX).await.map(drop)
}

/// How a connection ends is between hyper and the client.
async fn connection(
    http: Rc<auto::Builder<HyperExecutor>>,
    mut stream: TcpStream,
    stop: CancelToken,
) -> io::Result<()> {
    // Until a client shows which HTTP it speaks, hyper has no limit.
    let first = timeout(HEADER_TIME_MAX, stream.peek());
    if !matches!(stop.run(first).await, Ok(Ok(Ok([_, ..])))) {
        return Ok(());
    }
    let mut connection = pin!(http.serve_connection(Hyper::new(stream), service_fn(hello)));
    if let Either::Right(_stopped) = select(connection.as_mut(), stop.cancelled()).await {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
    Ok(())
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("Hello, World!")))
}
