//! `recv(2)` again and again: the kernel fills a buffer of the shard's group whenever data is there.
//!
//! `IORING_OP_RECV` with `IORING_RECV_MULTISHOT`, kernel 6.0, and a ring of provided buffers,
//! kernel 5.19; see `io_uring_prep_recv_multishot(3)`.

use std::io;
use std::rc::Rc;

use io_uring::{opcode, squeue};

use crate::buf::{BufferGroup, RecvBuf};
use crate::driver::{Multishot, SharedFd};
use crate::sys::ring::Cqe;

pub(crate) struct RecvMulti {
    fd: SharedFd,
    group: Rc<BufferGroup>,
    queued_max: u32,
}

impl RecvMulti {
    /// The group is the driver's, which the kernel knows as number 0.
    pub(crate) fn new(fd: SharedFd, group: Rc<BufferGroup>, queued_max: u32) -> Self {
        RecvMulti { fd, group, queued_max }
    }
}

// SAFETY: the entry points at nothing; the group's memory outlives the ring's use of it.
unsafe impl Multishot for RecvMulti {
    type Item = io::Result<RecvBuf>;

    fn encode(&mut self) -> squeue::Entry {
        opcode::RecvMulti::new(self.fd.target(), 0).build()
    }

    fn decode(&mut self, cqe: Cqe) -> Self::Item {
        // An error may carry a buffer, too; it goes back to the group as this one is dropped.
        let received = cqe.buffer_id().map(|id| {
            RecvBuf::from_group(self.group.clone(), id, u32::try_from(cqe.result).unwrap_or(0))
        });
        let count = cqe.outcome()?;
        debug_assert!(count == 0 || received.is_some(), "bytes come in a buffer");
        Ok(received.unwrap_or_else(RecvBuf::empty))
    }

    fn queued_max(&self) -> u32 {
        self.queued_max
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use super::*;
    use crate::driver::{self, Multi};
    use crate::op::test_sockets::{ends, nothing_is_in_flight, pair, poll_once};

    fn receives(fd: SharedFd, queued_max: u32) -> Multi<RecvMulti> {
        let group = driver::current().expect("a test has a runtime").group();
        Multi::new(RecvMulti::new(fd, group.expect("the kernel has buffer rings"), queued_max))
    }

    async fn next(receives: &mut Multi<RecvMulti>) -> io::Result<Option<RecvBuf>> {
        poll_fn(|cx| receives.poll_next(cx)).await?.transpose()
    }

    /// Turns the loop until a condition on the shard's counts holds.
    async fn until(holds: impl Fn(corering::Metrics) -> bool) {
        while !holds(corering::metrics()) {
            corering::yield_now().await;
        }
    }

    #[corering::test(driver = "uring")]
    async fn messages_come_in_order_until_the_end_of_the_stream() -> io::Result<()> {
        let (fd, mut peer) = pair();
        let mut receives = receives(fd, 8);
        for message in [&b"one"[..], b"two", b"three"] {
            peer.write_all(message)?;
            assert_eq!(&*next(&mut receives).await?.expect("it goes on"), message);
        }
        drop(peer);
        assert!(next(&mut receives).await?.expect("the end is an item").is_empty());
        assert!(next(&mut receives).await?.is_none());
        Ok(())
    }

    #[corering::test(driver = "uring")]
    async fn dropped_with_messages_that_nobody_took_it_returns_their_buffers() -> io::Result<()> {
        let (fd, mut peer) = pair();
        let mut receives = receives(fd, 8);
        peer.write_all(b"taken")?;
        let taken = next(&mut receives).await?;
        for count in 2..5 {
            peer.write_all(b"left")?;
            until(|metrics| metrics.group_buffers_out == count).await;
        }
        drop(receives);
        nothing_is_in_flight().await;
        assert_eq!(corering::metrics().group_buffers_out, 1);
        drop(taken);
        assert_eq!(corering::metrics().group_buffers_out, 0);
        assert!(ends(&peer));
        Ok(())
    }

    #[corering::test(driver = "uring")]
    async fn it_pauses_when_nobody_takes_and_loses_no_byte() -> io::Result<()> {
        let (fd, mut peer) = pair();
        let mut receives = receives(fd, 4);
        let mut sent = Vec::new();
        let mut got = Vec::new();
        for number in 0..100_u8 {
            peer.write_all(&[number; 10])?;
            sent.extend_from_slice(&[number; 10]);
            if number == 0 {
                got.extend_from_slice(&next(&mut receives).await?.expect("it goes on"));
            }
            corering::yield_now().await;
        }
        until(|metrics| metrics.paused_multishots > 0).await;
        assert!(corering::metrics().group_buffers_out <= 5);
        while got.len() < sent.len() {
            if let Some(received) = next(&mut receives).await? {
                got.extend_from_slice(&received);
            }
        }
        assert_eq!(got, sent);
        Ok(())
    }

    #[test]
    fn it_ends_with_bytes_where_completions_have_no_place_and_is_armed_again() {
        let few = |builder: corering::Builder| builder.ring_entries(4);
        let on_ring = Some(corering::Driver::Uring);
        corering::test_support::run_configured("it_ends_with_bytes", on_ring, few, || async {
            let (fd, mut peer) = pair();
            let mut receives = receives(fd, 8);
            peer.write_all(b"armed")?;
            let armed = next(&mut receives).await?;
            assert_eq!(&*armed.expect("it goes on"), b"armed");
            // In one round, more trips to the kernel than its 16 places; the bytes come among them.
            let mut nops: Vec<_> = (0..60).map(|_| driver::submit(crate::op::nop::Nop)).collect();
            for (number, nop) in nops.iter_mut().enumerate() {
                assert!(poll_once(nop).await.is_pending());
                if number == 40 {
                    peer.write_all(b"among them")?;
                }
            }
            for nop in nops {
                nop.await?;
            }
            assert_eq!(&*next(&mut receives).await?.expect("bytes come first"), b"among them");
            // Kernels that find no place for a completion end the multishot with it.
            peer.write_all(b"armed again")?;
            let again = loop {
                if let Some(again) = next(&mut receives).await? {
                    break again;
                }
            };
            assert_eq!(&*again, b"armed again");
            io::Result::Ok(())
        });
    }

    #[corering::test(driver = "uring")]
    async fn descriptor_that_is_no_socket_is_an_error() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let mut receives = receives(SharedFd::from(std::os::fd::OwnedFd::from(reader)), 8);
        let error = next(&mut receives).await.expect_err("not a socket");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
        Ok(())
    }
}
