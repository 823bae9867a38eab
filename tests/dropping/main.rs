//! What a drop leaves behind: each row of the table in `corering::cancel_safety`, at each moment.
//!
//! A test runs in a process of its own, since it counts the descriptors: none may be left. The rows that
//! a simulated kernel knows run on many seeds in `tests/sim`, by the same bodies.

#[path = "../common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "../common/net.rs"]
mod net;

mod communicates;
mod copies;
mod datagrams;
mod dirs;
mod ends;
mod files;
mod limits;
mod moments;
mod pipes;
mod processes;
mod queue_storm;
mod queues;
mod receives;
mod send_files;
mod shard_channels;
#[allow(dead_code)] // Each test file uses a part.
#[path = "../common/standard.rs"]
mod standard;
mod standard_streams;
mod storm;
mod waits;
mod watches;
mod writes;

use std::io;
use std::time::Duration;

use corering::net::UnixStream;
use corering::test_support::run_configured;
use corering::time::timeout;
use corering::{Builder, Runtime};

use child::Child;
use moments::{MOMENTS, Moment, World};
use net::{POLICIES, nothing_is_in_flight, tcp_pair};
use receives::at_each_moment;

/// Long enough for a body, or a round of a storm, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

/// How many rounds a storm has: 120 take about a minute.
fn rounds() -> u32 {
    std::env::var("STORM_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(1)
}

/// Runs a body on both drivers with each configuration.
fn in_a_child(
    test: &str,
    configure: &[fn(Builder) -> Builder],
    body: impl AsyncFn(&World) -> io::Result<()>,
) {
    if !child::is_child() {
        return Child::of(test).passes();
    }
    for configure in configure {
        run_configured(test, None, configure, async || {
            // What signals need stays for the rest of the process's life.
            drop(corering::signal::shutdown());
            let before = open_descriptors();
            timeout(LIMIT * rounds(), body(&World::real())).await??;
            timeout(LIMIT, nothing_is_in_flight()).await?;
            let after = open_descriptors();
            assert!(after <= before, "{after} descriptors are open, {before} were");
            io::Result::Ok(())
        });
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
}

/// Each way to receive.
const WAYS: [fn(Builder) -> Builder; 3] = [
    |builder| builder.receive_policy(POLICIES[0]),
    |builder| builder.receive_policy(POLICIES[1]).buffer_group(4, 4096),
    |builder| builder.receive_policy(POLICIES[2]),
];

async fn unix_pair() -> io::Result<(UnixStream, UnixStream)> {
    UnixStream::pair()
}

#[test]
fn dropped_receives_leave_bytes_for_the_next() {
    in_a_child("dropped_receives_leave_bytes_for_the_next", &WAYS, async |world| {
        at_each_moment(async |moment| {
            receives::lose_no_byte(world, moment, tcp_pair).await?;
            receives::lose_no_byte(world, moment, unix_pair).await
        })
        .await
    });
}

#[test]
fn dropped_copies_leave_bytes_for_the_next() {
    in_a_child("dropped_copies_leave_bytes_for_the_next", &WAYS, async |world| {
        at_each_moment(async |moment| {
            copies::lose_no_byte(world, moment, tcp_pair).await?;
            copies::lose_no_byte(world, moment, unix_pair).await
        })
        .await
    });
}

#[test]
fn dropped_accepts_leave_connections_for_the_next() {
    let ways: [fn(Builder) -> Builder; 2] =
        [|builder| builder.max_queued_accepts(1), |builder| builder.max_queued_accepts(64)];
    in_a_child("dropped_accepts_leave_connections_for_the_next", &ways, async |world| {
        at_each_moment(async |moment| {
            receives::lose_no_connection(world, moment).await?;
            receives::leave_no_connection(world, moment).await
        })
        .await
    });
}

#[test]
fn dropped_writes_are_told_once() {
    in_a_child("dropped_writes_are_told_once", &WAYS[1..], async |world| {
        at_each_moment(async |moment| {
            for case in writes::CASES {
                writes::are_told_once(world, moment, case, tcp_pair).await?;
                writes::are_told_once(world, moment, case, unix_pair).await?;
            }
            Ok(())
        })
        .await
    });
}

#[test]
fn dropped_operations_on_pipes_lose_nothing() {
    in_a_child("dropped_operations_on_pipes_lose_nothing", &WAYS[..1], async |world| {
        at_each_moment(async |moment| {
            pipes::lose_no_byte(world, moment).await?;
            pipes::are_told_once(world, moment).await?;
            pipes::are_closed(world, moment).await
        })
        .await
    });
}

#[test]
fn dropped_operations_on_standard_streams_lose_nothing() {
    const TEST: &str = "dropped_operations_on_standard_streams_lose_nothing";
    in_a_child(TEST, &WAYS[..1], async |world| {
        at_each_moment(async |moment| {
            standard_streams::lose_no_byte(world, moment).await?;
            standard_streams::are_told_once(world, moment).await?;
            standard_streams::leave_no_end_open(world, moment).await
        })
        .await
    });
}

#[test]
fn dropped_ends_of_streams_happen() {
    in_a_child("dropped_ends_of_streams_happen", &WAYS, async |world| {
        at_each_moment(async |moment| {
            ends::close(world, moment, tcp_pair).await?;
            ends::close(world, moment, unix_pair).await?;
            for busy in [false, true] {
                let pair = tcp_pair().await?;
                ends::is_closed(world, moment, ends::into_std(), busy, pair).await?;
            }
            ends::shut_down(world, moment, tcp_pair).await?;
            ends::shut_down(world, moment, unix_pair).await
        })
        .await
    });
}

#[test]
fn stream_ends_right_after_a_dropped_wait() {
    in_a_child("stream_ends_right_after_a_dropped_wait", &WAYS[1..], async |world| {
        for moment in [Moment::NotBegun, Moment::Waiting, Moment::InFlight] {
            ends::close_after_a_wait(world, moment, tcp_pair).await?;
            ends::close_after_a_wait(world, moment, unix_pair).await?;
        }
        Ok(())
    });
}

#[test]
fn dropped_sends_of_files_are_told_once() {
    in_a_child("dropped_sends_of_files_are_told_once", &WAYS[1..], async |world| {
        at_each_moment(async |moment| {
            send_files::are_told_once(world, moment, tcp_pair).await?;
            send_files::are_told_once(world, moment, unix_pair).await
        })
        .await
    });
}

#[test]
fn dropped_datagrams_come_whole_and_once() {
    in_a_child("dropped_datagrams_come_whole_and_once", &WAYS[..1], async |world| {
        at_each_moment(async |moment| {
            datagrams::are_for_the_next(world, moment).await?;
            datagrams::are_whole_or_not_there(world, moment).await?;
            datagrams::have_one_peer_or_the_other(world, moment).await
        })
        .await
    });
}

#[test]
fn dropped_binds_leave_their_address() {
    in_a_child("dropped_binds_leave_their_address", &WAYS[..1], async |world| {
        at_each_moment(async |moment| datagrams::leave_their_address(world, moment).await).await
    });
}

#[test]
fn dropped_operations_on_watchers_lose_no_event() {
    in_a_child("dropped_operations_on_watchers_lose_no_event", &WAYS[..1], async |world| {
        at_each_moment(async |moment| watches::lose_no_event(world, moment).await).await
    });
}

#[test]
fn dropped_operations_on_files_happen_or_not() {
    in_a_child("dropped_operations_on_files_happen_or_not", &WAYS[..1], async |world| {
        at_each_moment(async |moment| files::are_as_before_or_after(world, moment).await).await
    });
}

#[test]
fn dropped_waits_give_their_turn_on() {
    in_a_child("dropped_waits_give_their_turn_on", &WAYS[..1], async |world| {
        at_each_moment(async |moment| {
            waits::give_their_turn_on(world, moment).await;
            waits::keep_values(world, moment).await;
            queues::keep_values(world, moment).await;
            queues::pass_values_on(world, moment).await;
            queues::put_or_not(world, moment).await;
            queues::are_joined(world, moment).await;
            waits::go_on(world, moment).await;
            waits::end_their_tasks(world, moment).await;
            waits::take_nothing_from_others(world, moment).await?;
            waits::leave_signals_to_others(world, moment).await
        })
        .await
    });
}

#[test]
fn dropped_sends_to_other_shards_give_their_room_on() {
    let test = "dropped_sends_to_other_shards_give_their_room_on";
    in_a_child(test, &WAYS[..1], async |world| {
        at_each_moment(async |moment| {
            shard_channels::give_their_turn_on(world, moment).await;
            shard_channels::take_nothing_from_others(world, moment).await;
            Ok(())
        })
        .await
    });
}

#[test]
fn dropped_starts_and_waits_leave_no_process() {
    in_a_child("dropped_starts_and_waits_leave_no_process", &WAYS[..1], async |world| {
        at_each_moment(async |moment| processes::are_reaped(world, moment).await).await
    });
}

#[test]
fn dropped_communicates_leave_no_child() {
    in_a_child("dropped_communicates_leave_no_child", &WAYS[..1], async |world| {
        at_each_moment(async |moment| communicates::leave_no_child(world, moment).await).await
    });
}

#[test]
fn dropped_submit_goes_on_elsewhere() {
    for driver in corering::test_support::drivers() {
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let shards = builder.run(async |shard| {
            if shard.id() == 0 {
                for moment in MOMENTS {
                    waits::goes_on_elsewhere(&shard, &World::real(), moment).await;
                }
            }
        });
        shards.expect("shards can be started");
    }
}

#[test]
fn future_that_outlives_five_limits_goes_on() {
    in_a_child("future_that_outlives_five_limits_goes_on", &WAYS, async |world| {
        limits::are_outlived(world, tcp_pair).await?;
        limits::are_outlived(world, unix_pair).await
    });
}

#[test]
fn receive_at_its_limit_wins_or_gives_back() {
    in_a_child("receive_at_its_limit_wins_or_gives_back", &WAYS, async |_| {
        limits::receives_win_or_lose(tcp_pair).await?;
        limits::receives_win_or_lose(unix_pair).await?;
        limits::others_win_or_lose().await
    });
}

#[test]
fn write_at_its_limit_wins_or_says_how_much_went() {
    let test = "write_at_its_limit_wins_or_says_how_much_went";
    in_a_child(test, &WAYS[1..], async |world| {
        limits::writes_win_or_lose(world, tcp_pair).await?;
        limits::writes_win_or_lose(world, unix_pair).await
    });
}

#[test]
fn connect_at_its_limit_wins_or_is_given_up() {
    let test = "connect_at_its_limit_wins_or_is_given_up";
    in_a_child(test, &WAYS[..1], async |world| limits::connects_win_or_lose(world).await);
}

#[test]
fn lookup_that_never_begins_holds_no_timeout_up() {
    let ways: [fn(Builder) -> Builder; 1] = [|builder| builder.blocking_threads(1)];
    let test = "lookup_that_never_begins_holds_no_timeout_up";
    in_a_child(test, &ways, async |_| limits::connect_is_left_behind().await);
}

#[test]
fn storm_of_limits_drops_and_aborts_loses_nothing() {
    let test = "storm_of_limits_drops_and_aborts_loses_nothing";
    in_a_child(test, &WAYS, async |_| {
        for number in 0..rounds() {
            storm::round(number.into()).await?;
        }
        Ok(())
    });
}

#[test]
fn storm_of_puts_and_gets_loses_no_value() {
    let test = "storm_of_puts_and_gets_loses_no_value";
    in_a_child(test, &WAYS[..1], async |_| {
        let mut dropped = 0;
        for number in 0..60 * u64::from(rounds()) {
            dropped += queue_storm::storm(number, World::real()).await;
        }
        assert!(dropped > 600, "only {dropped} futures were dropped");
        Ok(())
    });
}
