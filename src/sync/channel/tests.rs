//! Channels: order, room, close, dropped ends and futures, and user code that comes back.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::task::{Context, Poll};

use futures_util::stream::FusedStream;
use futures_util::{FutureExt, SinkExt, Stream, StreamExt};

use super::*;
use crate::util::test_waker::{Poller, hook_waker};

#[test]
fn values_come_out_in_the_order_they_went_in() {
    for (sender, mut receiver) in [bounded(100), unbounded()] {
        let second = sender.clone();
        for value in 0..100 {
            let end = if value % 2 == 0 { &sender } else { &second };
            assert_eq!(end.send(value).now_or_never(), Some(Ok(())));
        }
        assert_eq!((sender.len(), receiver.len()), (100, 100));
        for value in 0..100 {
            assert_eq!(receiver.recv().now_or_never(), Some(Some(value)));
        }
        assert!(receiver.is_empty() && sender.is_empty());
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    }
}

#[test]
fn receiver_is_woken_by_a_value_and_by_the_last_sender() {
    let (sender, mut receiver) = bounded(1);
    let poller = Poller::new();
    let mut recv = Box::pin(receiver.recv());
    assert!(poller.poll(&mut recv).is_pending());
    sender.try_send(1).expect("there is room");
    assert_eq!(poller.wakes(), 1);
    assert_eq!(poller.poll(&mut recv), Poll::Ready(Some(1)));
    drop(recv);

    let second = sender.clone();
    let mut recv = Box::pin(receiver.recv());
    assert!(poller.poll(&mut recv).is_pending());
    drop(sender);
    assert_eq!(poller.wakes(), 0);
    drop(second);
    assert_eq!(poller.wakes(), 1);
    assert_eq!(poller.poll(&mut recv), Poll::Ready(None));
}

#[test]
fn sender_waits_for_room_in_a_full_channel() {
    let (sender, mut receiver) = bounded(2);
    assert_eq!(sender.capacity(), Some(2));
    sender.try_send(1).expect("there is room");
    sender.try_send(2).expect("there is room");
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    let poller = Poller::new();
    let mut send = Box::pin(sender.send(3));
    assert!(poller.poll(&mut send).is_pending());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(poller.wakes(), 1);
    assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)), "the room is promised");
    assert_eq!(poller.poll(&mut send), Poll::Ready(Ok(())));
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(2), Ok(3)));
}

#[test]
fn unbounded_channel_is_never_full() {
    let (sender, receiver) = unbounded();
    assert_eq!(sender.capacity(), None);
    for value in 0..10_000 {
        sender.try_send(value).expect("there is always room");
    }
    assert_eq!(receiver.len(), 10_000);
}

#[test]
fn room_given_to_a_dropped_sender_goes_to_the_next() {
    let (sender, mut receiver) = bounded(1);
    sender.try_send(1).expect("there is room");
    let poller = Poller::new();
    let mut dropped = Box::pin(sender.send(2));
    let mut next = Box::pin(sender.send(3));
    assert!(Poller::new().poll(&mut dropped).is_pending());
    assert!(poller.poll(&mut next).is_pending());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(poller.wakes(), 0);
    drop(dropped);
    assert_eq!(poller.wakes(), 1);
    assert_eq!(poller.poll(&mut next), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(3));
}

#[test]
fn sender_that_is_dropped_leaves_the_line() {
    let (sender, mut receiver) = bounded(1);
    sender.try_send(1).expect("there is room");
    let poller = Poller::new();
    let mut dropped = Box::pin(sender.send(2));
    assert!(poller.poll(&mut dropped).is_pending());
    drop(dropped);
    assert_eq!(poller.kept(), 0);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(sender.try_send(3), Ok(()));
}

#[test]
fn dropped_recv_takes_no_value_and_leaves_no_waker() {
    let (sender, mut receiver) = unbounded();
    let poller = Poller::new();
    let mut recv = Box::pin(receiver.recv());
    assert!(poller.poll(&mut recv).is_pending());
    sender.try_send(1).expect("there is always room");
    assert_eq!(poller.wakes(), 1);
    drop(recv);
    assert_eq!(poller.kept(), 0);
    assert_eq!(receiver.recv().now_or_never(), Some(Some(1)));
}

