//! The channel for one value: every order of send, receive, close and drop.
#![forbid(unsafe_code)]

use std::cell::RefCell;

use futures_util::FutureExt;

use super::*;
use crate::util::test_waker::{Poller, hook_waker};

#[test]
fn value_is_received_whenever_it_was_sent() {
    let (sender, receiver) = channel();
    sender.send(1).expect("the receiver is there");
    assert_eq!(receiver.now_or_never(), Some(Ok(1)));

    let (sender, mut receiver) = channel();
    let poller = Poller::new();
    assert!(poller.poll(&mut receiver).is_pending());
    sender.send(2).expect("the receiver is there");
    assert_eq!(poller.wakes(), 1);
    assert_eq!(poller.poll(&mut receiver), Poll::Ready(Ok(2)));
    assert!(receiver.is_terminated());
    assert_eq!(poller.poll(&mut receiver), Poll::Ready(Err(RecvError(()))));
}

#[test]
fn receiver_fails_when_the_sender_is_dropped() {
    let (sender, mut receiver) = channel::<()>();
    let poller = Poller::new();
    assert!(poller.poll(&mut receiver).is_pending());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    drop(sender);
    assert_eq!(poller.wakes(), 1);
    assert!(!receiver.is_terminated(), "the failure has still to be told");
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(poller.poll(&mut receiver), Poll::Ready(Err(RecvError(()))));
}

#[test]
fn sender_gets_the_value_back_when_the_receiver_is_gone() {
    let (sender, receiver) = channel();
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(3), Err(3));
    let (sender, mut receiver) = channel();
    receiver.close();
    assert_eq!(sender.send(4), Err(4));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn value_sent_before_the_close_is_received() {
    let (sender, mut receiver) = channel();
    sender.send(5).expect("the receiver is there");
    receiver.close();
    assert_eq!(receiver.now_or_never(), Some(Ok(5)));
}

#[test]
fn sender_hears_that_the_receiver_is_gone() {
    let (mut sender, receiver) = channel::<()>();
    let poller = Poller::new();
    {
        let mut closed = Box::pin(sender.closed());
        assert!(poller.poll(&mut closed).is_pending());
    }
    assert_eq!(poller.kept(), 0, "a dropped wait leaves no waker");
    let mut closed = Box::pin(sender.closed());
    assert!(poller.poll(&mut closed).is_pending());
    drop(receiver);
    assert_eq!(poller.wakes(), 1);
    assert!(poller.poll(&mut closed).is_ready());
}

#[test]
fn value_stays_when_a_borrowing_wait_is_dropped() {
    let (sender, mut receiver) = channel();
    assert_eq!((&mut receiver).now_or_never(), None);
    sender.send(6).expect("the receiver is there");
    assert_eq!(receiver.now_or_never(), Some(Ok(6)));
}

#[test]
fn dropped_receiver_drops_its_waker_and_a_value_that_was_sent() {
    let value = Rc::new(());
    let poller = Poller::new();
    let (sender, mut receiver) = channel();
    assert!(poller.poll(&mut receiver).is_pending());
    assert_eq!(poller.kept(), 1);
    drop(receiver);
    assert_eq!(poller.kept(), 0);
    drop(sender.send(Rc::clone(&value)));
    let (sender, receiver) = channel();
    sender.send(Rc::clone(&value)).expect("the receiver is there");
    drop(receiver);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn value_sent_while_the_waker_is_cloned_is_received_in_the_same_poll() {
    let (sender, mut receiver) = channel();
    let sender = RefCell::new(Some(sender));
    let waker = hook_waker(move || {
        let sender = sender.borrow_mut().take();
        if let Some(sender) = sender {
            sender.send(7).expect("the receiver is there");
        }
    });
    let polled = Pin::new(&mut receiver).poll(&mut Context::from_waker(&waker));
    assert_eq!(polled, Poll::Ready(Ok(7)));
}
