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

use clap::{Args, ValueEnum};

use crate::address::Address;
use crate::os;
use crate::outcome::{Failure, Outcome};
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

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Every byte comes back
    Echo,
}

/// Serves one workload, until it is ended.
///
/// Prints `listening on ADDRESS` once it listens.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What to serve.
    #[arg(long, value_enum, default_value = "echo")]
    pub workload: Workload,
    /// Which program serves.
    #[arg(long, value_enum, default_value = "uring")]
    pub driver: Server,
    /// Where to listen, such as 127.0.0.1:7000 or unix:PATH.
    #[arg(long = "addr", default_value_t = Address::any_port())]
    pub address: Address,
    /// Bytes of the messages to come, for which buffers are chosen.
    #[arg(long = "size", default_value_t = 64)]
    pub message_size: usize,
    /// The CPU to run on.
    #[arg(long)]
    pub cpu: Option<usize>,
}

/// The subcommand `serve`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    serve(arguments)
        .map(|never| match never {})
        .map_err(|error| Failure::environment(arguments.driver.name(), error))
}

/// Listens, says where, and serves until the process is ended.
fn serve(arguments: &Arguments) -> io::Result<Infallible> {
    os::die_with_parent()?;
    os::raise_descriptor_limit()?;
    if let Some(cpu) = arguments.cpu {
        os::pin_to_cpu(cpu)?;
    }
    // A kernel that refuses a ring says so before anybody is told to connect.
    let runtime = match arguments.driver {
        Server::Uring => Some(corering_echo::runtime(corering::Driver::Uring)?),
        Server::Epoll => Some(corering_echo::runtime(corering::Driver::Epoll)?),
        Server::Tokio | Server::RawUring | Server::RawEpoll => None,
    };
    let (listener, address) = arguments.address.listen()?;
    let mut output = io::stdout().lock();
    writeln!(output, "{LISTENING}{address}")?;
    output.flush()?;
    drop(output);
    let is_tcp = matches!(address, Address::Tcp(_));
    if let Some(runtime) = runtime {
        return corering_echo::serve(&runtime, listener, is_tcp);
    }
    match arguments.driver {
        Server::Uring | Server::Epoll => unreachable!("they have a runtime"),
        Server::Tokio => tokio_echo::serve(listener, is_tcp, arguments.message_size),
        Server::RawUring => raw_uring::serve(listener, arguments.message_size),
        Server::RawEpoll => raw_epoll::serve(listener),
    }
}

/// For the loops that hold their streams as plain descriptors. On a Unix socket this fails, and
/// is not needed.
fn set_nodelay(stream: &OwnedFd) {
    let stream = stream.try_clone().map(std::net::TcpStream::from);
    let _ = stream.map(|stream| stream.set_nodelay(true));
}
