//! Tokens as one thread sees them, with wakers that come back to them.

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::pin::pin;

use super::*;
use crate::util::budget;
use crate::util::test_waker::{Poller, hook_waker};

/// Tokens in use, and places taken.
fn counts(token: &CancelToken) -> (usize, usize) {
    token.tree.borrow().counts()
}

#[test]
fn cancel_wakes_all_that_wait_for_it_or_below_it() {
    let token = CancelToken::new();
    let (child, other) = (token.child(), CancelToken::new());
    let waits =
        [&token, &token.clone(), &child, &child.child(), &other].map(CancelToken::cancelled);
    let pollers = [(); 5].map(|()| Poller::new());
    let mut waits = waits;
    for (wait, poller) in waits.iter_mut().zip(&pollers) {
        assert!(poller.poll(wait).is_pending());
    }
    token.cancel();
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 1, 1, 1, 0]);
    let ready = waits.iter_mut().zip(&pollers).map(|(wait, poller)| poller.poll(wait).is_ready());
    assert_eq!(ready.collect::<Vec<_>>(), [true, true, true, true, false]);
    // Again, and nobody is woken again.
    token.cancel();
    assert_eq!(pollers.each_ref().map(Poller::wakes), [0; 5]);
}

#[test]
fn child_cancelled_alone_leaves_the_others() {
    let token = CancelToken::new();
    let (child, sibling) = (token.child(), token.child());
    let grandchild = child.child();
    child.cancel();
    let told = [&token, &child, &grandchild, &sibling].map(CancelToken::is_cancelled);
    assert_eq!(told, [false, true, true, false]);
    token.cancel();
    assert!(sibling.is_cancelled());
}

#[test]
fn child_of_a_cancelled_token_is_cancelled_at_once() {
    let token = CancelToken::new();
    token.cancel();
    let child = token.child();
    drop(token);
    assert!(child.is_cancelled() && child.child().is_cancelled());
    assert!(Poller::new().poll(&mut child.cancelled()).is_ready());
}

#[test]
fn dropped_children_leave_no_trace() {
    let token = CancelToken::new();
    let poller = Poller::new();
    for _ in 0..1_000_000 {
        let child = token.child();
        assert!(poller.poll(&mut child.cancelled()).is_pending());
    }
    assert_eq!((counts(&token), poller.kept()), ((1, 0), 0));
}

#[test]
fn token_replaced_by_its_child_again_and_again_stays_small() {
    let root = CancelToken::new();
    let mut token = root.clone();
    for _ in 0..1_000_000 {
        token = token.child();
    }
    assert_eq!(counts(&root), (2, 0));
    root.cancel();
    assert!(token.is_cancelled());
}

#[test]
fn children_of_a_dropped_token_are_its_parents() {
    let root = CancelToken::new();
    let between = root.child();
    let children = [between.child(), between.child()];
    drop(between);
    assert_eq!(counts(&root), (3, 0));
    root.cancel();
    assert!(children.iter().all(CancelToken::is_cancelled));

    // Without a parent they are on their own.
    let root = CancelToken::new();
    let [one, other] = [root.child(), root.child()];
    drop(root);
    one.cancel();
    assert!(!other.is_cancelled());
    other.cancel();
    assert!(other.is_cancelled());
}

#[test]
fn deep_tree_is_cancelled_and_dropped_without_recursion() {
    let mut tokens = vec![CancelToken::new()];
    for depth in 0..200_000 {
        tokens.push(tokens[depth].child());
    }
    tokens[0].cancel();
    assert!(tokens.iter().all(CancelToken::is_cancelled));
    tokens.truncate(1);
    assert_eq!(counts(&tokens[0]), (1, 0));
}

#[test]
fn tree_is_freed_with_its_last_token_or_future() {
    let token = CancelToken::new();
    let tree = Rc::downgrade(&token.tree);
    let (child, wait) = (token.child(), token.cancelled());
    drop(token);
    drop(child);
    assert_eq!(tree.strong_count(), 1);
    drop(wait);
    assert_eq!(tree.strong_count(), 0);
}

#[test]
fn dropped_wait_leaves_its_line() {
    let token = CancelToken::new();
    let poller = Poller::new();
    let (mut polled, never_polled) = (token.cancelled(), token.cancelled());
    assert!(poller.poll(&mut polled).is_pending());
    assert_eq!((counts(&token).1, poller.kept()), (1, 1));
    drop(polled);
    drop(never_polled);
    assert_eq!((counts(&token).1, poller.kept()), (0, 0));
    token.cancel();
    assert_eq!(poller.wakes(), 0);
}

#[test]
fn forgotten_wait_holds_nobody_up() {
    let token = CancelToken::new();
    let (forgotten, poller) = (Poller::new(), Poller::new());
    let (mut first, mut second) = (token.cancelled(), token.cancelled());
    assert!(forgotten.poll(&mut first).is_pending());
    std::mem::forget(first);
    assert!(poller.poll(&mut second).is_pending());
    token.cancel();
    assert_eq!(poller.wakes(), 1);
    assert!(poller.poll(&mut second).is_ready());
}

#[test]
fn wait_says_that_it_has_ended_and_is_ready_again() {
    let token = CancelToken::new();
    let (mut wait, poller) = (token.cancelled(), Poller::new());
    assert!(poller.poll(&mut wait).is_pending() && !wait.is_terminated());
    token.cancel();
    assert!(!wait.is_terminated());
    for _ in 0..2 {
        assert!(poller.poll(&mut wait).is_ready() && wait.is_terminated());
    }
}