#[test]
fn reserved_room_is_sent_into_without_waiting_or_given_back() {
    let (sender, mut receiver) = bounded(1);
    let reserved = sender.reserve().now_or_never().expect("there is room").expect("open");
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    drop(reserved);
    let reserved = sender.reserve().now_or_never().expect("there is room").expect("open");
    assert_eq!(reserved.send(2), Ok(()));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(receiver.try_recv(), Ok(2));
}

#[test]
fn close_fails_senders_and_keeps_what_was_sent() {
    let (sender, mut receiver) = bounded(1);
    sender.try_send(1).expect("there is room");
    let poller = Poller::new();
    let mut waiting = Box::pin(sender.send(2));
    let mut closed = Box::pin(sender.closed());
    assert!(poller.poll(&mut waiting).is_pending());
    assert!(poller.poll(&mut closed).is_pending());
    receiver.close();
    assert!(receiver.is_closed() && sender.is_closed());
    assert_eq!(poller.wakes(), 2);
    assert_eq!(poller.poll(&mut waiting), Poll::Ready(Err(SendError(2))));
    assert!(poller.poll(&mut closed).is_ready());
    assert_eq!(sender.closed().now_or_never(), Some(()));
    assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    assert_eq!(receiver.recv().now_or_never(), Some(Some(1)));
    assert_eq!(receiver.recv().now_or_never(), Some(None));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn room_reserved_before_the_close_cannot_be_sent_into() {
    let (sender, mut receiver) = bounded(1);
    let reserved = sender.reserve().now_or_never().expect("there is room").expect("open");
    receiver.close();
    assert_eq!(reserved.send(1), Err(SendError(1)));
    assert_eq!(receiver.recv().now_or_never(), Some(None));
}

#[test]
fn dropped_receiver_drops_the_values_at_once() {
    let value = Rc::new(());
    let (sender, receiver) = unbounded();
    for _ in 0..3 {
        sender.try_send(Rc::clone(&value)).expect("there is always room");
    }
    drop(receiver);
    assert_eq!(Rc::strong_count(&value), 1);
    assert_eq!(sender.send(Rc::clone(&value)).now_or_never(), Some(Err(SendError(value))));
}

#[test]
fn receiver_is_a_stream_that_ends_once_the_end_was_told() {
    let (sender, mut receiver) = bounded(3);
    sender.try_send(1).expect("there is room");
    sender.try_send(2).expect("there is room");
    assert_eq!(receiver.size_hint(), (2, None));
    drop(sender);
    assert_eq!(receiver.size_hint(), (2, Some(2)));
    assert_eq!(receiver.next().now_or_never(), Some(Some(1)));
    assert_eq!(receiver.next().now_or_never(), Some(Some(2)));
    assert!(!receiver.is_terminated());
    assert_eq!(receiver.next().now_or_never(), Some(None));
    assert!(receiver.is_terminated());
}

#[test]
fn value_may_use_the_channel_when_it_is_dropped() {
    struct SendsWhenDropped(Sender<SendsWhenDropped>, Rc<Cell<usize>>);
    impl Drop for SendsWhenDropped {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            assert!(self.0.is_closed());
            let again = SendsWhenDropped(self.0.clone(), Rc::clone(&self.1));
            let Err(refused) = self.0.try_send(again) else { panic!("the channel is closed") };
            // Its own drop would go on forever.
            std::mem::forget(refused);
        }
    }
    let (sender, receiver) = bounded(2);
    let drops = Rc::new(Cell::new(0));
    for _ in 0..2 {
        let sent = sender.try_send(SendsWhenDropped(sender.clone(), Rc::clone(&drops)));
        assert!(sent.is_ok());
    }
    drop(receiver);
    assert_eq!(drops.get(), 2);
}

#[test]
fn waker_may_use_the_channel_when_cloned_woken_or_dropped() {
    let (sender, receiver) = bounded(1);
    let receiver = Rc::new(RefCell::new(receiver));
    let runs = Rc::new(Cell::new(0));
    let waker = {
        let (sender, runs) = (sender.clone(), Rc::clone(&runs));
        hook_waker(move || {
            runs.set(runs.get() + 1);
            let full = sender.try_send(runs.get()).is_err();

            assert!(sender.len() == 1 || full, "full only with a value or with room promised");
        })
    };
    let cx = &mut Context::from_waker(&waker);
    let polled = receiver.borrow_mut().poll_next_unpin(cx);
    assert_eq!(polled, Poll::Ready(Some(1)), "sent by the clone, received in the same poll");
    sender.try_send(9).expect("there is room");
    let mut waiting = Box::pin(sender.send(10));
    assert!(waiting.as_mut().poll(cx).is_pending());
    assert_eq!(receiver.borrow_mut().try_recv(), Ok(9));
    assert_eq!(waiting.as_mut().poll(cx), Poll::Ready(Ok(())));
    drop(waiting);
    drop(waker);
    assert!(runs.get() >= 4, "clones, wakes and drops ran the hook");
}

