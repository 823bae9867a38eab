//! The mailbox as one owner and many posters use it.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

/// A node with a number, as a task is a node with a future.
#[repr(C)]
struct Numbered {
    node: Node,
    number: usize,
}

fn post(mailbox: &Mailbox, number: usize) -> Result<(), Closed> {
    let node = NonNull::from(Box::leak(Box::new(Numbered { node: Node::new(), number })));
    // SAFETY: the node is new, allocated, and freed by `numbers` once it has come out.
    let posted = unsafe { mailbox.post(node.cast()) };
    if posted.is_err() {
        // SAFETY: the node was refused, so it is still this function's.
        drop(unsafe { Box::from_raw(node.as_ptr()) });
    }
    posted
}

fn numbers(mailbox: &Mailbox) -> Vec<usize> {
    mailbox
        .take_posted()
        .map(|node| {
            // SAFETY: every node of these tests was leaked by `post` and comes out once.
            unsafe { Box::from_raw(node.cast::<Numbered>().as_ptr()) }.number
        })
        .collect()
}

/// Whether the bell has been rung since the last call.
fn rung(mailbox: &Mailbox) -> bool {
    mailbox.doorbell.wait(std::time::Duration::ZERO)
}

#[test]
fn nodes_come_out_in_the_order_of_posting() {
    let mailbox = Mailbox::new().unwrap();
    for number in 0..5 {
        post(&mailbox, number).unwrap();
    }
    assert_eq!(numbers(&mailbox), [0, 1, 2, 3, 4]);
    assert_eq!(numbers(&mailbox), []);
}

#[test]
fn messages_come_out_in_the_order_of_posting() {
    let mailbox = Mailbox::new().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut messages = Vec::new();
    for batch in [0..3, 3..5] {
        for number in batch {
            let seen = Arc::clone(&seen);
            mailbox.post_message(Box::new(move || seen.lock().unwrap().push(number))).unwrap();
        }
        mailbox.take_messages(&mut messages);
    }
    messages.into_iter().for_each(|message| message());
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_post_rings_only_when_the_owner_is_parked() {
    let mailbox = Mailbox::new().unwrap();
    post(&mailbox, 0).unwrap();
    mailbox.notify();
    mailbox.post_message(Box::new(|| ())).unwrap();
    assert!(!rung(&mailbox));
    assert_eq!(numbers(&mailbox), [0]);
    assert!(mailbox.take_notified());
    mailbox.take_messages(&mut Vec::new());

    assert!(mailbox.prepare_park());
    mailbox.unpark();
    post(&mailbox, 1).unwrap();
    assert!(!rung(&mailbox), "the owner was awake again");
    assert_eq!(numbers(&mailbox), [1]);
}

#[test]
fn a_burst_of_posts_rings_once() {
    let mailbox = Mailbox::new().unwrap();
    assert!(mailbox.prepare_park());
    post(&mailbox, 0).unwrap();
    assert!(rung(&mailbox));
    post(&mailbox, 1).unwrap();
    mailbox.notify();
    mailbox.post_message(Box::new(|| ())).unwrap();
    assert!(!rung(&mailbox));
    assert_eq!(numbers(&mailbox), [0, 1]);
}

#[test]
fn each_kind_of_mail_keeps_the_owner_awake() {
    let mailbox = Mailbox::new().unwrap();
    assert!(mailbox.prepare_park());
    mailbox.unpark();

    post(&mailbox, 0).unwrap();
    assert!(!mailbox.prepare_park());
    assert_eq!(numbers(&mailbox), [0]);

    mailbox.notify();
    assert!(!mailbox.prepare_park());
    assert!(mailbox.take_notified());
    assert!(!mailbox.take_notified());

    mailbox.post_message(Box::new(|| ())).unwrap();
    assert!(!mailbox.prepare_park());
    mailbox.take_messages(&mut Vec::new());

    assert!(mailbox.prepare_park());
}

#[test]
fn a_closed_mailbox_refuses_posts_and_keeps_what_came_before() {
    let mailbox = Mailbox::new().unwrap();
    post(&mailbox, 0).unwrap();
    mailbox.close();
    assert_eq!(post(&mailbox, 1), Err(Closed));
    assert_eq!(mailbox.post_message(Box::new(|| ())), Err(Closed));
    assert_eq!(numbers(&mailbox), [0]);
    assert_eq!(post(&mailbox, 2), Err(Closed), "taking mail out does not open it again");
    mailbox.close();
    assert_eq!(numbers(&mailbox), []);
}

#[test]
fn close_drops_unread_messages_even_if_one_panics() {
    struct PanicsInDrop(Arc<AtomicUsize>);
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("a message's Drop");
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let mailbox = Mailbox::new().unwrap();
    for _ in 0..3 {
        let message = PanicsInDrop(Arc::clone(&dropped));
        mailbox.post_message(Box::new(move || drop(message))).unwrap();
    }
    mailbox.close();
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[test]
fn a_message_whose_drop_posts_does_not_deadlock_close() {
    struct PostsInDrop(Arc<Mailbox>);
    impl Drop for PostsInDrop {
        fn drop(&mut self) {
            assert_eq!(self.0.post_message(Box::new(|| ())), Err(Closed));
        }
    }
    let mailbox = Mailbox::new().unwrap();
    let message = PostsInDrop(Arc::clone(&mailbox));
    mailbox.post_message(Box::new(move || drop(message))).unwrap();
    mailbox.close();
}

#[test]
fn nothing_that_many_threads_post_is_lost() {
    const THREADS: usize = 4;
    const POSTS: usize = 2_000;
    let mailbox = Mailbox::new().unwrap();
    let posters: Vec<_> = (0..THREADS)
        .map(|thread| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                for number in 0..POSTS {
                    post(&mailbox, thread * POSTS + number).unwrap();
                }
            })
        })
        .collect();

    let mut seen = Vec::new();
    while seen.len() < THREADS * POSTS {
        seen.extend(numbers(&mailbox));
        if mailbox.prepare_park() {
            // Either all is here, or a post is to come that has to ring.
            if seen.len() < THREADS * POSTS {
                assert!(mailbox.wait_for_ring(), "a post was lost");
            }
            mailbox.unpark();
        }
    }
    posters.into_iter().for_each(|poster| poster.join().unwrap());

    for thread in 0..THREADS {
        let of_thread: Vec<_> = seen.iter().filter(|n| *n / POSTS == thread).collect();
        assert!(of_thread.is_sorted(), "the posts of one thread keep their order");
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..THREADS * POSTS));
}
