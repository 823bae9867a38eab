//! Sends back what it receives, and does nothing else: what measurements run against.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Parser;
use corering::Shard;
use corering::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use corering::signal::{self, Signal};
use corering_examples::{Listeners, ShardOptions};

/// Sends back what it receives, on every connection, until Ctrl-C or SIGTERM.
///
/// Prints "listening on ADDR" for each address when it can be connected to.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on, such as 127.0.0.1:7000. Port 0 lets the kernel choose one.
    #[arg(long, value_name = "ADDR", required_unless_present = "unix")]
    addr: Option<SocketAddr>,

    /// The path of a Unix socket to listen on, beside or instead of ADDR. The first shard serves it.
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,

    #[command(flatten)]
    shards: ShardOptions,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("echo: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let open = |address| Listeners::open(address, arguments.shards.shards);
    let tcp = arguments.addr.map(open).transpose()?;
    let unix = arguments.unix.as_deref().map(UnixSocket::open).transpose()?;
    // Before any shard starts, so that all of them hear of every signal from now on.
    let stop = signal::shutdown();
    let serve = |shard| serve(shard, tcp.as_ref(), unix.as_ref(), stop.clone());
    let ended = arguments.shards.runtime().try_run(serve);
    ended.map(drop).map_err(|error: io::Error| error.to_string())
}

/// Serves on one shard until a signal comes. Connections that are open then are closed.
async fn serve(
    shard: Shard,
    tcp: Option<&Listeners>,
    unix: Option<&UnixSocket>,
    stop: Signal,
) -> io::Result<()> {
    if let Some(tcp) = tcp {
        corering::spawn(accept_tcp(tcp.take(&shard)));
        if shard.id() == 0 {
            println!("listening on {}", tcp.address());
        }
    }
    if let Some(unix) = unix.filter(|_| shard.id() == 0) {
        corering::spawn(accept_unix(unix.take()));
        println!("listening on {}", unix.path.display());
    }
    stop.await
}

async fn accept_tcp(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok(stream) => drop(corering::spawn(echo_tcp(stream))),
            Err(error) => return eprintln!("echo: no more connections are accepted: {error}"),
        }
    }
}

async fn accept_unix(listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok(stream) => drop(corering::spawn(echo_unix(stream))),
            Err(error) => return eprintln!("echo: no more connections are accepted: {error}"),
        }
    }
}

async fn echo_tcp(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(());
        }
        stream.write_all(received).await?;
    }
}

async fn echo_unix(mut stream: UnixStream) -> io::Result<()> {
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(());
        }
        stream.write_all(received).await?;
    }
}

/// A Unix socket that listens. Its file is removed when it is no longer served.
struct UnixSocket {
    path: PathBuf,
    socket: Mutex<Option<OwnedFd>>,
}

impl UnixSocket {
    fn open(path: &Path) -> Result<Self, String> {
        let listener = std::os::unix::net::UnixListener::bind(path).map_err(|error| {
            let path = path.display();
            match error.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("{path} is in use; if no program listens there any more, remove it")
                }
                _ => format!("cannot listen on {path}: {error}"),
            }
        })?;
        Ok(Self { path: path.to_owned(), socket: Mutex::new(Some(listener.into())) })
    }

    fn take(&self) -> UnixListener {
        let socket = self.socket.lock().expect("nothing panics with the lock held").take();
        UnixListener::from(socket.expect("one shard takes the socket, once"))
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // If somebody else has removed it, that is as good.
        let _ = std::fs::remove_file(&self.path);
    }
}
