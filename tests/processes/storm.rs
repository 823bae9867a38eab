//! Thousands of processes that are started and dropped, killed or awaited at random points.

use std::io;
use std::pin::pin;
use std::rc::Rc;

use corering::process::Command;
use corering::sync::Semaphore;
use corering::task::JoinSet;
use corering::{Runtime, spawn, yield_now};
use futures_util::poll;

use crate::net::{Random, until};
use crate::{alone, children_of, id_of, is_reaped};

/// How many processes a storm starts on each driver.
const PROCESSES: usize = 10_000;
/// How many of them there are at a time.
const AT_A_TIME: usize = 64;

fn numbers() -> usize {
    let most = std::env::var("STORM_PROCESSES").ok().and_then(|it| it.parse().ok());
    most.unwrap_or(PROCESSES)
}

#[test]
fn storm_of_processes_leaves_nothing() {
    alone("storm::storm_of_processes_leaves_nothing", |driver| {
        let runtime = Runtime::builder().driver(driver).build()?;
        runtime.block_on(async {
            let room = Rc::new(Semaphore::new(AT_A_TIME));
            let mut tasks = JoinSet::new();
            for number in 0..numbers() {
                let permit = room.clone().acquire_owned().await.expect("it is never closed");
                tasks.spawn(async move {
                    one(number as u64).await;
                    drop(permit);
                });
                while let Some(ended) = tasks.try_join_next() {
                    ended.expect("it does not panic");
                }
            }
            while let Some(ended) = tasks.join_next().await {
                ended.expect("it does not panic");
            }
        });
        // What is under way goes to the thread that reaps.
        drop(runtime);
        Ok(())
    });
}

#[test]
fn storm_on_two_shards_leaves_nothing() {
    alone("storm::storm_on_two_shards_leaves_nothing", |driver| {
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let ended = builder.run(async |shard| {
            let mut tasks = JoinSet::new();
            for number in 0..100 {
                tasks.spawn(one(number * 2 + shard.id() as u64));
            }
            // The first half; the others are under way when the shard ends.
            for _ in 0..50 {
                tasks.join_next().await.expect("there are more").expect("it does not panic");
            }
            tasks.detach_all();
        });
        ended.map(drop)
    });
}

#[test]
fn thousand_processes_at_a_time_leave_nothing() {
    alone("storm::thousand_processes_at_a_time_leave_nothing", |driver| {
        let runtime = Runtime::builder().driver(driver).build()?;
        let mut command = Command::new("/bin/sleep");
        command.arg("1000000").kill_on_drop(true);
        // A third is dropped in the runtime, a third outside, and a third with its tasks at the end.
        let (outside, in_tasks) = runtime.block_on(async {
            let mut children = Vec::new();
            for _ in 0..1000 {
                children.push(command.spawn().await?);
            }
            assert_eq!(children_of(std::process::id()).len(), 1000);
            let in_tasks = children.split_off(666);
            let outside = children.split_off(333);
            let dropped: Vec<u32> = children.iter().map(id_of).collect();
            drop(children);
            until(|| dropped.iter().all(|pid| is_reaped(*pid))).await;
            io::Result::Ok((outside, in_tasks))
        })?;
        drop(outside);
        runtime.block_on(async {
            for mut child in in_tasks {
                spawn(async move { child.wait().await });
            }
            yield_now().await;
        });
        Ok(())
    });
}

/// The life of one process, after a number.
async fn one(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let runs_on = random.below(2) == 0;
    let mut command = if runs_on { Command::new("/bin/sleep") } else { Command::new("/bin/true") };
    if runs_on {
        command.arg("1000000");
    }
    command.kill_on_drop(runs_on);
    let mut spawn = pin!(command.spawn());
    let drops_start = random.below(4) == 0;
    let mut started = poll!(&mut spawn);
    if drops_start {
        for _ in 0..random.below(30) {
            if started.is_ready() {
                break;
            }
            yield_now().await;
            started = poll!(&mut spawn);
        }
        return;
    }
    let mut child = match started {
        std::task::Poll::Ready(started) => started,
        std::task::Poll::Pending => spawn.await,
    }
    .expect("there is room for a process");
    let fate = random.below(6);
    if random.below(2) == 0 {
        let mut wait = pin!(child.wait());
        for _ in 0..random.below(4) {
            if poll!(&mut wait).is_ready() {
                return;
            }
            yield_now().await;
        }
    }
    match fate {
        0 => {}
        1 => drop(child.start_kill()),
        2 => drop(child.terminate()),
        3 => {
            // It may have ended and been waited for above.
            let _ = child.kill().await;
        }
        4 => {
            let _ = child.start_kill();
            child.wait().await.expect("it ends");
        }
        _ if runs_on => {
            let _ = child.start_kill();
            let _ = poll!(pin!(child.wait()));
        }
        _ => {
            child.wait().await.expect("it ends");
        }
    }
}
