//! The limit of completions: a hand-written ring loop without a runtime.
//!
//! Tuned: multishot accept and receive into a ring of provided buffers (the conditions are those of
//! io_uring_prep_recv_multishot(3)); an echo is sent from the buffer that it came in, which goes
//! back when the send is done; deferred task work, and one `enter` that submits all sends of a pass
//! and waits for the next one; a registered ring descriptor; sends with `MSG_WAITALL`, so that a
//! long one completes once (Linux 5.19, "support MSG_WAITALL for IORING_OP_SEND(MSG)"); closing by
//! the ring; buffers that a whole message fits in. A file is read and sent by two linked entries,
//! its head in the same buffer: a splice would go to a worker thread of the kernel each time. That
//! is the limit of what a ring does by itself; from 64 KiB on `sendfile(2)` beside it costs less. A
//! group of the log is a write linked to its fdatasync.
//!
//! By notification (`--receive`), a multishot poll tells of bytes and plain calls do the rest, as
//! in the epoll loop (`ready.rs`). Adaptive is what `corering` does: a connection changes over at
//! 8 KiB, and back after 64 small receives.
//!
//! Read `serve` first, then `connection.rs`: when a connection may end, and how it changes over.

mod buffers;
mod connection;
mod send;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use slab::Slab;

use super::counters::Counters;
use super::fail;
use super::journal::Group;
use super::options::{Receive, Workload};
use super::ready::{BUFFER_BYTES, Shop, Waiter};
use super::site::make_log;
use super::stage::Part;
use buffers::Buffers;
use connection::Connection;

const ENTRIES: u32 = 1024;
const BUFFERS: u16 = 256;

/// What an entry was for: the upper half of its `user_data`. The lower half is the connection.
const ACCEPT: u64 = 0;
const RECV: u64 = 1;
const SEND: u64 = 2;
const STOP: u64 = 3;
const POLL: u64 = 4;
/// A part of a file was read, to be sent by the entry that it is linked to.
const READ: u64 = 5;
/// Its success or failure is known from something else.
const IGNORED: u64 = 6;
const WRITE: u64 = 7;
const SYNC: u64 = 8;

pub(super) fn serve(part: Part) -> io::Result<Counters> {
    let arguments = &part.stage.arguments;
    let mut server = Server::open(&part)?;
    let listener = part.listener.as_raw_fd();
    server.push(&accept(listener))?;
    let stop = opcode::PollAdd::new(types::Fd(part.stop.as_fd().as_raw_fd()), libc::POLLIN as u32);
    server.push(&stop.build().user_data(STOP << 32))?;
    if arguments.workload == Workload::Log {
        server.log = Some(make_log(arguments, part.shard)?);
    }
    (part.is_ready)()?;

    let mut completions = Vec::with_capacity(ENTRIES as usize * 4);
    loop {
        server.shop.work.system_calls(1);
        match server.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The completion queue is full: reap first.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
        completions.extend(server.ring.completion());
        for completion in completions.drain(..) {
            if completion.user_data() >> 32 == STOP {
                let counters = server.shop.work.with_system_calls();
                // The kernel may still work with its memory; the process is about to end.
                std::mem::forget(server);
                return Ok(counters);
            }
            server.complete(&completion, listener)?;
        }
        // All lines of this pass go into one group.
        server.commit()?;
    }
}

struct Server {
    ring: IoUring,
    buffers: Buffers,
    /// A connection is closed only when nothing of it is in flight.
    connections: Slab<Connection>,
    /// Connections whose receive ended since no buffer was left.
    starved: VecDeque<usize>,
    /// What plain calls receive into.
    buffer: Vec<u8>,
    /// For parts of a file that are on their way.
    page_buffers: Vec<Box<[u8]>>,
    receive: Receive,
    shop: Shop,
    log: Option<File>,
    /// The lines that are being made durable.
    group: Option<Group>,
}

