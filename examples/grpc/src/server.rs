//! The program, where there was a `protoc` to make its service.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use clap::Parser;
use corering::compat::{self, local};
use corering::{Driver, Runtime, net, signal, time};
use corering_grpc_example::greeter::greeter_server::{Greeter, GreeterServer};
use corering_grpc_example::greeter::{self, AgainRequest, Reply};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use tonic::{Request, Response, Status, Streaming};

/// Greets by gRPC until Ctrl-C or SIGTERM. Prints "listening on ADDR" when it can be connected to.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on, such as 127.0.0.1:50051. Port 0 lets the kernel choose one.
    #[arg(long, value_name = "ADDR")]
    addr: SocketAddr,
    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,
    /// How many shards serve, each a thread on a CPU of its own.
    #[arg(long, value_name = "N", default_value_t = 1)]
    shards: usize,
}

pub(crate) fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        eprintln!("grpc_greeter: {error}");
        std::process::exit(1);
    }
}

fn run(&Arguments { addr, driver, shards }: &Arguments) -> io::Result<()> {
    let listeners = net::bind_shards(addr, shards)?;
    let stop = signal::shutdown();
    let ended = Runtime::builder().driver(driver).shards(shards).try_run(async |shard| {
        let server = compat::serve(listeners.take(&shard)?, GreeterServer::new(Hello));
        if shard.id() == 0 {
            println!("listening on {}", listeners.local_addr());
        }
        server.with_graceful_shutdown(stop.clone()).await
    });
    ended.map(drop)
}

struct Hello;

type Replies = Pin<Box<dyn Stream<Item = Result<Reply, Status>> + Send>>;

fn greeting(name: &str) -> Result<Reply, Status> {
    if name.is_empty() {
        return Err(Status::invalid_argument("who is to be greeted?"));
    }
    Ok(Reply { text: format!("hello, {name}") })
}

#[tonic::async_trait]
impl Greeter for Hello {
    type GreetAgainStream = Replies;
    type GreetAllStream = Replies;

    async fn greet(&self, request: Request<greeter::Request>) -> Result<Response<Reply>, Status> {
        greeting(&request.into_inner().name).map(Response::new)
    }

    async fn greet_again(
        &self,
        request: Request<AgainRequest>,
    ) -> Result<Response<Replies>, Status> {
        let AgainRequest { name, times, pause_millis } = request.into_inner();
        let pause = Duration::from_millis(pause_millis.into());
        let reply = greeting(&name)?;
        // tonic wants it to be `Send`, and a timer belongs to its shard.
        let replies = local(stream::iter(0..times).then(move |_| {
            let reply = reply.clone();
            async move {
                time::sleep(pause).await;
                Ok(reply)
            }
        }));
        Ok(Response::new(Box::pin(replies)))
    }

    async fn greet_all(
        &self,
        request: Request<Streaming<greeter::Request>>,
    ) -> Result<Response<Replies>, Status> {
        let requests = request.into_inner();
        let replies = requests.and_then(async |request| greeting(&request.name));
        Ok(Response::new(Box::pin(replies)))
    }
}
