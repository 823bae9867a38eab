//! Every interleaving of an owner with one or two posters:
//! `RUSTFLAGS="--cfg loom" cargo test -p corering --lib loom_`.
//!
//! A lost wake shows as a deadlock, which loom reports.

use std::sync::atomic::{AtomicUsize as Count, Ordering::Relaxed};

use loom::thread;

use super::*;
use crate::util::sync_types::explore;

/// Sleeps as a shard does: only if nothing has come, and until the bell rings.
fn park(mailbox: &Mailbox) {
    if mailbox.prepare_park() {
        mailbox.wait_for_ring();
        mailbox.unpark();
    }
}

fn leak_node() -> NonNull<Node> {
    NonNull::from(Box::leak(Box::new(Node::new())))
}

/// Takes all nodes out and frees them. Returns how many there were.
fn take_nodes(mailbox: &Mailbox) -> usize {
    mailbox
        .take_posted()
        // SAFETY: every node of these tests was leaked by `leak_node` and comes out once.
        .map(|node| drop(unsafe { Box::from_raw(node.as_ptr()) }))
        .count()
}

#[test]
fn loom_a_post_while_parking_wakes_the_owner() {
    explore(4, || {
        let mailbox = Mailbox::new().unwrap();
        let poster = Arc::clone(&mailbox);
        let thread = thread::spawn(move || {
            // SAFETY: the node is new, and freed by `take_nodes`.
            unsafe { poster.post(leak_node()) }.unwrap();
        });
        while take_nodes(&mailbox) == 0 {
            park(&mailbox);
        }
        thread.join().unwrap();
    });
}

#[test]
fn loom_two_posts_while_parking_both_arrive() {
    explore(2, || {
        let mailbox = Mailbox::new().unwrap();
        let threads = [(); 2].map(|()| {
            let poster = Arc::clone(&mailbox);
            thread::spawn(move || {
                // SAFETY: the node is new, and freed by `take_nodes`.
                unsafe { poster.post(leak_node()) }.unwrap();
            })
        });
        let mut taken = 0;
        while taken < 2 {
            taken += take_nodes(&mailbox);
            if taken < 2 {
                park(&mailbox);
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn loom_a_message_while_parking_wakes_the_owner() {
    explore(4, || {
        let mailbox = Mailbox::new().unwrap();
        let poster = Arc::clone(&mailbox);
        let thread = thread::spawn(move || poster.post_message(Box::new(|| ())).unwrap());
        let mut messages = Vec::new();
        while messages.is_empty() {
            park(&mailbox);
            mailbox.take_messages(&mut messages);
        }
        thread.join().unwrap();
    });
}

#[test]
fn loom_notices_while_parking_wake_the_owner_and_show_what_came_before() {
    explore(2, || {
        let mailbox = Mailbox::new().unwrap();
        let seen = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let threads = [0, 1].map(|poster| {
            let (mailbox, seen) = (Arc::clone(&mailbox), Arc::clone(&seen));
            thread::spawn(move || {
                seen[poster].store(true, Ordering::Relaxed);
                mailbox.notify();
            })
        });
        while !seen.iter().all(|seen| seen.load(Ordering::Relaxed)) {
            park(&mailbox);
            mailbox.take_notified();
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn loom_a_post_while_closing_is_refused_or_comes_out() {
    explore(4, || {
        let mailbox = Mailbox::new().unwrap();
        let poster = Arc::clone(&mailbox);
        let thread = thread::spawn(move || {
            let node = leak_node();
            // SAFETY: the node is new, and freed by `take_nodes` or below.
            let posted = unsafe { poster.post(node) }.is_ok();
            if !posted {
                // SAFETY: the node was refused.
                drop(unsafe { Box::from_raw(node.as_ptr()) });
            }
            usize::from(posted)
        });
        mailbox.close();
        let taken = take_nodes(&mailbox);
        assert_eq!(thread.join().unwrap(), taken);
        assert_eq!(take_nodes(&mailbox), 0);
    });
}

#[test]
fn loom_a_message_while_closing_is_dropped_once() {
    struct Counted(Arc<Count>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    explore(4, || {
        let mailbox = Mailbox::new().unwrap();
        let poster = Arc::clone(&mailbox);
        let drops = Arc::new(Count::new(0));
        let counted = Counted(Arc::clone(&drops));
        let thread = thread::spawn(move || {
            // Refused or not, it is dropped.
            let _ = poster.post_message(Box::new(move || drop(counted)));
        });
        mailbox.close();
        thread.join().unwrap();
        assert_eq!(drops.load(Relaxed), 1);
    });
}
