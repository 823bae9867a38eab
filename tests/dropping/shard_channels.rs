//! Rows of channels between shards, whose futures wait here for one end of them.

use std::cell::RefCell;

use corering::sync::shard_channel::{bounded, unbounded};

use crate::moments::{Boxed, Moment, World, drop_at};
use crate::waits::gives_its_turn_on;

/// The rows of senders at one moment.
pub(crate) async fn give_their_turn_on(world: &World, moment: Moment) {
    let (sender, receiver) = bounded(1);
    sender.try_send(0).expect("there is room");
    let receiver = RefCell::new(receiver);
    let wait = || -> Boxed<'static, ()> {
        let sender = sender.clone();
        Box::pin(async move { drop(sender.reserve().await) })
    };
    let release = || _ = receiver.borrow_mut().try_recv();
    gives_its_turn_on(world, moment, "BoundedShardSender::reserve", wait, release).await;
    sender.try_send(1).expect("the room was given back");

    // The value goes with it.
    let row = "BoundedShardSender::send";
    let (sender, mut receiver) = bounded(1);
    sender.try_send(1).expect("there is room");
    let mut first = None;
    let take = async || first = receiver.try_recv().ok();
    let sent = drop_at(world, moment, Box::pin(sender.send(2)), take).await.is_some();
    let mut all: Vec<u8> = first.into_iter().collect();
    all.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
    let expected: &[u8] = if sent { &[1, 2] } else { &[1] };
    assert_eq!(all, expected, "{row}, {moment:?}");
    sender.try_send(3).expect("there is room again");
}

/// The rows of what only tells, at one moment.
pub(crate) async fn take_nothing_from_others(world: &World, moment: Moment) {
    let row = "ShardSender::closed";
    let (sender, receiver) = unbounded::<()>();
    let close = async || drop(receiver);
    let told = drop_at(world, moment, Box::pin(sender.closed()), close).await;
    assert!(told.is_none() || sender.is_closed(), "{row}, {moment:?}");
    sender.closed().await;

    let row = "BoundedShardSender::closed";
    let (sender, receiver) = bounded::<()>(1);
    let close = async || drop(receiver);
    let told = drop_at(world, moment, Box::pin(sender.closed()), close).await;
    assert!(told.is_none() || sender.is_closed(), "{row}, {moment:?}");
    sender.closed().await;
}
