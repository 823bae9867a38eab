//! Serves the files of one folder over HTTP/1.1.
//!
//! Reading order: `server` accepts; `connection` cuts its `input` into heads, makes each a
//! `request`, finds its `resource` below the `root`, lets `answer` decide, and sends the `response`.
//! Everything but those that are named `server`, `connection` and `root` is without I/O.

mod answer;
mod body;
mod codings;
mod conditions;
mod connection;
mod fields;
mod input;
mod listing;
mod parts;
mod range;
mod request;
mod resource;
mod response;
mod root;
mod server;
mod status;
mod variants;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corering::Shard;
use corering::fs::FileCache;
use corering::net::{ShardListeners, TcpListener};
use corering::signal::Signal;
use corering_examples::{ShardOptions, complain, say};
use rustix::process::{Resource, getrlimit};

use crate::root::Root;
use crate::server::{Limits, Server};

/// Serves the files of one folder over HTTP/1.1, until Ctrl-C or SIGTERM.
///
/// Prints "listening on ADDR" and "serving ROOT on DRIVER" when it can be connected to. Everything
/// below ROOT that the server may read is served, names that begin with a dot included; nothing
/// above it is, nor what a link leads to outside. Where NAME.br, NAME.zst or NAME.gz lies beside NAME
/// and is not older, a client that accepts brotli, zstd or gzip gets NAME in that form. At a signal, it stops to accept, answers the
/// requests that have arrived, and ends with status 0.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder whose files are served.
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,

    /// The address to listen on. Port 0 lets the kernel choose one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    addr: SocketAddr,

    #[command(flatten)]
    shards: ShardOptions,

    /// How many connections are served at once, by all shards together. Others wait until one
    /// ends. The limit of open files (ulimit -n) may lower it, since each connection needs two.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,

    /// How many seconds a client may take to send the header of a request, and as many again for
    /// its body. After that it gets status 408, or, if it has sent nothing at all, no answer.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    #[arg(allow_negative_numbers = true)]
    header_timeout: Duration,

    /// How many seconds a connection may rest between two requests.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    #[arg(allow_negative_numbers = true)]
    idle_timeout: Duration,

    /// How many seconds a client may take to receive each 256 KiB of an answer, of four of them
    /// together. After that its connection is closed.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    #[arg(allow_negative_numbers = true)]
    write_timeout: Duration,

    /// How many files each shard keeps open for the next request. 0 opens a file for each request.
    /// What is kept is checked once a second, and a file that was changed in the last two seconds for
    /// each request; most changes are noticed sooner, by inotify. A file that is replaced by a rename
    /// may be served as it was for up to one second more, whole; one that is written in place may be cut
    /// off in that second. The limit of open files may lower the number.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    cache_files: u32,

    /// Bytes of files of up to 16 KiB that each shard keeps in memory. Larger ones go from the page
    /// cache.
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20)]
    cache_bytes: u32,

    /// How many seconds requests that have arrived may take to end after a signal.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    #[arg(allow_negative_numbers = true)]
    shutdown_timeout: Duration,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(format_args!("static_server: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    // Looked at once before any shard starts, so that a mistake is one error and not one for each.
    if let Err(error) = std::fs::read_dir(&arguments.root) {
        return Err(format!("the folder {} cannot be served: {error}", arguments.root.display()));
    }
    let builder = TcpListener::builder().nodelay(true);
    let listeners = builder.bind_shards(arguments.addr, arguments.shards.shards);
    let listeners = listeners.map_err(|error| error.to_string())?;
    let places = Places::new(arguments);
    let runtime = arguments.shards.runtime().max_queued_accepts(places.queued);
    // From here on a signal waits for all shards, whenever they start, and does not end the process.
    let stop = corering::signal::shutdown();
    let ended = runtime.try_run(|shard| serve(shard, arguments, &listeners, places, stop.clone()));
    ended.map(drop).map_err(|error: io::Error| error.to_string())
}

/// Serves on one shard.
async fn serve(
    shard: Shard,
    arguments: &Arguments,
    listeners: &ShardListeners,
    places: Places,
    stop: Signal,
) -> io::Result<()> {
    let limits = Limits {
        connections_max: places.connections,
        header_timeout: arguments.header_timeout,
        idle_timeout: arguments.idle_timeout,
        write_timeout: arguments.write_timeout,
        shutdown_timeout: arguments.shutdown_timeout,
    };
    let cache =
        FileCache::builder().files_max(places.kept_open).bytes_max(arguments.cache_bytes as usize);
    let server = Server::new(Root::open(&arguments.root, cache).await?, limits);
    let listener = listeners.take(&shard)?;
    if shard.id() == 0 {
        say(format_args!("listening on {}", listeners.local_addr()));
        say(format_args!("serving {} on {}", arguments.root.display(), shard.driver()));
    }
    server.run(listener, stop).await
}

/// How many descriptors a shard may have.
#[derive(Clone, Copy)]
struct Places {
    /// Files and folders that the cache keeps open.
    kept_open: usize,
    /// Served at once.
    connections: usize,
    /// Accepted and not yet served.
    queued: u32,
}

impl Places {
    /// Divides what the flags allow among the shards, within the descriptors the process may have:
    /// a connection that waits takes one, and one that is served a second for its file.
    fn new(arguments: &Arguments) -> Self {
        let shards = arguments.shards.shards as u64;
        // The runtime raises the soft limit to the hard one. No limit is many.
        let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let descriptors = limit.saturating_sub(OWN_DESCRIPTORS * shards) / shards;
        // Connections come first.
        let kept_open = u64::from(arguments.cache_files).min(descriptors / 8);
        let descriptors = descriptors - kept_open;
        // Accepting ahead saves a round trip to the kernel for each connection, and may go
        // somewhat beyond its limit; where descriptors are few, one at a time.
        let queued = if descriptors < 1024 { 1 } else { 64 };
        let wanted = u64::from(arguments.max_connections).div_ceil(shards);
        let connections = wanted.min(descriptors.saturating_sub(2 * queued) / 2).max(1);
        let (kept_open, connections) = (kept_open as usize, connections as usize);
        Self { kept_open, connections, queued: queued as u32 }
    }
}

/// Descriptors that a shard takes for itself: standard streams, ring or epoll, doorbell, signals,
/// listener, root, inotify.
const OWN_DESCRIPTORS: u64 = 15;

/// A duration in seconds, fractions allowed.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| String::from("this is no number of seconds"))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && duration <= TIMEOUT_MAX => Ok(duration),
        _ => Err(String::from("a time must be more than 0 seconds and at most 1000000")),
    }
}

/// Eleven days. Beyond some length, a moment in the future cannot be computed.
const TIMEOUT_MAX: Duration = Duration::from_secs(1_000_000);
