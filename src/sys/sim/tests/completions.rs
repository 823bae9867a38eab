//! The completion queue: order, overflow, multishots, buffers.

use super::machine::*;
use crate::sys::ring::{Cqe, Wait};
use crate::sys::sim::Fault;
use io_uring::{opcode, squeue, types};
use std::collections::BTreeSet;

#[test]
fn a_full_submission_queue_says_so_and_loses_nothing() {
    let mut machine = Machine::with_queues(1, 4, 16);
    for _ in 0..4 {
        machine.push(opcode::Nop::new().build());
    }
    // SAFETY: a nop points at nothing.
    assert!(unsafe { machine.ring.push(&opcode::Nop::new().build()) }.is_err());
    assert_eq!(machine.ring.staged(), 4);
    machine.enter(Wait::No);
    assert_eq!(machine.ring.staged(), 0);
    for user_data in 1..=4 {
        assert_eq!(machine.wait(user_data).result, 0);
    }
}

#[test]
fn a_queue_of_four_survives_ten_thousand_operations() {
    let mut machine = Machine::with_queues(2, 4, 4);
    let mut seen = BTreeSet::new();
    for _ in 0..2_500 {
        for _ in 0..4 {
            machine.push(opcode::Nop::new().build());
        }
        machine.ring.enter(Wait::No).unwrap();
    }
    assert!(machine.ring.overflows() > 9_000 && machine.ring.wants_enter());
    while seen.len() < 10_000 {
        machine.enter(Wait::Forever);
        assert!(machine.reaped.len() <= 4);
        for cqe in machine.reaped.drain(..) {
            assert!(seen.insert(cqe.user_data), "twice: {cqe:?}");
        }
    }
    assert!(!machine.ring.wants_enter());
}

#[test]
fn completions_come_in_another_order_for_another_seed() {
    let order = |seed| {
        let mut machine = Machine::new(seed);
        let last = (0..30).map(|_| machine.push(opcode::Nop::new().build())).last().unwrap();
        while machine.reaped.len() < last as usize {
            machine.enter(Wait::Forever);
        }
        machine.reaped.iter().map(|cqe| cqe.user_data).collect::<Vec<_>>()
    };
    let orders: BTreeSet<_> = (0..20).map(order).collect();
    assert!(orders.len() > 10, "{} orders of 20", orders.len());
}

#[test]
fn one_pass_brings_no_more_than_twenty_pieces_of_task_work() {
    let mut machine = Machine::new(3);
    let (client, server) = machine.pair();
    let mut pieces = vec![[0_u8; 4]; 50];
    for piece in &mut pieces {
        machine.push(recv(&server, piece));
    }
    machine.settle();
    machine.world.close(client);
    machine.enter(Wait::Forever);
    while machine.reaped.len() < 50 {
        assert!(machine.ring.wants_enter(), "the flag shows that there is more");
        let before = machine.reaped.len();
        machine.enter(Wait::No);
        assert!(machine.reaped.len() - before <= 20);
    }
}

#[test]
fn multishot_receive_fills_buffers_in_order() {
    for seed in 0..200 {
        let mut buffers = Buffers::new(4);
        let mut machine = Machine::new(seed);
        (0..4).for_each(|id| buffers.add(id + 10, 64));
        buffers.register(&mut machine.ring, 7);
        let (client, server) = machine.pair();
        let bytes = pattern(2_000);
        let mut got = Vec::new();
        let mut receiving = machine.push(opcode::RecvMulti::new(fd(&server), 7).build());
        let mut sending = Some((machine.push(send(&client, &bytes)), 0));
        loop {
            machine.enter(Wait::Forever);
            let mut ended = None;
            for cqe in std::mem::take(&mut machine.reaped) {
                if let Some((user_data, sent)) = sending
                    && user_data == cqe.user_data
                {
                    let sent = sent + cqe.result as usize;
                    let rest = &bytes[sent..];
                    sending = (!rest.is_empty()).then(|| (machine.push(send(&client, rest)), sent));
                    if sending.is_none() {
                        machine.push(opcode::Shutdown::new(fd(&client), libc::SHUT_WR).build());
                    }
                } else if cqe.user_data == receiving {
                    ended = take_received(&mut buffers, &mut got, cqe).or(ended);
                }
            }
            match ended {
                Some(0) => break,
                Some(result) => {
                    assert!(result > 0 || result == -libc::ENOBUFS, "seed {seed}: {result}");
                    receiving = machine.push(opcode::RecvMulti::new(fd(&server), 7).build());
                }
                None => {}
            }
        }
        assert_eq!(got, bytes, "seed {seed}");
        machine.settle();
        machine.world.close(client);
        machine.world.close(server);
        machine.assert_clean();
    }
}

/// Gives the buffer back, and returns the result of the last completion.
fn take_received(buffers: &mut Buffers, got: &mut Vec<u8>, cqe: Cqe) -> Option<i32> {
    let received = buffers.of(cqe).map(|(id, bytes)| (id, bytes.to_vec()));
    if let Some((id, bytes)) = received {
        got.extend(bytes);
        buffers.give_back(id);
    } else {
        assert!(cqe.result <= 0, "bytes without a buffer: {cqe:?}");
    }
    (cqe.flags & F_MORE == 0).then_some(cqe.result)
}

