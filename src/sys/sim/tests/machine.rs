//! A program for the simulated kernel, as raw as it gets: entries in, completions out.

use crate::sys::ring::{Cqe, Wait};
use crate::sys::sim::{SimRing, World};
use io_uring::squeue::Entry;
use io_uring::types::BufRingEntry;
use io_uring::{opcode, types};
use socket2::SockAddr;
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

pub(super) const F_BUFFER: u32 = 1;
pub(super) const F_MORE: u32 = 2;

pub(super) struct Machine {
    pub(super) world: Rc<World>,
    pub(super) ring: SimRing,
    /// Completions that no one asked for yet.
    pub(super) reaped: Vec<Cqe>,
    user_data: u64,
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        Machine::with_queues(seed, 64, 256)
    }

    pub(super) fn with_queues(seed: u64, submissions: u32, completions: u32) -> Self {
        let world = World::new(seed);
        let ring = SimRing::new(world.clone(), submissions, completions);
        Machine { world, ring, reaped: Vec::new(), user_data: 0 }
    }

    pub(super) fn in_world(world: Rc<World>) -> Self {
        let ring = SimRing::new(world.clone(), 8, 8);
        Machine { world, ring, reaped: Vec::new(), user_data: 0 }
    }

    /// Stages an entry and returns its user data.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        self.user_data += 1;
        let entry = entry.user_data(self.user_data);
        // SAFETY: each test keeps its buffers until the completion.
        unsafe { self.ring.push(&entry) }.expect("the tests stage fewer entries than fit");
        self.user_data
    }

    pub(super) fn enter(&mut self, wait: Wait) {
        self.ring.enter(wait).expect("no enter fails here");
        self.ring.reap(&mut self.reaped);
    }

    /// Waits for the next completion of this operation.
    pub(super) fn wait(&mut self, user_data: u64) -> Cqe {
        loop {
            if let Some(found) = self.reaped.iter().position(|cqe| cqe.user_data == user_data) {
                return self.reaped.remove(found);
            }
            self.enter(Wait::Forever);
        }
    }

    pub(super) fn run(&mut self, entry: Entry) -> i32 {
        let user_data = self.push(entry);
        self.wait(user_data).result
    }

    /// Lets all that is on its way arrive.
    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            self.enter(Wait::For(std::time::Duration::from_millis(50)));
        }
    }

    pub(super) fn listener(&mut self, address: &str) -> (OwnedFd, SocketAddr) {
        let listener = self.world.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
        let address: SocketAddr = address.parse().unwrap();
        self.world.bind(listener.as_raw_fd(), &address.into()).unwrap();
        self.world.listen(listener.as_raw_fd(), 128).unwrap();
        let bound = self.world.local_addr(listener.as_raw_fd()).unwrap();
        (listener, bound.as_socket().unwrap())
    }

    pub(super) fn socket(&mut self) -> OwnedFd {
        let fd = self.run(opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build());
        own(fd)
    }

    /// Connects a new socket and accepts it: (client, server).
    pub(super) fn pair(&mut self) -> (OwnedFd, OwnedFd) {
        let (listener, address) = self.listener("127.0.0.1:0");
        let client = self.socket();
        let address = SockAddr::from(address);
        let connect = self.push(connect(&client, &address));
        let accept = self.push(accept(&listener));
        let server = own(self.wait(accept).result);
        assert_eq!(self.wait(connect).result, 0);
        self.world.close(listener);
        (client, server)
    }

    pub(super) fn send_all(&mut self, to: &OwnedFd, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let sent = self.run(send(to, bytes));
            assert!(sent > 0, "send: {sent}");
            bytes = &bytes[sent as usize..];
        }
    }

    /// Receives until the end of the stream or an error.
    pub(super) fn receive_all(&mut self, from: &OwnedFd) -> (Vec<u8>, i32) {
        let (mut all, mut piece) = (Vec::new(), vec![0; 300]);
        loop {
            match self.run(recv(from, &mut piece)) {
                count @ 1.. => all.extend_from_slice(&piece[..count as usize]),
                end => return (all, end),
            }
        }
    }

    /// Nothing is left of what the test did, once the last bytes have arrived.
    pub(super) fn assert_clean(&mut self) {
        self.settle();
        assert_eq!(self.world.sockets(), 0, "sockets left");
        assert_eq!(self.world.open_descriptors(), 0, "descriptors left open");
        assert_eq!(self.world.operations_in_flight(), 0, "operations left in flight");
    }
}

