//! Virtual time, waits, and enters that fail.

use super::machine::*;
use crate::sys::clock;
use crate::sys::ring::Wait;
use crate::sys::sim::World;
use io_uring::{opcode, types};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

#[test]
fn time_passes_only_in_waits_and_to_their_very_end() {
    let mut machine = Machine::new(1);
    let _installed = machine.world.install();
    let start = clock::now();
    machine.enter(Wait::For(Duration::from_secs(3_600)));
    assert_eq!(clock::now() - start, Duration::from_secs(3_600));
    assert_eq!(machine.world.now(), clock::now());
    let before = clock::now();
    machine.enter(Wait::No);
    assert!(clock::now() - before <= Duration::from_micros(1));
}

#[test]
fn a_timeout_ends_the_wait_when_it_is_due() {
    let mut machine = Machine::new(2);
    let day = types::Timespec::new().sec(86_400);
    let timeout = machine.push(opcode::Timeout::new(&day).build());
    assert_eq!(machine.wait(timeout).result, -libc::ETIME);
    assert!(machine.world.elapsed() >= Duration::from_secs(86_400));
    let again = machine.push(opcode::Timeout::new(&day).build());
    machine.enter(Wait::No);
    assert_eq!(machine.run(opcode::TimeoutRemove::new(again).build()), 0);
    assert_eq!(machine.wait(again).result, -libc::ECANCELED);
}

#[test]
fn a_wait_that_nothing_can_end_is_an_error() {
    let mut piece = [0; 4];
    let mut machine = Machine::new(3);
    let (_client, server) = machine.pair();
    machine.push(recv(&server, &mut piece));
    for wait in [Wait::Forever, Wait::For(Duration::MAX)] {
        let error = machine.ring.enter(wait).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock);
        assert!(error.to_string().contains("opcode 27 on socket"), "{error}");
    }
    // A wait with an end is only a long one.
    machine.enter(Wait::For(Duration::from_secs(1_000_000)));
}

#[test]
fn the_clock_of_the_world_before_comes_back() {
    let (outer, nested) = (World::new(1), World::new(2));
    let outer_installed = outer.install();
    {
        let _nested_installed = nested.install();
        assert!(std::rc::Rc::ptr_eq(&World::current().unwrap(), &nested));
        assert_eq!(clock::now(), nested.now());
    }
    assert!(std::rc::Rc::ptr_eq(&World::current().unwrap(), &outer));
    assert_eq!(clock::now(), outer.now());
    drop(outer_installed);
    assert!(World::current().is_none());
}

#[test]
fn an_enter_that_fails_may_have_consumed_entries_and_loses_none() {
    let mut errors = BTreeSet::new();
    let mut consumed = BTreeSet::new();
    for seed in 0..40 {
        let mut machine = Machine::new(seed);
        machine.world.set_enter_failure_rate(500);
        let mut seen = BTreeSet::new();
        for _ in 0..8 {
            machine.push(opcode::Nop::new().build());
        }
        while seen.len() < 8 {
            let staged = machine.ring.staged();
            match machine.ring.enter(Wait::For(Duration::from_millis(1))) {
                Err(error) => {
                    errors.insert(error.raw_os_error().unwrap());
                    consumed.insert(staged - machine.ring.staged());
                }
                Ok(()) => assert_eq!(machine.ring.staged(), 0),
            }
            machine.ring.reap(&mut machine.reaped);
            for cqe in machine.reaped.drain(..) {
                assert!(seen.insert(cqe.user_data));
            }
        }
    }
    let all = [libc::EINTR, libc::EAGAIN, libc::EBUSY, libc::ENOMEM];
    assert_eq!(errors, BTreeSet::from(all));
    assert!(consumed.contains(&0) && consumed.contains(&8) && consumed.len() > 4);
}

#[test]
fn a_program_that_never_waits_does_not_stop_time() {
    let mut machine = Machine::new(4);
    let (client, server) = machine.pair();
    machine.send_all(&client, b"x");
    let mut piece = [0; 1];
    machine.push(recv(&server, &mut piece));
    let mut visits = 0;
    while machine.reaped.is_empty() {
        machine.enter(Wait::No);
        visits += 1;
        assert!(visits < 100_000);
    }
}

#[test]
fn two_rings_share_a_world() {
    let mut machine = Machine::new(5);
    let (client, server) = machine.pair();
    let mut other = Machine::in_world(machine.world.clone());
    let mut piece = [0; 4];
    let receiving = other.push(recv(&server, &mut piece));
    other.enter(Wait::No);
    machine.send_all(&client, b"x");
    assert_eq!(other.wait(receiving).result, 1);
    assert!(machine.reaped.is_empty());
}
