//! Cancels that win, cancels that lose, and what they leave behind.

use super::machine::*;
use crate::sys::ring::Wait;
use io_uring::{opcode, types};
use std::os::fd::AsRawFd;

#[test]
fn a_cancel_wins_loses_or_comes_too_late_but_the_target_always_ends() {
    let mut outcomes = [0; 4];
    for seed in 0..300 {
        let mut machine = Machine::new(seed);
        let (client, server) = machine.pair();
        let mut piece = [0; 4];
        let receive = machine.push(recv(&server, &mut piece));
        machine.enter(Wait::No);
        machine.send_all(&client, b"data");
        // The bytes have arrived in some worlds, in others they arrive with the cancel or later.
        let told = machine.run(opcode::AsyncCancel::new(receive).build());
        let ended = machine.wait(receive).result;
        let outcome = match (told, ended) {
            (0, result) if result == -libc::ECANCELED => 0,
            (told, 1..) if told == -libc::ENOENT => 1,
            (told, 1..) if told == -libc::EALREADY => 2,
            (told, result) if told == -libc::EALREADY && result == -libc::ECANCELED => 3,
            other => panic!("seed {seed}: {other:?}"),
        };
        outcomes[outcome] += 1;
        assert_eq!(machine.world.operations_in_flight(), 0);
        if ended < 0 {
            // What a cancelled receive did not take is there for the next one.
            assert!(machine.run(recv(&server, &mut piece)) > 0);
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn a_cancel_of_nothing_says_so() {
    let mut machine = Machine::new(1);
    assert_eq!(machine.run(opcode::AsyncCancel::new(99).build()), -libc::ENOENT);
    let any = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
    assert_eq!(machine.run(any), 0);
}

#[test]
fn a_cancel_by_descriptor_ends_only_its_operations() {
    for seed in 0..50 {
        let mut machine = Machine::new(seed);
        let (client, server) = machine.pair();
        let mut pieces = [[0; 4]; 3];
        let [one, two, other] = pieces.each_mut();
        let one = machine.push(recv(&server, one));
        let two = machine.push(recv(&server, two));
        let other = machine.push(recv(&client, other));
        machine.settle();
        let builder = types::CancelBuilder::fd(fd(&server)).all();
        assert_eq!(machine.run(opcode::AsyncCancel2::new(builder).build()), 2);
        assert_eq!(machine.wait(one).result, -libc::ECANCELED);
        assert_eq!(machine.wait(two).result, -libc::ECANCELED);
        assert_eq!(machine.world.operations_in_flight(), 1);
        let any = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
        assert_eq!(machine.run(any), 1);
        assert_eq!(machine.wait(other).result, -libc::ECANCELED);
    }
}

#[test]
fn a_cancelled_accept_leaves_the_connection_in_the_queue() {
    for seed in 0..100 {
        let mut machine = Machine::new(seed);
        let (listener, address) = machine.listener("127.0.0.1:0");
        let accepting = machine.push(accept(&listener));
        let client = machine.socket();
        let to = address.into();
        let connecting = machine.push(connect(&client, &to));
        let cancel = machine.push(opcode::AsyncCancel::new(accepting).build());
        let accepted = machine.wait(accepting).result;
        machine.wait(cancel);
        assert_eq!(machine.wait(connecting).result, 0);
        let server = match accepted {
            fd @ 0.. => own(fd),
            _ => own(machine.run(accept(&listener))),
        };
        for socket in [client, server, listener] {
            machine.world.close(socket);
        }
        machine.assert_clean();
    }
}

#[test]
fn dropping_a_ring_ends_what_is_in_flight_and_lets_sockets_go() {
    let mut piece = [0; 4];
    let Machine { world, ring, .. } = {
        let mut machine = Machine::new(2);
        let (client, server) = machine.pair();
        machine.push(recv(&server, &mut piece));
        machine.settle();
        assert_eq!(machine.world.operations_in_flight(), 1);
        let number = server.as_raw_fd();
        machine.world.close(server);
        assert!(!machine.world.has(number));
        machine.world.close(client);
        machine
    };
    drop(ring);
    assert_eq!(world.operations_in_flight(), 0);
    assert_eq!(world.open_descriptors(), 0);
}
