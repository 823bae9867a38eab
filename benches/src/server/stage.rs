//! What all servers stand on; and of those that are no corering the listeners, one per shard, the
//! threads, and the end, at a signal.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use socket2::{Domain, SockRef, Socket, Type};

use super::counters::{Counters, Work};
use super::journal::Journal;
use super::options::Arguments;
use super::ready::Shop;
use super::site::Site;
use crate::address::Address;
use crate::os;
use crate::process::LISTENING;

/// Connections that wait to be accepted, at most: what Linux allows by default.
const BACKLOG: i32 = 4096;

/// A server that is about to begin, and what its shards listen with.
#[derive(Debug)]
pub(super) struct Stage<L = Sockets> {
    pub(super) arguments: Arguments,
    pub(super) site: Site,
    pub(super) listeners: L,
    address: Address,
    /// The CPU of each shard; empty where they are not pinned.
    cpus: Vec<usize>,
}

/// By the number of the shard, each taken once.
type Sockets = Mutex<Vec<Option<OwnedFd>>>;

impl<L> Stage<L> {
    /// Has the address, and has not announced it yet.
    pub(super) fn open(
        arguments: &Arguments,
        site: Site,
        bind: fn(&Address, usize) -> io::Result<(L, Address)>,
    ) -> io::Result<Self> {
        let shards = usize::from(arguments.shards);
        let mut cpus = Vec::new();
        if shards > 1 {
            cpus = os::allowed_cpus()?;
            if cpus.len() < shards {
                let text = format!(
                    "{shards} shards need as many CPUs, and {} may be used: give --shards {0} at most",
                    cpus.len()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            cpus.truncate(shards);
        }
        let (listeners, address) = bind(&arguments.address, shards).map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "another program listens there: choose another port, or port 0 for any free one"
                }
                io::ErrorKind::PermissionDenied => {
                    "choose a port above 1023, or a folder that this user may write to"
                }
                _ => "choose an address of this machine, such as 127.0.0.1:0",
            };
            io::Error::other(format!("{error}; {advice}"))
        })?;
        Ok(Stage { arguments: arguments.clone(), site, listeners, address, cpus })
    }

    /// Tells whoever started this server that it listens.
    pub(super) fn announce(&self) -> io::Result<()> {
        let mut output = io::stdout().lock();
        writeln!(output, "{LISTENING}{}", self.address)?;
        output.flush()
    }

    pub(super) fn is_tcp(&self) -> bool {
        matches!(self.address, Address::Tcp(_))
    }

    /// What a shard notes its work in.
    pub(super) fn work(&self) -> Work {
        Work::new(self.arguments.size, self.arguments.handicap)
    }
}

impl Stage {
    /// The listener of a shard.
    pub(super) fn listener(&self, shard: usize) -> OwnedFd {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners[shard].take().expect("a shard takes its listener once")
    }

    /// What every connection of a hand-written loop uses.
    pub(super) fn shop(&self) -> io::Result<Shop> {
        Ok(Shop {
            workload: self.arguments.workload,
            pages: self.site.pages,
            file: self.site.file.as_ref().map(File::try_clone).transpose()?,
            journal: RefCell::new(Journal::new(self.arguments.group)),
            work: self.work(),
        })
    }
}

fn bind(address: &Address, count: usize) -> io::Result<(Sockets, Address)> {
    let (sockets, bound) = listen(address, count).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })?;
    Ok((Mutex::new(sockets.into_iter().map(Some).collect()), bound))
}

/// One listener for each shard. The kernel spreads connections over those of TCP.
fn listen(address: &Address, count: usize) -> io::Result<(Vec<OwnedFd>, Address)> {
    let (first, bound) = address.listen()?;
    let mut listeners = vec![first];
    match &bound {
        Address::Tcp(bound) if count > 1 => {
            // Only now it is known that the port is free: listeners that share one would share it
            // with those of another process, too.
            listeners.clear();
            for _ in 0..count {
                let socket = Socket::new(Domain::for_address(*bound), Type::STREAM, None)?;
                socket.set_reuse_address(true)?;
                socket.set_reuse_port(true)?;
                socket.bind(&(*bound).into())?;
                socket.listen(BACKLOG)?;
                listeners.push(socket.into());
            }
        }
        Address::Tcp(_) => {
            SockRef::from(&listeners[0]).listen(BACKLOG)?;
        }
        Address::Unix(_) => {
            for _ in 1..count {
                listeners.push(listeners[0].try_clone()?);
            }
        }
    }
    if matches!(bound, Address::Tcp(_)) {
        // What is accepted inherits it: no system call per connection.
        listeners.iter().try_for_each(|fd| SockRef::from(fd).set_tcp_nodelay(true))?;
    }
    Ok((listeners, bound))
}

/// Becomes readable, and stays so, once the process was asked to end.
#[derive(Debug)]
pub(super) struct Stop(UnixStream);

impl Stop {
    pub(super) fn install() -> io::Result<Self> {
        let (stop, signalled) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            pipe::register(signal, signalled.try_clone()?)?;
        }
        stop.set_nonblocking(true)?;
        Ok(Stop(stop))
    }

    pub(super) fn try_clone(&self) -> io::Result<UnixStream> {
        self.0.try_clone()
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// One shard of a server that is no corering.
pub(super) struct Part {
    pub(super) stage: Arc<Stage>,
    pub(super) shard: usize,
    pub(super) listener: OwnedFd,
    pub(super) stop: Arc<Stop>,
    /// Called when everything that the environment could refuse is there.
    pub(super) is_ready: Box<dyn FnOnce() -> io::Result<()> + Send>,
}

enum Event {
    IsReady,
    Ended(io::Result<Counters>),
}

/// Serves on as many threads as there are shards, the only one being the calling thread.
pub(super) fn run(
    arguments: &Arguments,
    site: Site,
    serve: fn(Part) -> io::Result<Counters>,
) -> io::Result<Counters> {
    let stage = Arc::new(Stage::open(arguments, site, bind)?);
    let stop = Arc::new(Stop::install()?);
    let part = |shard, is_ready| Part {
        stage: stage.clone(),
        shard,
        listener: stage.listener(shard),
        stop: stop.clone(),
        is_ready,
    };
    if stage.cpus.is_empty() {
        let announcing = stage.clone();
        return serve(part(0, Box::new(move || announcing.announce())));
    }
    let (sender, events) = mpsc::channel();
    for (shard, &cpu) in stage.cpus.iter().enumerate() {
        let (sender, ready) = (sender.clone(), sender.clone());
        // Nobody receives when another shard has failed; then the process is about to end.
        let is_ready = move || {
            drop(ready.send(Event::IsReady));
            Ok(())
        };
        let part = part(shard, Box::new(is_ready));
        thread::Builder::new().name(format!("shard-{shard}")).spawn(move || {
            let ended = os::pin_to_cpu(cpu).and_then(|()| serve(part));
            drop(sender.send(Event::Ended(ended)));
        })?;
    }
    drop(sender);
    let (mut ready, mut ended, mut all) = (0, 0, Counters::default());
    while ended < stage.cpus.len() {
        match events.recv().map_err(|_| io::Error::other("a shard panicked"))? {
            Event::IsReady => ready += 1,
            Event::Ended(counters) => {
                ended += 1;
                all.merge(&counters?);
                continue;
            }
        }
        if ready == stage.cpus.len() {
            stage.announce()?;
        }
    }
    Ok(all)
}