#[test]
fn wait_for_a_cancelled_token_pays() {
    let token = CancelToken::new();
    token.cancel();
    let (mut wait, poller) = (token.cancelled(), Poller::new());
    let _apart = budget::Apart::begin();
    budget::exhaust();
    assert!(poller.poll(&mut wait).is_pending());
    assert_eq!(poller.wakes(), 1);
    // Not twice in a row.
    assert!(poller.poll(&mut wait).is_ready());
}

#[test]
fn wakers_may_come_back_to_the_tokens() {
    let token = CancelToken::new();
    let (child, visits) = (token.child(), Rc::new(Cell::new(0)));
    // Comes back whenever it is cloned, woken or dropped.
    let waker = || {
        let (token, visits) = (child.clone(), Rc::clone(&visits));
        hook_waker(move || {
            visits.set(visits.get() + 1);
            drop(token.child());
            assert!(Poller::new().poll(&mut token.cancelled()).is_ready() == token.is_cancelled());
        })
    };
    let mut waits = [token.cancelled(), child.cancelled(), child.cancelled()];
    for _ in 0..2 {
        for wait in &mut waits {
            let waker = waker();
            assert!(Pin::new(wait).poll(&mut Context::from_waker(&waker)).is_pending());
        }
    }
    let [first, second, third] = waits;
    drop(first);
    token.cancel();
    drop((second, third));
    assert!(visits.get() > 10, "the wakers came back {} times", visits.get());
}

#[test]
fn waker_may_cancel_the_token_that_wakes_it() {
    let token = CancelToken::new();
    let others = [token.child(), CancelToken::new()];
    let waker = {
        let tokens = [&token, &others[0], &others[1]].map(CancelToken::clone);
        hook_waker(move || {
            tokens.iter().filter(|token| token.is_cancelled()).for_each(|_| {
                tokens.iter().for_each(CancelToken::cancel);
            })
        })
    };
    let (mut first, mut last, poller) = (token.cancelled(), token.cancelled(), Poller::new());
    assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(poller.poll(&mut last).is_pending());
    token.cancel();
    assert!(others.iter().all(CancelToken::is_cancelled));
    assert_eq!(poller.wakes(), 1);
}

#[test]
fn waker_may_drop_a_wait_that_is_about_to_be_woken() {
    let token = CancelToken::new();
    let poller = Poller::new();
    let next = Rc::new(Cell::new(None));
    let waker = {
        let next = Rc::clone(&next);
        hook_waker(move || drop(next.take()))
    };
    let (mut first, mut second) = (token.cancelled(), token.cancelled());
    assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(poller.poll(&mut second).is_pending());
    next.set(Some(second));
    token.cancel();
    assert_eq!((poller.wakes(), poller.kept()), (0, 0));
    drop(first);
    assert_eq!(counts(&token), (1, 0));
}

#[test]
fn clone_of_a_waker_that_cancels_is_not_missed() {
    let token = CancelToken::new();
    let cancels = {
        let token = token.clone();
        hook_waker(move || token.cancel())
    };
    let mut wait = token.cancelled();
    assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(&cancels)).is_ready());
}

#[test]
fn run_gives_what_is_ready_and_begins_nothing_too_late() {
    let token = CancelToken::new();
    let poller = Poller::new();
    let poll = |run: Pin<&mut dyn Future<Output = Result<u8, Cancelled>>>| {
        run.poll(&mut Context::from_waker(poller.waker()))
    };
    // It cancels, and is ready itself.
    let cancels = token.child();
    let mut run = pin!(cancels.run(async {
        cancels.cancel();
        1
    }));
    assert_eq!(poll(run.as_mut()), Poll::Ready(Ok(1)));
    let mut run = pin!(token.run(pending()));
    assert!(poll(run.as_mut()).is_pending());
    token.cancel();
    assert_eq!(poller.wakes(), 1);
    assert_eq!(poll(run.as_mut()), Poll::Ready(Err(Cancelled)));
    // Begun before, and ready by the time of the next poll.
    let (begun, is_ready) = (CancelToken::new(), Cell::new(false));
    let waits = poll_fn(|_| if is_ready.get() { Poll::Ready(2) } else { Poll::Pending });
    let mut run = pin!(begun.run(waits));
    assert!(poll(run.as_mut()).is_pending());
    begun.cancel();
    is_ready.set(true);
    assert_eq!(poll(run.as_mut()), Poll::Ready(Ok(2)));
    let mut late = pin!(token.run(async { panic!("it begins") }));
    assert_eq!(poll(late.as_mut()), Poll::Ready(Err(Cancelled)));
    let mut late = pin!(token.run(ready(1)));
    assert_eq!(poll(late.as_mut()), Poll::Ready(Err(Cancelled)));
}

#[test]
fn guard_cancels_unless_it_is_disarmed() {
    let token = CancelToken::new();
    let child = token.child().drop_guard().disarm();
    assert!(!child.is_cancelled());
    let guard = child.clone().drop_guard();
    assert!(!child.is_cancelled());
    drop(guard);
    assert!(child.is_cancelled() && !token.is_cancelled());
}

#[test]
fn handle_outside_a_runtime_panics_with_what_to_do() {
    let payload = std::thread::spawn(|| drop(CancelToken::new().handle())).join();
    let payload = payload.expect_err("there is no runtime");
    let message = payload.downcast_ref::<&str>().expect("it says why");
    assert!(message.contains("corering::block_on"), "{message}");
}