#[test]
fn an_empty_group_ends_a_multishot_without_a_buffer() {
    let mut buffers = Buffers::new(2);
    let mut machine = Machine::new(4);
    buffers.register(&mut machine.ring, 0);
    let (client, server) = machine.pair();
    let entry = || opcode::RecvMulti::new(fd(&server), 0).build();
    let unarmed = machine.push(entry());
    assert_eq!(machine.wait(unarmed), Cqe { user_data: unarmed, result: -libc::ENOBUFS, flags: 0 });
    buffers.add(1, 1);
    let receiving = machine.push(entry());
    machine.send_all(&client, b"ab");
    let first = machine.wait(receiving);
    assert_eq!(buffers.of(first), Some((1, &b"a"[..])));
    assert_ne!(first.flags & F_MORE, 0);
    let last = machine.wait(receiving);
    assert_eq!((last.result, last.flags), (-libc::ENOBUFS, 0));
    machine.ring.unregister_buffer_ring(0).unwrap();
    assert!(machine.ring.unregister_buffer_ring(0).is_err());
}

#[test]
fn a_multishot_ends_with_bytes_when_the_completion_queue_is_full() {
    let mut ended_with_bytes = 0;
    for seed in 0..50 {
        let mut buffers = Buffers::new(64);
        let mut machine = Machine::with_queues(seed, 8, 4);
        (0..64).for_each(|id| buffers.add(id, 1));
        buffers.register(&mut machine.ring, 0);
        let (client, server) = machine.pair();
        machine.send_all(&client, b"twelve bytes");
        machine.settle();
        let receiving = machine.push(opcode::RecvMulti::new(fd(&server), 0).build());
        let mut received = 0;
        loop {
            let cqe = machine.wait(receiving);
            assert!(cqe.result == 1 && cqe.flags & F_BUFFER != 0, "{cqe:?}");
            received += 1;
            if cqe.flags & F_MORE == 0 {
                break;
            }
            if received == 12 {
                break;
            }
        }
        ended_with_bytes += usize::from(received < 12);
    }
    assert!(ended_with_bytes > 0);
}

#[test]
fn buffers_come_with_the_end_and_with_cancels_in_some_worlds() {
    let (mut with_end, mut with_cancel) = (0, 0);
    for seed in 0..100 {
        let mut buffers = Buffers::new(2);
        let mut machine = Machine::new(seed);
        buffers.add(5, 16);
        buffers.register(&mut machine.ring, 0);
        let (client, server) = machine.pair();
        let receiving = machine.push(opcode::RecvMulti::new(fd(&server), 0).build());
        machine.settle();
        machine.run(opcode::AsyncCancel::new(receiving).build());
        let cancelled = machine.wait(receiving);
        assert_eq!(cancelled.result, -libc::ECANCELED);
        if buffers.of(cancelled).is_some() {
            with_cancel += 1;
            buffers.give_back(5);
        }
        machine.world.close(client);
        let receiving = machine.push(opcode::RecvMulti::new(fd(&server), 0).build());
        let ended = machine.wait(receiving);
        assert_eq!(ended.result, 0);
        with_end += usize::from(buffers.of(ended).is_some());
    }
    assert!((1..100).contains(&with_end) && (1..100).contains(&with_cancel));
}

#[test]
#[should_panic(expected = "buffer 3 was given to the ring twice")]
fn a_buffer_given_twice_is_found_out() {
    let mut buffers = Buffers::new(4);
    let mut machine = Machine::new(5);
    buffers.add(3, 16);
    buffers.give_back(3);
    buffers.register(&mut machine.ring, 0);
    let (_client, server) = machine.pair();
    machine.push(opcode::RecvMulti::new(fd(&server), 0).build());
    machine.settle();
}

#[test]
fn what_this_kernel_cannot_do_is_refused() {
    let mut machine = Machine::new(6);
    let fsync = opcode::Fsync::new(types::Fd(0)).build();
    assert_eq!(machine.run(fsync), -libc::EINVAL);
    let linked = opcode::Nop::new().build().flags(squeue::Flags::IO_LINK);
    assert_eq!(machine.run(linked), -libc::EINVAL);
    let datagram = opcode::Socket::new(libc::AF_INET, libc::SOCK_DGRAM, 0).build();
    assert_eq!(machine.run(datagram), -libc::ESOCKTNOSUPPORT);
}

#[test]
fn a_fault_strikes_the_operation_that_it_was_meant_for() {
    let mut machine = Machine::new(7);
    let operation = opcode::Nop::CODE;
    machine.world.fail(Fault { operation, nth: 2, errno: libc::EIO });
    let results: Vec<_> = (0..3).map(|_| machine.run(opcode::Nop::new().build())).collect();
    assert_eq!(results, [0, -libc::EIO, 0]);
}

#[test]
fn a_skipped_completion_is_posted_only_for_an_error() {
    let mut machine = Machine::new(8);
    let skip = squeue::Flags::SKIP_SUCCESS;
    machine.push(opcode::Nop::new().build().flags(skip));
    let failing = machine.push(opcode::AsyncCancel::new(99).build().flags(skip));
    assert_eq!(machine.wait(failing).result, -libc::ENOENT);
    machine.settle();
    assert!(machine.reaped.is_empty());
}
