//! corering, on one driver.

use std::io;
use std::sync::Mutex;

use corering::time::{sleep, sleep_until};
use corering::{
    Driver, JoinHandle, Runtime, Shard, ShardReceiver, ShardSender, shard_channel, spawn,
    test_support, yield_now,
};

use super::timers::{self, ARMED, FAR};
use super::work::{SPAWNED, TRIPS, YIELDING, YIELDS};
use super::{Done, Orders, RuntimeWork, failed, repeat};

pub(super) fn run(driver: Driver, work: RuntimeWork, orders: Orders) -> io::Result<()> {
    if work == RuntimeWork::PingPong {
        return ping_pong(driver, orders);
    }
    let runtime = Runtime::builder().driver(driver).build()?;
    let armed = match work {
        RuntimeWork::TimerFire | RuntimeWork::TimerCancel => ARMED,
        _ => 0,
    };
    let armed = runtime.block_on(timers::arm(armed, || sleep(FAR)));
    orders.follow(|duration| {
        runtime.block_on(async {
            match work {
                RuntimeWork::NoOp => repeat(duration, nops).await,
                RuntimeWork::Spawn => repeat(duration, spawns).await,
                RuntimeWork::Yield => repeat(duration, yields).await,
                RuntimeWork::TimerFire => {
                    repeat(duration, async || Ok(timers::fire(sleep_until).await)).await
                }
                RuntimeWork::TimerCancel => {
                    let cancel = async || Ok(timers::cancel(TRIPS, || sleep(FAR)).await);
                    repeat(duration, cancel).await
                }
                RuntimeWork::PingPong => unreachable!("it has shards of its own"),
            }
        })
    })?;
    drop(armed);
    Ok(())
}

async fn nops() -> io::Result<u64> {
    for _ in 0..TRIPS {
        test_support::nop().await?;
    }
    Ok(TRIPS)
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

type Ends = (ShardSender<u64>, ShardReceiver<u64>);

/// Two shards, each pinned where there are processors enough. The second one sends back what it
/// receives; the first counts.
fn ping_pong(driver: Driver, orders: Orders) -> io::Result<()> {
    let (to_second, from_first) = shard_channel();
    let (to_first, from_second) = shard_channel();
    let first = Mutex::new(Some((orders, (to_second, from_second))));
    let second = Mutex::new(Some((to_first, from_first)));
    let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
    let outcomes = builder.run(|shard: Shard| {
        let (first, second) = (&first, &second);
        async move {
            if shard.id() == 0 {
                let (orders, ends) = taken(first);
                call(orders, ends).await
            } else {
                let (sender, mut receiver) = taken::<Ends>(second);
                while let Some(number) = receiver.recv().await {
                    // The first shard may have ended with an error, which it tells itself.
                    let _ = sender.send(number);
                }
                Ok(())
            }
        }
    })?;
    outcomes.into_iter().collect()
}

fn taken<T>(place: &Mutex<Option<T>>) -> T {
    let mut place = place.lock().expect("nothing panics while it is held");
    place.take().expect("each shard runs its main future once")
}

async fn call(mut orders: Orders, (sender, mut receiver): Ends) -> io::Result<()> {
    orders.ready()?;
    // This blocks the shard between slices, when there is nothing that it could do.
    while let Some(duration) = orders.next()? {
        let done: Done = repeat(duration, async || {
            for number in 0..TRIPS {
                sender.send(number).map_err(|_| failed("the other shard has ended"))?;
                if receiver.recv().await != Some(number) {
                    return Err(failed("the other shard did not send back what it received"));
                }
            }
            Ok(TRIPS)
        })
        .await?;
        orders.answer(done)?;
    }
    Ok(())
}