#[test]
#[should_panic(expected = "at least one value")]
fn capacity_of_zero_panics() {
    drop(bounded::<()>(0));
}

#[test]
fn forgotten_send_keeps_its_place_forgotten_receive_takes_none() {
    let (sender, mut receiver) = bounded(2);
    assert!(sender.try_send(1).is_ok() && sender.try_send(2).is_ok());
    let poller = Poller::new();
    let mut forgotten = Box::pin(sender.send(3));
    assert!(poller.poll(&mut forgotten).is_pending());
    std::mem::forget(forgotten);
    for value in [1, 2] {
        assert_eq!(receiver.try_recv(), Ok(value));
    }
    let mut forgotten = Box::pin(receiver.recv());
    assert!(poller.poll(&mut forgotten).is_pending());
    std::mem::forget(forgotten);
    for value in 4..10 {
        let mut receive = Box::pin(receiver.recv());
        let waiting = Poller::new();
        assert!(waiting.poll(&mut receive).is_pending());
        assert!(sender.try_send(value).is_ok());
        // The place that is left.
        assert!(sender.try_send(0).is_err());
        assert_eq!(waiting.wakes(), 1);
        assert_eq!(waiting.poll(&mut receive), std::task::Poll::Ready(Some(value)));
    }
}

#[test]
fn each_value_goes_to_the_receiver_that_has_waited_longest() {
    for (sender, receiver) in [bounded(4), unbounded()] {
        let mut receivers = [receiver.clone(), receiver.clone(), receiver];
        let pollers = [Poller::new(), Poller::new(), Poller::new()];
        let mut waits = receivers.each_mut().map(|receiver| Box::pin(receiver.recv()));
        for (poller, wait) in pollers.iter().zip(&mut waits) {
            assert!(poller.poll(wait).is_pending());
        }
        let wakes = || pollers.each_ref().map(Poller::wakes);
        for (value, woken) in [(1, [1, 0, 0]), (2, [0, 1, 0]), (3, [0, 0, 1])] {
            assert_eq!(sender.try_send(value), Ok(()));
            assert_eq!(wakes(), woken);
        }
        // Values are given in their order, and not in that of the wakes.
        let order = [2, 0, 1].map(|at: usize| pollers[at].poll(&mut waits[at]));
        assert_eq!(order, [1, 2, 3].map(|value| Poll::Ready(Some(value))));
    }
}

#[test]
fn newcomer_takes_no_value_that_is_promised() {
    let (sender, mut waiting) = bounded(2);
    let mut newcomer = waiting.clone();
    let poller = Poller::new();
    let mut wait = Box::pin(waiting.recv());
    assert!(poller.poll(&mut wait).is_pending());
    sender.try_send(1).expect("there is room");
    assert_eq!(newcomer.len(), 1);
    assert_eq!(newcomer.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(newcomer.recv().now_or_never(), None);
    sender.try_send(2).expect("there is room");
    assert_eq!(newcomer.try_recv(), Ok(1));
    assert_eq!(poller.poll(&mut wait), Poll::Ready(Some(2)));
}

#[test]
fn value_promised_to_a_dropped_receiver_goes_to_the_next() {
    let (sender, receiver) = bounded(2);
    let mut receivers = [receiver.clone(), receiver];
    let pollers = [Poller::new(), Poller::new()];
    let [mut dropped, mut next] = receivers.each_mut().map(|receiver| Box::pin(receiver.recv()));
    assert!(pollers[0].poll(&mut dropped).is_pending());
    assert!(pollers[1].poll(&mut next).is_pending());
    sender.try_send(1).expect("there is room");
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 0]);
    drop(dropped);
    assert_eq!(pollers[1].wakes(), 1);
    assert_eq!(pollers[1].poll(&mut next), Poll::Ready(Some(1)));
}