pub(super) fn own(fd: i32) -> OwnedFd {
    assert!(fd >= 0, "no descriptor but {fd}");
    // SAFETY: a completion that carries a descriptor gives it away.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub(super) fn fd(of: &OwnedFd) -> types::Fd {
    types::Fd(of.as_raw_fd() as RawFd)
}

pub(super) fn connect(socket: &OwnedFd, to: &SockAddr) -> Entry {
    opcode::Connect::new(fd(socket), to.as_ptr().cast(), to.len()).build()
}

pub(super) fn accept(listener: &OwnedFd) -> Entry {
    opcode::Accept::new(fd(listener), std::ptr::null_mut(), std::ptr::null_mut()).build()
}

pub(super) fn send(to: &OwnedFd, bytes: &[u8]) -> Entry {
    opcode::Send::new(fd(to), bytes.as_ptr(), bytes.len() as u32).build()
}

pub(super) fn recv(from: &OwnedFd, into: &mut [u8]) -> Entry {
    opcode::Recv::new(fd(from), into.as_mut_ptr(), into.len() as u32).build()
}

/// Bytes whose order shows.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// User space's side of a ring of provided buffers.
pub(super) struct Buffers {
    base: *mut BufRingEntry,
    entries: u16,
    tail: u16,
    memory: BTreeMap<u16, Box<[u8]>>,
}

impl Buffers {
    pub(super) fn new(entries: u16) -> Self {
        // SAFETY: the layout has a size.
        let base = unsafe { std::alloc::alloc_zeroed(Buffers::layout(entries)) };
        assert!(!base.is_null());
        Buffers { base: base.cast(), entries, tail: 0, memory: BTreeMap::new() }
    }

    fn layout(entries: u16) -> Layout {
        Layout::from_size_align(usize::from(entries) * 16, 4096).unwrap()
    }

    pub(super) fn register(&self, ring: &mut SimRing, group: u16) {
        // SAFETY: the tests drop the ring before the buffers.
        unsafe { ring.register_buffer_ring(self.base, self.entries, group) }.unwrap();
    }

    /// Makes a buffer and offers it.
    pub(super) fn add(&mut self, id: u16, len: usize) {
        self.memory.insert(id, vec![0; len].into_boxed_slice());
        self.give_back(id);
    }

    pub(super) fn give_back(&mut self, id: u16) {
        let buffer = self.memory.get_mut(&id).expect("a buffer of this group");
        let at = usize::from(self.tail & (self.entries - 1));
        // SAFETY: the index is within the ring, and the kernel does not look behind the tail.
        let entry = unsafe { &mut *self.base.add(at) };
        entry.set_addr(buffer.as_mut_ptr() as u64);
        entry.set_len(buffer.len() as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the ring is there, and its first entry holds the tail.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.base).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// The buffer that a completion carries, with the bytes received.
    pub(super) fn of(&self, cqe: Cqe) -> Option<(u16, &[u8])> {
        if cqe.flags & F_BUFFER == 0 {
            return None;
        }
        let id = (cqe.flags >> 16) as u16;
        Some((id, &self.memory[&id][..cqe.result.max(0) as usize]))
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout by `new`.
        unsafe { std::alloc::dealloc(self.base.cast(), Buffers::layout(self.entries)) };
    }
}