impl Server {
    fn open(part: &Part) -> io::Result<Self> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_no_sqarray()
            .setup_cqsize(ENTRIES * 4)
            .build(ENTRIES)
            .map_err(|error| corering::probe().refusal().cloned().map_or(error, io::Error::from))?;
        ring.submitter().register_ring_fd()?;
        let size = part.stage.arguments.size.next_power_of_two().clamp(4 * 1024, 128 * 1024);
        Ok(Server {
            buffers: Buffers::register(&ring, BUFFERS, size)?,
            ring,
            connections: Slab::new(),
            starved: VecDeque::new(),
            buffer: vec![0; BUFFER_BYTES],
            page_buffers: Vec::new(),
            receive: part.stage.arguments.receive.unwrap_or(Receive::Adaptive),
            shop: part.stage.shop()?,
            log: None,
            group: None,
        })
    }

    fn complete(&mut self, completion: &cqueue::Entry, listener: RawFd) -> io::Result<()> {
        let result = completion.result();
        let index = (completion.user_data() & u64::from(u32::MAX)) as usize;
        match completion.user_data() >> 32 {
            ACCEPT => {
                if result >= 0 {
                    // SAFETY: the kernel has just opened the descriptor for us alone.
                    self.opened(unsafe { OwnedFd::from_raw_fd(result) })?;
                }
                if !cqueue::more(completion.flags()) {
                    self.push(&accept(listener))?;
                }
                Ok(())
            }
            RECV => self.received(index, completion),
            POLL => self.polled(index, completion),
            SEND => self.sent(index, result),
            READ => {
                self.read(index, result);
                Ok(())
            }
            WRITE => {
                self.written(result);
                Ok(())
            }
            SYNC => self.synced(result),
            _ => Ok(()),
        }
    }

    /// Begins to make the next group of lines durable, if there is one.
    fn commit(&mut self) -> io::Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let Some(group) = self.shop.journal.borrow_mut().begin() else { return Ok(()) };
        let fd = types::Fd(log.as_raw_fd());
        let write = opcode::Write::new(fd, group.text.as_ptr(), group.text.len() as u32)
            .offset(group.offset)
            .build()
            .flags(squeue::Flags::IO_LINK)
            .user_data(WRITE << 32);
        let sync = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
        // The text stays until the second entry is done.
        self.group = Some(group);
        self.push_linked(&[write, sync.user_data(SYNC << 32)])
    }

    fn written(&mut self, result: i32) {
        let wanted = self.group.as_ref().map_or(0, |group| group.text.len());
        if result < 0 {
            fail(&io::Error::from_raw_os_error(-result));
        }
        if result as usize != wanted {
            fail(&io::Error::other(format!("took {result} of {wanted} bytes")));
        }
    }

    fn synced(&mut self, result: i32) -> io::Result<()> {
        if result < 0 {
            fail(&io::Error::from_raw_os_error(-result));
        }
        let group = self.group.take().expect("the group that was made durable");
        let served: Vec<_> = self.shop.journal.borrow_mut().end(&group).collect();
        for Waiter { connection, lines } in served {
            self.durable(connection, lines)?;
        }
        Ok(())
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        self.push_linked(std::slice::from_ref(entry))
    }

    /// Stages entries that are linked: they must be submitted together.
    fn push_linked(&mut self, entries: &[squeue::Entry]) -> io::Result<()> {
        // SAFETY: what an entry points at is a buffer of `Buffers`, which is never freed; a page
        // that lives as long as the process; or memory of `page_buffer` or `group`, which stays
        // until the entry is done.
        while unsafe { self.ring.submission().push_multiple(entries) }.is_err() {
            self.shop.work.system_calls(1);
            self.ring.submit()?;
        }
        Ok(())
    }
}

fn accept(listener: RawFd) -> squeue::Entry {
    opcode::AcceptMulti::new(types::Fd(listener))
        .flags(libc::SOCK_CLOEXEC)
        .build()
        .user_data(ACCEPT << 32)
}
