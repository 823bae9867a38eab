//! The library's futures and streams in the hands of other crates: joined, raced, and polled through
//! their traits.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::future::{pending, ready};
use std::io;
use std::pin::pin;

use corering::sync::{Notify, oneshot};
use corering::task::{JoinSet, cooperative};
use corering::time::{Duration, interval, now, sleep};
use corering::{join, select_biased, shard_channel, spawn, spawn_blocking, try_join, yield_now};
use futures_util::future::{FusedFuture, join_all};
use futures_util::stream::{FusedStream, Stream, StreamExt, iter};
use net::listener;

/// Awaits a future that says before and after whether it may be polled.
async fn ends(name: &str, future: impl FusedFuture) {
    let mut future = pin!(future);
    assert!(!future.is_terminated(), "{name} has ended before it was polled");
    future.as_mut().await;
    assert!(future.is_terminated(), "{name} was ready, and does not say so");
}

#[corering::test]
async fn futures_say_that_they_have_ended() {
    ends("JoinHandle", spawn(async {})).await;
    ends("Sleep", sleep(Duration::ZERO)).await;
    ends("YieldNow", yield_now()).await;
    ends("BlockingHandle", spawn_blocking(|| ())).await;
    ends("Cooperative", cooperative(futures_util::future::ready(()))).await;
    let notify = Notify::new();
    notify.notify_one();
    ends("Notified", notify.notified()).await;
    let (sender, receiver) = oneshot::channel();
    sender.send(()).expect("the receiver is there");
    ends("oneshot::Receiver", receiver).await;
}

#[corering::test]
async fn sleep_that_was_reset_has_not_ended() {
    let mut slept = sleep(Duration::ZERO);
    (&mut slept).await;
    assert!(slept.is_terminated());
    slept.reset(now());
    assert!(!slept.is_terminated());
    slept.await;
}

#[corering::test]
async fn interval_is_a_stream_of_moments_without_end() {
    let period = Duration::from_micros(100);
    let mut beat = interval(period);
    assert_eq!(beat.size_hint(), (usize::MAX, None));
    let ticks: Vec<_> = beat.by_ref().take(3).collect().await;
    assert_eq!(ticks[2] - ticks[0], 2 * period);
    assert_eq!(beat.tick().await - ticks[2], period);
    assert!(!beat.is_terminated());
}

#[corering::test]
async fn shard_receiver_is_a_stream_that_ends_once() {
    let (sender, mut receiver) = shard_channel();
    for number in 0..3 {
        sender.send(number).expect("the receiver is there");
    }
    assert_eq!(receiver.size_hint(), (3, None));
    drop(sender);
    assert!(!receiver.is_terminated(), "it has values, and has not told of its end");
    assert_eq!(receiver.by_ref().collect::<Vec<_>>().await, [0, 1, 2]);
    assert!(receiver.is_terminated());
}

#[corering::test]
async fn join_set_is_a_stream_that_goes_on_after_its_end() {
    let mut set = JoinSet::new();
    assert_eq!(set.next().await.map(|ended| ended.is_ok()), None);
    assert!(set.is_terminated());
    set.spawn(async { 1 });
    set.spawn(async { 2 });
    assert!(!set.is_terminated());
    assert_eq!(set.size_hint(), (2, None));
    let mut ended: Vec<_> = set.by_ref().map(|ended| ended.expect("no panic")).collect().await;
    ended.sort_unstable();
    assert_eq!(ended, [1, 2]);
    set.spawn(async { 3 }).abort();
    assert!(set.next().await.expect("it is in the set").is_err_and(|error| error.is_cancelled()));
}

#[corering::test]
async fn cooperative_ends_when_what_it_holds_ends() {
    let mut numbers = cooperative(iter([1]).fuse());
    assert!(!numbers.is_terminated());
    assert_eq!((numbers.next().await, numbers.next().await), (Some(1), None));
    assert!(numbers.is_terminated());
    assert_eq!(cooperative(ready(2)).await, 2);
}

#[corering::test]
async fn join_gives_every_output_and_try_join_the_first_error() {
    let (all, one) = join!(join_all([1, 2].map(async |number| number)), spawn(async { 3 }));
    assert_eq!((all, one.expect("no panic")), (vec![1, 2], 3));
    let failed = try_join!(pending::<Result<(), u8>>(), async {
        yield_now().await;
        Err::<(), u8>(4)
    });
    assert_eq!(failed, Err(4));
}

#[corering::test]
async fn listener_is_a_stream_for_a_select_in_a_loop() -> io::Result<()> {
    let (listener, address) = listener().await?;
    let clients: io::Result<Vec<_>> =
        (0..3).map(|_| std::net::TcpStream::connect(address)).collect();
    let mut incoming = listener.incoming();
    let mut accepted = Vec::new();
    while accepted.len() < 3 {
        select_biased! {
            stream = incoming.select_next_some() => accepted.push(stream?),
            () = yield_now() => {}
        }
    }
    assert!(!incoming.is_terminated());
    assert_eq!(clients?.len(), accepted.len());
    Ok(())
}
