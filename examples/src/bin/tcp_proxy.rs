//! Passes TCP connections on to another address, in both directions.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use corering::Shard;
use corering::io::copy_bidirectional;
use corering::net::{self, TcpListener, TcpStream};
use corering_examples::{ShardOptions, complain, say};

/// Connects each client to another address, and passes on what comes, until Ctrl-C or SIGTERM: then it
/// accepts nobody, and ends when its clients have. Prints "listening on ADDR" when it can be connected
/// to.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on, such as 127.0.0.1:7000. Port 0 lets the kernel choose one.
    #[arg(long, value_name = "ADDR")]
    addr: SocketAddr,
    /// The address that clients are connected to.
    #[arg(long, value_name = "ADDR")]
    to: SocketAddr,
    /// Clients of each shard, at most. Others wait in the kernel's queue.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    clients_max: usize,
    /// Seconds that clients have to end after the signal.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    shutdown_timeout: u32,
    #[command(flatten)]
    shards: ShardOptions,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        complain(format_args!("tcp_proxy: {error}"));
        std::process::exit(1);
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let Arguments { addr, to, clients_max, shutdown_timeout, ref shards } = *arguments;
    let listeners = TcpListener::builder().nodelay(true).bind_shards(addr, shards.shards)?;
    let stop = corering::signal::shutdown();
    let ended = shards.runtime().try_run(async |shard: Shard| {
        let listener = listeners.take(&shard)?;
        if shard.id() == 0 {
            say(format_args!("listening on {}", listeners.local_addr()));
        }
        let server = net::serve(listener, move |client, _| pass_on(client, to));
        let limit = Duration::from_secs(shutdown_timeout.into());
        server.until(stop.clone()).max_connections(clients_max).grace(limit).await
    });
    ended.map(drop)
}

#[expect(clippy::manual_async_fn, reason = "such a one would hold what it is given twice")]
fn pass_on(mut client: TcpStream, to: SocketAddr) -> impl Future<Output = io::Result<()>> {
    async move {
        let connected = TcpStream::connect(to).await;
        let nodelay = |server: TcpStream| server.set_nodelay(true).map(|()| server);
        let mut server = match connected.and_then(nodelay) {
            Ok(server) => server,
            // The client sees its connection end.
            Err(error) => {
                complain(format_args!("tcp_proxy: {to}: {error}"));
                return Err(error);
            }
        };
        // Either side may break its connection off; the other one sees its own end then.
        copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }
}
