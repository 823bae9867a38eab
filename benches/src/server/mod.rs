//! Servers to measure: corering on both drivers, what a user would pick instead, and the two loops
//! that a person would write by hand, which are the limit.
//!
//! Each is the strongest honest version of itself; its file says what was tuned. Read `options.rs`
//! for what is served, then `on_corering`, whose one handler per workload runs on both drivers.
//! What all share: the requests (`requests.rs`), the answers, made once (`site.rs`), the listeners,
//! threads and the end (`stage.rs`).

mod committer;
mod counters;
mod disk;
mod fault;
mod hyper_page;
mod journal;
mod on_corering;
mod on_tokio;
mod options;
pub mod peers;
mod raw_epoll;
mod raw_uring;
mod ready;
mod requests;
mod site;
mod stage;

use std::io::{self, Write};

pub use counters::Counters;
pub use fault::{FaultOptions, Mode};
pub use options::{Arguments, Read, Receive, Server, Workload};
pub use site::body;

use crate::os;
use crate::outcome::{Failure, Outcome};
use site::Site;

/// The subcommand `serve`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    arguments.check()?;
    os::die_with_parent()?;
    os::raise_descriptor_limit()?;
    if let Some(cpu) = arguments.cpu {
        os::pin_to_cpu(cpu).map_err(|error| {
            Failure::Usage(format!("--cpu {cpu}: {error}; this process may use {}", allowed()))
        })?;
    }
    let counters = serve(arguments).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Failure::Usage(error.to_string()),
        _ => Failure::environment(arguments.driver.name(), error),
    })?;
    // Whoever started this server may have gone; then nobody wants to know.
    let _ = writeln!(io::stdout(), "{}", counters.line());
    Ok(Outcome::Valid)
}

/// A server that cannot make its log durable ends: it must not answer, nor keep others waiting.
fn fail(error: &io::Error) -> ! {
    eprintln!("corering-bench: the log: {error}; give --dir a folder with room");
    std::process::exit(3)
}

/// The CPUs that can be asked for.
fn allowed() -> String {
    let cpus = os::allowed_cpus().unwrap_or_default();
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn serve(arguments: &Arguments) -> io::Result<Counters> {
    let site = Site::prepare(arguments)?;
    match arguments.driver {
        Server::Uring => on_corering::run(arguments, site, corering::Driver::Uring),
        Server::Epoll => on_corering::run(arguments, site, corering::Driver::Epoll),
        Server::Tokio => stage::run(arguments, site, on_tokio::serve),
        Server::RawUring => stage::run(arguments, site, raw_uring::serve),
        Server::RawEpoll => stage::run(arguments, site, raw_epoll::serve),
    }
}
