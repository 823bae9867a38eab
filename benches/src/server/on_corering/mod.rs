//! corering itself: handlers that anyone would write, the same source on both drivers.
//!
//! Tuned: nothing but what a line of the README says. What it measures is what a reader gets.

mod echo;
mod faulty;
mod http;
mod hyper;
mod log;
mod mixed;
mod proxy;

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corering::fs::File;
use corering::net::{ShardListeners, TcpListener, Unix, UnixListener};
use corering::signal::{self, Signal};
use corering::{Driver, Metrics, Runtime, Shard};
use futures_util::future::{Either, select};

use super::counters::{Counters, Work};
use super::fault::Fault;
use super::journal::Journal;
use super::options::{Arguments, Receive, Workload};
use super::site::{Site, make_log};
use super::stage::Stage;
use crate::address::Address;

/// What every connection of a shard uses.
struct Shop {
    stage: &'static Stage<Listeners>,
    work: Work,
    file: Option<File>,
    log: Option<log::Log>,
    fault: Option<Fault>,
}

impl Shop {
    fn open(stage: &'static Stage<Listeners>, shard: usize) -> io::Result<Self> {
        let file = stage.site.file.as_ref().map(|file| file.try_clone().map(File::from));
        let mut shop =
            Shop { stage, work: stage.work(), file: file.transpose()?, log: None, fault: None };
        if stage.arguments.workload == Workload::Log {
            let journal = RefCell::new(Journal::new(stage.arguments.group));
            let file = File::from(make_log(&stage.arguments, shard)?);
            shop.log = Some(log::Log { file, journal });
        }
        if stage.arguments.workload == Workload::Faulty {
            let fault = stage.arguments.fault.fault();
            shop.fault = Some(fault.map_err(io::Error::other)?);
        }
        Ok(shop)
    }
}

/// The listeners of all shards.
#[derive(Debug)]
enum Listeners {
    Tcp(ShardListeners),
    Unix(ShardListeners<Unix>),
}

impl Listeners {
    fn bind(address: &Address, shards: usize) -> io::Result<(Self, Address)> {
        match address {
            Address::Tcp(address) => {
                let builder = TcpListener::builder().nodelay(true);
                let listeners = builder.bind_shards(*address, shards)?;
                let bound = Address::Tcp(listeners.local_addr());
                Ok((Listeners::Tcp(listeners), bound))
            }
            Address::Unix(path) => {
                Ok((Listeners::Unix(UnixListener::bind_shards(path, shards)?), address.clone()))
            }
        }
    }
}

pub(super) fn run(arguments: &Arguments, site: Site, driver: Driver) -> io::Result<Counters> {
    let stage = Stage::open(arguments, site, Listeners::bind)?;
    let stage: &'static Stage<Listeners> = Box::leak(Box::new(stage));
    let receive = arguments.receive.unwrap_or(Receive::Adaptive);
    let shards = usize::from(arguments.shards);
    // Before any shard starts, so that all of them hear of every signal from now on.
    let stopped = signal::shutdown();
    let builder = Runtime::builder().driver(driver).receive_policy(receive.policy());
    // One alone stays on the CPU that this process was given.
    let builder = builder.shards(shards).pin(shards > 1);
    let mut all = Counters::default();
    for counters in builder.run(|of| shard(stage, of, stopped.clone()))? {
        all.merge(&counters?);
    }
    Ok(all)
}

/// Serves until the process is asked to end.
async fn shard(
    stage: &'static Stage<Listeners>,
    of: Shard,
    stopped: Signal,
) -> io::Result<Counters> {
    let shop: &Shop = Box::leak(Box::new(Shop::open(stage, of.id())?));
    let disk = match stage.arguments.workload {
        Workload::Mixed => Some(mixed::Disk::begin(shop)?),
        _ => None,
    };
    if let Some((stall, every)) = shop.fault.and_then(|fault| fault.stop) {
        corering::spawn(faulty::stop_now_and_then(stall, every));
    }
    match select(pin!(accept(&of, shop, disk.clone())), stopped).await {
        Either::Left((ended, _)) => ended?,
        Either::Right((stopped, _)) => stopped?,
    }
    let mut counters = shop.work.counters();
    add_metrics(&mut counters, &corering::metrics());
    if let Some(disk) = disk {
        counters.set("disk_reads", disk.reads());
    }
    Ok(counters)
}

async fn accept(of: &Shard, shop: &'static Shop, disk: Option<Rc<mixed::Disk>>) -> io::Result<()> {
    let listener = match &shop.stage.listeners {
        Listeners::Tcp(listeners) => listeners.take(of)?,
        Listeners::Unix(listeners) => {
            let listener = listeners.take(of)?;
            announce(shop.stage, of)?;
            loop {
                echo::spawn(listener.accept().await?, shop);
            }
        }
    };
    announce(shop.stage, of)?;
    loop {
        let stream = listener.accept().await?;
        if let Some(disk) = &disk {
            corering::spawn(mixed::connection(stream, shop, disk.clone()));
            continue;
        }
        match shop.stage.arguments.workload {
            Workload::Echo | Workload::Churn | Workload::Idle | Workload::Mixed => {
                echo::spawn(stream, shop);
            }
            Workload::Http | Workload::File => {
                corering::spawn(http::connection(stream, shop));
            }
            Workload::Hyper => {
                corering::spawn(hyper::connection(stream, shop));
            }
            Workload::Proxy => {
                corering::spawn(proxy::connection(stream, shop));
            }
            Workload::Log => {
                corering::spawn(log::connection(stream, shop));
            }
            Workload::Faulty => {
                let fault = shop.fault.expect("the workload has a fault");
                corering::spawn(faulty::connection(stream, shop, fault));
            }
        }
    }
}

/// Says that this server listens when all shards do, so that connections spread over all.
fn announce(stage: &Stage<Listeners>, of: &Shard) -> io::Result<()> {
    static LISTENING: AtomicUsize = AtomicUsize::new(0);
    if LISTENING.fetch_add(1, Ordering::AcqRel) + 1 == of.count() {
        stage.announce()?;
    }
    Ok(())
}

fn add_metrics(counters: &mut Counters, metrics: &Metrics) {
    // Each line is a name, a colon and a number.
    for line in metrics.to_string().lines() {
        if let Some((name, count)) = line.split_once(": ")
            && let Ok(count) = count.parse()
        {
            counters.set(name, count);
        }
    }
    let calls = metrics.enters + metrics.attempts + metrics.pool_jobs;
    counters.set("system_calls", calls);
}
