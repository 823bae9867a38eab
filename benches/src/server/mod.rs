//! Echo servers to measure: corering on both drivers, what a user would pick instead, and the two
//! loops that a person would write by hand, which are the limit.
//!
//! Each sends back what it receives, without Nagle's delay, on one thread. Each is the strongest
//! honest version of itself; its file says what was tuned.

mod corering_echo;
mod raw_epoll;
mod raw_uring;
mod tokio_echo;

use std::convert::Infallible;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use clap::ValueEnum;

use crate::address::Address;
use crate::os;
use crate::process::LISTENING;

/// Which program serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// corering on io_uring
    Uring,
    /// corering on epoll
    Epoll,
    /// tokio's current-thread runtime
    Tokio,
    /// A hand-written loop on io_uring
    RawUring,
    /// A hand-written loop on epoll
    RawEpoll,
}

impl Server {
    /// The name that the command line takes and reports print.
    pub fn name(self) -> String {
        self.to_possible_value().expect("no variant is hidden").get_name().to_owned()
    }
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub address: Address,
    /// The size of the messages to come, for which buffers are chosen.
    pub message_size: usize,
    /// The CPU to run on.
    pub cpu: Option<usize>,
}

/// Listens, says where, and serves until the process is ended.
pub fn serve(server: Server, options: &Options) -> io::Result<Infallible> {
    os::die_with_parent()?;
    os::raise_descriptor_limit()?;
    if let Some(cpu) = options.cpu {
        os::pin_to_cpu(cpu)?;
    }
    // A kernel that refuses a ring says so before anybody is told to connect.
    let runtime = match server {
        Server::Uring => Some(corering_echo::runtime(corering::Driver::Uring)?),
        Server::Epoll => Some(corering_echo::runtime(corering::Driver::Epoll)?),
        Server::Tokio | Server::RawUring | Server::RawEpoll => None,
    };
    let (listener, address) = options.address.listen()?;
    let mut output = io::stdout().lock();
    writeln!(output, "{LISTENING}{address}")?;
    output.flush()?;
    drop(output);
    let is_tcp = matches!(address, Address::Tcp(_));
    if let Some(runtime) = runtime {
        return corering_echo::serve(&runtime, listener, is_tcp);
    }
    match server {
        Server::Uring | Server::Epoll => unreachable!("they have a runtime"),
        Server::Tokio => tokio_echo::serve(listener, is_tcp, options.message_size),
        Server::RawUring => raw_uring::serve(listener, options.message_size),
        Server::RawEpoll => raw_epoll::serve(listener),
    }
}

/// For the loops that hold their streams as plain descriptors. On a Unix socket this fails, and
/// is not needed.
fn set_nodelay(stream: &OwnedFd) {
    let stream = stream.try_clone().map(std::net::TcpStream::from);
    let _ = stream.map(|stream| stream.set_nodelay(true));
}