#[test]
fn stream_that_is_dropped_passes_its_value_on() {
    let (sender, mut dropped) = unbounded();
    let mut next = dropped.clone();
    let pollers = [Poller::new(), Poller::new()];
    assert!(pollers[0].poll(&mut dropped.next()).is_pending());
    let mut wait = Box::pin(next.recv());
    assert!(pollers[1].poll(&mut wait).is_pending());
    sender.try_send(1).expect("there is always room");
    drop(dropped);
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 1]);
    assert_eq!(pollers[1].poll(&mut wait), Poll::Ready(Some(1)));
}

#[test]
fn only_receiver_that_waits_is_woken_when_it_is_cloned() {
    let (sender, mut first) = unbounded();
    let poller = Poller::new();
    assert!(poller.poll(&mut first.next()).is_pending());
    let mut second = first.clone();
    assert_eq!(poller.wakes(), 1, "it joins the line");
    assert!(poller.poll(&mut first.next()).is_pending());
    sender.try_send(1).expect("there is always room");
    assert_eq!(second.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(poller.wakes(), 1);
    // As the only one again it still has what it was promised.
    drop(second);
    assert_eq!(poller.poll(&mut first.next()), Poll::Ready(Some(1)));
    assert!(poller.poll(&mut first.next()).is_pending());
    sender.try_send(2).expect("there is always room");
    assert_eq!(poller.wakes(), 1);
    assert_eq!(first.try_recv(), Ok(2));
}

#[test]
fn end_comes_to_each_receiver_after_the_last_value() {
    let (sender, receiver) = unbounded();
    let mut receivers = [receiver.clone(), receiver.clone(), receiver];
    let pollers = [Poller::new(), Poller::new(), Poller::new()];
    let [mut first, mut second, mut third] =
        receivers.each_mut().map(|receiver| Box::pin(receiver.recv()));
    assert!(pollers[0].poll(&mut first).is_pending());
    assert!(pollers[1].poll(&mut second).is_pending());
    sender.try_send(1).expect("there is always room");
    drop(sender);
    // The value may come back from the one that it was promised to.
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 0, 0]);
    assert!(pollers[2].poll(&mut third).is_pending());
    drop(first);
    assert_eq!(pollers.each_ref().map(Poller::wakes), [0, 1, 0]);
    assert_eq!(pollers[1].poll(&mut second), Poll::Ready(Some(1)));
    assert_eq!(pollers[2].wakes(), 1);
    assert_eq!(pollers[2].poll(&mut third), Poll::Ready(None));
}

#[test]
fn last_receiver_closes_channel_and_so_does_any_that_asks() {
    let (sender, first) = bounded(1);
    let mut second = first.clone();
    sender.try_send(1).expect("there is room");
    drop(first);
    assert!(!sender.is_closed());
    assert_eq!(second.try_recv(), Ok(1));
    let mut third = second.clone();
    second.close();
    assert!(sender.is_closed() && third.is_closed());
    assert_eq!(third.try_recv(), Err(TryRecvError::Closed));
    let (sender, receiver) = bounded::<u8>(1);
    drop((receiver.clone(), receiver));
    assert!(sender.is_closed());
}

#[test]
fn size_hint_counts_on_no_value_that_others_may_take() {
    let (sender, receiver) = unbounded();
    sender.try_send(1).expect("there is always room");
    let second = receiver.clone();
    assert_eq!(receiver.size_hint(), (0, None));
    drop(sender);
    assert_eq!(receiver.size_hint(), (0, Some(1)));
    drop(second);
    assert_eq!(receiver.size_hint(), (1, Some(1)));
}

#[test]
fn recv_many_takes_what_is_there_up_to_its_limit() {
    let (sender, mut receiver) = bounded(4);
    let mut values = vec![0];
    assert_eq!(receiver.recv_many(&mut values, 0).now_or_never(), Some(0));
    assert_eq!(receiver.recv_many(&mut values, 9).now_or_never(), None);
    for value in 1..=4 {
        sender.try_send(value).expect("there is room");
    }
    let poller = Poller::new();
    let mut waiting = Box::pin(sender.send(5));
    assert!(poller.poll(&mut waiting).is_pending());
    assert_eq!(receiver.recv_many(&mut values, 3).now_or_never(), Some(3));
    assert_eq!(poller.poll(&mut waiting), Poll::Ready(Ok(())));
    drop(waiting);
    drop(sender);
    assert_eq!(receiver.recv_many(&mut values, 9).now_or_never(), Some(2));
    assert_eq!(values, [0, 1, 2, 3, 4, 5]);
    assert_eq!(receiver.recv_many(&mut values, 9).now_or_never(), Some(0));
}

