//! Sends back what it receives, and does nothing else: what measurements run against.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use corering::net::{ByteStream, Family, Listener, TcpListener, UnixListener};
use corering_examples::{ShardOptions, complain, say};

/// Sends back what it receives, until Ctrl-C or SIGTERM. Prints "listening on ADDR" for each address
/// when it can be connected to.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on, such as 127.0.0.1:7000. Port 0 lets the kernel choose one.
    #[arg(long, value_name = "ADDR", required_unless_present = "unix")]
    addr: Option<SocketAddr>,
    /// The path of a Unix socket to listen on, beside or instead of ADDR.
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    #[command(flatten)]
    shards: ShardOptions,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        complain(format_args!("echo: {error}"));
        std::process::exit(1);
    }
}

fn run(Arguments { addr, unix: path, shards }: &Arguments) -> io::Result<()> {
    let tcp = TcpListener::builder().nodelay(true);
    let tcp = addr.map(|addr| tcp.bind_shards(addr, shards.shards)).transpose()?;
    let unix = path.as_ref().map(|it| UnixListener::bind_shards(it, shards.shards)).transpose()?;
    let stop = corering::signal::shutdown();
    let ended = shards.runtime().try_run(async |shard| {
        if let Some(tcp) = &tcp {
            corering::spawn(accept(tcp.take(&shard)?));
        }
        if let Some(unix) = &unix {
            corering::spawn(accept(unix.take(&shard)?));
        }
        if shard.id() == 0 {
            tcp.iter().for_each(|tcp| say(format_args!("listening on {}", tcp.local_addr())));
            path.iter().for_each(|path| say(format_args!("listening on {}", path.display())));
        }
        stop.clone().await
    });
    path.iter().try_for_each(std::fs::remove_file).and(ended.map(drop))
}

async fn accept<F: Family>(listener: Listener<F>) {
    loop {
        match listener.accept().await {
            Ok(stream) => drop(corering::spawn(serve(stream))),
            Err(error) => {
                return complain(format_args!("echo: no more connections are accepted: {error}"));
            }
        }
    }
}

async fn serve<F: Family>(mut stream: ByteStream<F>) -> io::Result<()> {
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(());
        }
        stream.write_all(received).await?;
    }
}
