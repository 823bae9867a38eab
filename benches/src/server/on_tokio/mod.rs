//! What a user would pick: tokio's current-thread runtime, its I/O driver alone.
//!
//! Tuned: a buffer per connection that a whole message fits in, so that one read and one write
//! serve one request; no timers unless a limit is asked for, or hyper has one; one runtime and one listener per shard, as
//! servers on tokio with a thread per core are built. `event_interval` is left at its default, as a user finds it.
//! `TCP_NODELAY` comes from the listener, which spares a system call per connection.

mod echo;
mod http;
mod hyper;
mod log;
mod mixed;
mod proxy;

use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_util::future::{Either, select};
use tokio::io::Interest;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::counters::{Counters, Work};
use super::journal::Journal;
use super::options::{Arguments, Workload};
use super::site::make_log;
use super::stage::{Part, Stage};

/// What every connection of a shard uses.
struct Shop {
    stage: Arc<Stage>,
    work: Work,
    log: Option<log::Log>,
}

impl Shop {
    fn open(stage: Arc<Stage>, shard: usize) -> io::Result<Self> {
        let mut shop = Shop { work: stage.work(), log: None, stage };
        if shop.stage.arguments.workload == Workload::Log {
            let journal = Mutex::new(Journal::new(shop.stage.arguments.group));
            let file = make_log(&shop.stage.arguments, shard)?;
            shop.log = Some(log::Log { file, journal });
        }
        Ok(shop)
    }
}

pub(super) fn serve(part: Part) -> io::Result<Counters> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io();
    let Arguments { limit, workload, .. } = &part.stage.arguments;
    if limit.is_some() || *workload == Workload::Hyper {
        builder.enable_time();
    }
    let runtime = builder.build()?;
    let shop: &Shop = Box::leak(Box::new(Shop::open(part.stage, part.shard)?));
    runtime.block_on(async {
        let stop = UnixStream::from_std(part.stop.try_clone()?)?;
        let disk = match shop.stage.arguments.workload {
            Workload::Mixed => Some(mixed::Disk::begin(shop)?),
            _ => None,
        };
        (part.is_ready)()?;
        let stopped = pin!(stop.ready(Interest::READABLE));
        match select(pin!(accept(part.listener, shop, disk.clone())), stopped).await {
            Either::Left((ended, _)) => ended?,
            Either::Right((stopped, _)) => drop(stopped?),
        }
        let mut counters = shop.work.counters();
        if let Some(disk) = disk {
            counters.set("disk_reads", disk.reads());
        }
        Ok(counters)
    })
}

async fn accept(
    listener: OwnedFd,
    shop: &'static Shop,
    disk: Option<Arc<mixed::Disk>>,
) -> io::Result<()> {
    if !shop.stage.is_tcp() {
        let listener = std::os::unix::net::UnixListener::from(listener);
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        loop {
            echo::spawn(listener.accept().await?.0, shop);
        }
    }
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let stream = listener.accept().await?.0;
        if let Some(disk) = &disk {
            tokio::spawn(mixed::connection(stream, shop, disk.clone()));
            continue;
        }
        match shop.stage.arguments.workload {
            Workload::Echo | Workload::Churn | Workload::Idle | Workload::Mixed => {
                echo::spawn(stream, shop);
            }
            Workload::Http | Workload::File => {
                tokio::spawn(http::connection(stream, shop));
            }
            Workload::Hyper => {
                tokio::spawn(hyper::connection(stream, shop));
            }
            Workload::Proxy => {
                tokio::spawn(proxy::connection(stream, shop));
            }
            Workload::Log => {
                tokio::spawn(log::connection(stream, shop));
            }
            Workload::Faulty => unreachable!("refused: only corering serves it"),
        }
    }
}
