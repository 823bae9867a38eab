//! tokio's current-thread runtime, doing the same.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::spawn;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, sleep_until};

use super::timers::{self, ARMED, FAR};
use super::work::{SPAWNED, TRIPS, YIELDING, YIELDS};
use super::{Done, Orders, RuntimeWork, failed, repeat};
use crate::os;

pub(super) fn run(work: RuntimeWork, orders: Orders) -> io::Result<()> {
    if work == RuntimeWork::PingPong {
        return ping_pong(orders);
    }
    let runtime = runtime()?;
    let armed = match work {
        RuntimeWork::TimerFire | RuntimeWork::TimerCancel => ARMED,
        _ => 0,
    };
    let armed = runtime.block_on(timers::arm(armed, || sleep(FAR)));
    orders.follow(|duration| {
        runtime.block_on(async {
            match work {
                RuntimeWork::NoOp => Err(failed("tokio has no operation that does nothing")),
                RuntimeWork::Spawn => repeat(duration, spawns).await,
                RuntimeWork::Yield => repeat(duration, yields).await,
                RuntimeWork::TimerFire => {
                    let fire = async || Ok(timers::fire(|due| sleep_until(due.into())).await);
                    repeat(duration, fire).await
                }
                RuntimeWork::TimerCancel => {
                    let cancel = async || Ok(timers::cancel(TRIPS, || sleep(FAR)).await);
                    repeat(duration, cancel).await
                }
                RuntimeWork::PingPong => unreachable!("it has threads of its own"),
            }
        })
    })?;
    runtime.block_on(async { drop(armed) });
    Ok(())
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn spawns() -> io::Result<u64> {
    join((0..SPAWNED).map(|_| spawn(async {})).collect()).await?;
    Ok(SPAWNED)
}

async fn yields() -> io::Result<u64> {
    let one = || async {
        for _ in 0..YIELDS {
            yield_now().await;
        }
    };
    join((0..YIELDING).map(|_| spawn(one())).collect()).await?;
    Ok(YIELDING * YIELDS)
}

async fn join(handles: Vec<JoinHandle<()>>) -> io::Result<()> {
    for handle in handles {
        handle.await.map_err(failed)?;
    }
    Ok(())
}

/// Two threads with a runtime each, which is what stands for shards where there are none.
fn ping_pong(orders: Orders) -> io::Result<()> {
    let (to_second, mut from_first) = mpsc::unbounded_channel();
    let (to_first, from_second) = mpsc::unbounded_channel();
    let has_two_cpus = thread::available_parallelism()?.get() > 1;
    if has_two_cpus {
        os::pin_to_cpu(0)?;
    }
    let second = thread::spawn(move || -> io::Result<()> {
        if has_two_cpus {
            os::pin_to_cpu(1)?;
        }
        runtime()?.block_on(async {
            while let Some(number) = from_first.recv().await {
                // The first thread may have ended with an error, which it tells itself.
                let _ = to_first.send(number);
            }
        });
        Ok(())
    });
    runtime()?.block_on(call(orders, to_second, from_second))?;
    second.join().map_err(|_| failed("the other thread panicked"))?
}

async fn call(
    mut orders: Orders,
    sender: UnboundedSender<u64>,
    mut receiver: UnboundedReceiver<u64>,
) -> io::Result<()> {
    orders.ready()?;
    // This blocks the thread between slices, when there is nothing that it could do.
    while let Some(duration) = orders.next()? {
        let done: Done = repeat(duration, async || {
            for number in 0..TRIPS {
                sender.send(number).map_err(failed)?;
                if receiver.recv().await != Some(number) {
                    return Err(failed("the other thread did not send back what it received"));
                }
            }
            Ok(TRIPS)
        })
        .await?;
        orders.answer(done)?;
    }
    Ok(())
}
