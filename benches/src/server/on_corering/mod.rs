//! corering itself: handlers that anyone would write, the same source on both drivers.
//!
//! Tuned: nothing but what a line of the README says. What it measures is what a reader gets.

mod echo;
mod faulty;
mod http;
mod log;
mod mixed;

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;

use corering::fs::File;
use corering::net::{TcpListener, UnixListener};
use corering::signal::{self, Signal};
use corering::{Driver, Metrics, Runtime};
use futures_util::future::{Either, select};

use super::counters::{Counters, Work};
use super::fault::Fault;
use super::journal::Journal;
use super::options::{Receive, Workload};
use super::site::make_log;
use super::stage::Stage;

/// What every connection of a shard uses.
struct Shop {
    stage: &'static Stage,
    work: Work,
    file: Option<File>,
    log: Option<log::Log>,
    fault: Option<Fault>,
}

impl Shop {
    fn open(stage: &'static Stage, shard: usize) -> io::Result<Self> {
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

pub(super) fn run(stage: Stage, driver: Driver) -> io::Result<Counters> {
    let stage: &'static Stage = Box::leak(Box::new(stage));
    let receive = stage.arguments.receive.unwrap_or(Receive::Adaptive);
    let shards = usize::from(stage.arguments.shards);
    // Before any shard starts, so that all of them hear of every signal from now on.
    let stopped = signal::shutdown();
    let builder = Runtime::builder().driver(driver).receive_policy(receive.policy());
    if shards == 1 {
        // `build` leaves this thread on the CPU that it was given.
        return builder.build()?.block_on(shard(stage, 0, stopped));
    }
    let mut all = Counters::default();
    for counters in builder.shards(shards).run(|of| shard(stage, of.id(), stopped.clone()))? {
        all.merge(&counters?);
    }
    Ok(all)
}

/// Serves until the process is asked to end.
async fn shard(stage: &'static Stage, id: usize, stopped: Signal) -> io::Result<Counters> {
    let shop: &Shop = Box::leak(Box::new(Shop::open(stage, id)?));
    let disk = match stage.arguments.workload {
        Workload::Mixed => Some(mixed::Disk::begin(shop)?),
        _ => None,
    };
    if let Some((stall, every)) = shop.fault.and_then(|fault| fault.stop) {
        corering::spawn(faulty::stop_now_and_then(stall, every));
    }
    // All shards are there by now: a kernel that refuses a ring has said so before anybody is told
    // to connect.
    if id == 0 {
        stage.announce()?;
    }
    let listener = stage.listener(id);
    match select(pin!(accept(listener, shop, disk.clone())), stopped).await {
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

async fn accept(
    listener: OwnedFd,
    shop: &'static Shop,
    disk: Option<Rc<mixed::Disk>>,
) -> io::Result<()> {
    if !shop.stage.is_tcp() {
        let listener = UnixListener::from(listener);
        loop {
            echo::spawn_unix(listener.accept().await?, shop);
        }
    }
    let listener = TcpListener::from(listener);
    loop {
        let stream = listener.accept().await?;
        if let Some(disk) = &disk {
            corering::spawn(mixed::connection(stream, shop, disk.clone()));
            continue;
        }
        match shop.stage.arguments.workload {
            Workload::Echo | Workload::Churn | Workload::Idle | Workload::Mixed => {
                echo::spawn_tcp(stream, shop);
            }
            Workload::Http | Workload::File => {
                corering::spawn(http::connection(stream, shop));
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
