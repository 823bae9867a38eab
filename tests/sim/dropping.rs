//! Rows of the table in `corering::cancel_safety`, by the bodies of `tests/dropping`, on a thousand seeds.
//! A seed has a moment, a policy, and a kernel of its own.

use std::io;

use corering::net::TcpStream;

use crate::moments::{MOMENTS, Moment, World};
use crate::net::POLICIES;
use crate::pairs::pair;
use crate::simulated::{defaults, run};
use crate::{copies, ends};
use crate::{queue_storm, queues};
use crate::{receives, writes};

const SEEDS: u64 = 1_000;

async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    Ok(pair().await)
}

fn on_each_seed(body: impl AsyncFn(u64, &World, Moment) -> io::Result<()>) {
    for seed in 0..SEEDS {
        let moment = MOMENTS[seed as usize % MOMENTS.len()];
        let policy = POLICIES[seed as usize / MOMENTS.len() % POLICIES.len()];
        let builder = defaults().receive_policy(policy).max_queued_accepts(1 + seed as u32 % 2);
        let world = World::simulated(seed);
        run(seed, builder, async { body(seed, &world, moment).await.expect("the world is sound") });
    }
}

#[test]
fn dropped_receives_leave_bytes_for_the_next() {
    on_each_seed(async |_, world, moment| receives::lose_no_byte(world, moment, tcp_pair).await);
}

#[test]
fn dropped_copies_leave_bytes_for_the_next() {
    on_each_seed(async |_, world, moment| copies::lose_no_byte(world, moment, tcp_pair).await);
}

#[test]
fn dropped_accepts_leave_connections_for_the_next() {
    on_each_seed(async |_, world, moment| receives::lose_no_connection(world, moment).await);
}

#[test]
fn dropped_connects_leave_no_connection() {
    on_each_seed(async |_, world, moment| receives::leave_no_connection(world, moment).await);
}

#[test]
fn dropped_writes_are_told_once() {
    on_each_seed(async |seed, world, moment| {
        let case = writes::CASES[seed as usize / 5 % 3];
        writes::are_told_once(world, moment, case, tcp_pair).await
    });
}

#[test]
fn dropped_ends_of_streams_happen() {
    on_each_seed(async |_, world, moment| {
        ends::close(world, moment, tcp_pair).await?;
        ends::shut_down(world, moment, tcp_pair).await
    });
}

#[test]
fn stream_ends_right_after_a_dropped_wait() {
    on_each_seed(async |_, world, moment| {
        let moment = if moment == Moment::PartlyDone { Moment::Waiting } else { moment };
        ends::close_after_a_wait(world, moment, tcp_pair).await
    });
}

#[test]
fn dropped_takes_leave_values_for_the_next() {
    on_each_seed(async |_, world, moment| {
        queues::keep_values(world, moment).await;
        queues::pass_values_on(world, moment).await;
        queues::put_or_not(world, moment).await;
        queues::are_joined(world, moment).await;
        Ok(())
    });
}

#[test]
fn storm_of_puts_and_gets_loses_no_value() {
    let mut dropped = 0;
    for seed in 0..SEEDS {
        let world = World::simulated(seed);
        run(seed, defaults(), async { dropped += queue_storm::storm(seed, world).await });
    }
    assert!(dropped > 10_000, "only {dropped} futures were dropped");
}
