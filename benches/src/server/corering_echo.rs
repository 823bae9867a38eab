//! corering itself: the handler that anyone would write, the same on both drivers.
//!
//! Tuned: nothing. What it measures is what a reader of the README gets.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;

use corering::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use corering::{Driver, Runtime};

pub(super) fn runtime(driver: Driver) -> io::Result<Runtime> {
    Runtime::builder().driver(driver).build()
}

pub(super) fn serve(runtime: &Runtime, listener: OwnedFd, is_tcp: bool) -> io::Result<Infallible> {
    runtime.block_on(async {
        if is_tcp {
            let listener = TcpListener::from(listener);
            loop {
                let stream = listener.accept().await?;
                stream.set_nodelay(true)?;
                corering::spawn(echo_tcp(stream));
            }
        } else {
            let listener = UnixListener::from(listener);
            loop {
                corering::spawn(echo_unix(listener.accept().await?));
            }
        }
    })
}

// A connection that breaks ends its own task and nothing else.

async fn echo_tcp(mut stream: TcpStream) {
    while let Ok(received) = stream.recv().await {
        if received.is_empty() || stream.write_all(received).await.is_err() {
            break;
        }
    }
}

async fn echo_unix(mut stream: UnixStream) {
    while let Ok(received) = stream.recv().await {
        if received.is_empty() || stream.write_all(received).await.is_err() {
            break;
        }
    }
}