#[test]
fn owned_room_is_used_released_or_dropped() {
    let (sender, mut receiver) = bounded(1);
    let owned =
        sender.clone().reserve_owned().now_or_never().expect("there is room").expect("open");
    assert!(matches!(sender.try_reserve(), Err(TrySendError::Full(()))));
    let Err(TrySendError::Full(second)) = sender.clone().try_reserve_owned() else {
        panic!("there is no room")
    };
    assert_eq!(sender.strong_count(), 3);
    drop(second);
    drop(owned);
    let sender = sender.try_reserve_owned().expect("it was given back").release();
    let sender = sender.try_reserve_owned().expect("it was given back").send(1).expect("open");
    assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    assert_eq!(receiver.try_recv(), Ok(1));
    let owned = sender.clone().try_reserve_owned().expect("there is room");
    receiver.close();
    assert!(matches!(owned.send(3), Err(SendError(3))));
    assert!(matches!(sender.try_reserve(), Err(TrySendError::Closed(()))));
    assert!(matches!(sender.try_reserve_owned(), Err(TrySendError::Closed(_))));
}

#[test]
fn owned_room_keeps_the_channel_open() {
    let (sender, mut receiver) = bounded(1);
    let owned = sender.try_reserve_owned().expect("there is room");
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    drop(owned.send(1).expect("open"));
    assert_eq!(receiver.recv().now_or_never(), Some(Some(1)));
    assert_eq!(receiver.recv().now_or_never(), Some(None));
}

#[test]
fn weak_sender_neither_opens_nor_keeps_open() {
    let (sender, receiver) = bounded::<u8>(1);
    let weak = sender.downgrade();
    let second = weak.clone().upgrade().expect("a sender is there");
    assert!(second.same_channel(&sender));
    assert_eq!((sender.strong_count(), sender.weak_count()), (2, 1));
    drop((sender, second));
    assert!(receiver.is_closed() && weak.upgrade().is_none());
    assert_eq!((receiver.sender_strong_count(), receiver.sender_weak_count()), (0, 1));
    assert!(format!("{weak:?}").starts_with("WeakSender {"));
    drop(receiver);
    assert_eq!(format!("{weak:?}"), "WeakSender(gone)");
}

#[test]
fn sink_waits_for_room_and_sends_into_it() {
    let (mut sink, mut receiver) = bounded(1);
    assert_eq!(
        sink.send_all(&mut futures_util::stream::iter([Ok(1)])).now_or_never(),
        Some(Ok(()))
    );
    let poller = Poller::new();
    let mut feed = sink.feed(2);
    assert!(poller.poll(&mut feed).is_pending());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(poller.wakes(), 1);
    assert_eq!(poller.poll(&mut feed), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(2));
    receiver.close();
    assert_eq!(sink.feed(3).now_or_never(), Some(Err(SendError(()))));
}

#[test]
fn room_of_a_dropped_sink_is_free_for_others() {
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    let (sender, mut receiver) = bounded(1);
    let mut sinks = [sender.clone(), sender.clone()];
    assert_eq!(sinks[0].poll_ready_unpin(cx), Poll::Ready(Ok(())));
    assert!(sinks[1].poll_ready_unpin(cx).is_pending());
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    let [with_room, waiting] = sinks;
    drop(with_room);
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)), "the room is promised");
    drop(waiting);
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(receiver.try_recv(), Ok(1));
}

#[test]
fn closed_sink_is_a_sender_that_is_gone() {
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    let (mut sink, mut receiver) = bounded(1);
    let mut second = sink.clone();
    assert_eq!(sink.poll_ready_unpin(cx), Poll::Ready(Ok(())));
    assert_eq!(sink.close().now_or_never(), Some(Ok(())));
    assert_eq!(sink.feed(1).now_or_never(), Some(Err(SendError(()))));
    assert_eq!(sink.try_send(1), Err(TrySendError::Closed(1)));
    assert_eq!((second.strong_count(), second.try_send(2)), (1, Ok(())));
    assert_eq!(second.close().now_or_never(), Some(Ok(())));
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(2), Err(TryRecvError::Closed)));
}

#[test]
#[should_panic(expected = "needs the room of a poll_ready")]
fn sink_that_has_no_room_panics_at_a_send() {
    let (mut sink, _receiver) = bounded(1);
    let _ = sink.start_send_unpin(1);
}
