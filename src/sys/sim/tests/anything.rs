//! Whatever is asked for, in whatever order: every operation ends once, and nothing is left.

use super::machine::*;
use crate::sys::ring::Wait;
use crate::sys::sim::random::Random;
use io_uring::squeue::Entry;
use io_uring::{opcode, types};
use socket2::SockAddr;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

const GROUP: u16 = 3;

struct Program {
    /// The program's own choices, so that they do not depend on the world's.
    random: Random,
    machine: Machine,
    address: SockAddr,
    listener: Option<OwnedFd>,
    sockets: Vec<OwnedFd>,
    /// Whether a completion's result is a descriptor.
    in_flight: BTreeMap<u64, bool>,
}

impl Program {
    fn any_socket(&mut self) -> types::Fd {
        match self.sockets.len() {
            0 => types::Fd(self.listener.as_ref().map_or(-1, |listener| listener.as_raw_fd())),
            count => fd(&self.sockets[self.random.below(count)]),
        }
    }

    fn any_entry(&mut self, memory: &mut [u8]) -> Entry {
        let socket = self.any_socket();
        let len = self.random.between(1, memory.len()) as u32;
        let listener = fd(self.listener.as_ref().expect("closed only at the end"));
        let known = self.in_flight.keys().copied().collect::<Vec<_>>();
        let target = if known.is_empty() { 0 } else { known[self.random.below(known.len())] };
        match self.random.below(14) {
            0 | 1 => opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build(),
            2 => opcode::Accept::new(listener, std::ptr::null_mut(), std::ptr::null_mut()).build(),
            3 => opcode::AcceptMulti::new(listener).build(),
            4 | 5 => opcode::Connect::new(socket, self.address.as_ptr().cast(), self.address.len())
                .build(),
            6 | 7 => opcode::Send::new(socket, memory.as_ptr(), len).build(),
            8 => opcode::Recv::new(socket, memory.as_mut_ptr(), len).build(),
            9 => opcode::RecvMulti::new(socket, GROUP).build(),
            10 => opcode::Shutdown::new(socket, self.random.below(3) as i32).build(),
            11 => opcode::AsyncCancel::new(target).build(),
            12 => opcode::AsyncCancel2::new(types::CancelBuilder::fd(socket).all()).build(),
            _ => {
                let events = [1, 4, 5, 0x2001][self.random.below(4)];
                let multi = self.random.chance(1, 2);
                opcode::PollAdd::new(socket, events).multi(multi).build()
            }
        }
    }

    fn step(&mut self, memory: &mut [u8]) {
        match self.random.below(10) {
            0 if !self.sockets.is_empty() => {
                let closed = self.random.below(self.sockets.len());
                let closed = self.sockets.swap_remove(closed);
                self.machine.world.close(closed);
            }
            1 => {
                let socket = self.any_socket().0;
                let _ = self.machine.world.send_now(socket, &memory[..9]);
            }
            _ => {
                let entry = self.any_entry(memory);
                let opens = matches!(
                    crate::sys::sim::entry_view::EntryView::of(&entry).opcode,
                    opcode::Socket::CODE | opcode::Accept::CODE
                );
                let user_data = self.machine.push(entry);
                self.in_flight.insert(user_data, opens);
            }
        }
    }

    fn reap(&mut self, buffers: &mut Buffers) {
        self.machine.ring.reap(&mut self.machine.reaped);
        for cqe in self.machine.reaped.drain(..) {
            let opens = self.in_flight[&cqe.user_data];
            if cqe.flags & F_MORE == 0 {
                self.in_flight.remove(&cqe.user_data);
            }
            if opens && cqe.result >= 0 {
                self.sockets.push(own(cqe.result));
            }
            if let Some(id) = buffers.of(cqe).map(|(id, _)| id) {
                buffers.give_back(id);
            }
        }
    }
}

fn run(seed: u64) {
    let mut memory = pattern(4_000);
    let mut buffers = Buffers::new(8);
    let mut machine = Machine::with_queues(seed, 64, 8);
    (0..8).for_each(|id| buffers.add(id, 50));
    buffers.register(&mut machine.ring, GROUP);
    let (listener, address) = machine.listener("127.0.0.1:0");
    machine.world.set_enter_failure_rate(50);
    let mut program = Program {
        random: Random::new(!seed),
        machine,
        address: address.into(),
        listener: Some(listener),
        sockets: Vec::new(),
        in_flight: BTreeMap::new(),
    };
    for _ in 0..100 {
        for _ in 0..program.random.below(8) {
            program.step(&mut memory);
        }
        let waits = [Wait::No, Wait::For(Duration::from_micros(500)), Wait::For(Duration::MAX)];
        // Nothing to wait for, or told to fail: both are fine here.
        let wait = waits[program.random.below(3)];
        while program.machine.ring.enter(wait).is_err() && program.machine.ring.staged() > 0 {}
        program.reap(&mut buffers);
    }
    program.machine.world.set_enter_failure_rate(0);
    while !program.in_flight.is_empty() {
        let any = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
        let user_data = program.machine.push(any);
        program.in_flight.insert(user_data, false);
        program.machine.ring.enter(Wait::For(Duration::from_secs(1))).unwrap();
        program.reap(&mut buffers);
    }
    for socket in program.sockets.drain(..).chain(program.listener.take()) {
        program.machine.world.close(socket);
    }
    program.machine.assert_clean();
}

#[test]
fn every_operation_ends_once_and_nothing_is_left() {
    (0..300).for_each(run);
}
