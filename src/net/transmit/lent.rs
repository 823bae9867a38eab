//! Sending bytes that are lent for the time of a call: `poll_write`.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::Transmitter;
use crate::driver::{self, Driver, SharedFd, Submit, submit};
use crate::op;
use crate::util::budget::{self, Toll};

/// What a stream keeps for lent bytes.
#[derive(Default)]
pub(super) struct Lent {
    toll: Toll,
    /// The wait for room, while the socket has none.
    room: Option<Box<Submit<op::poll_add::PollAdd>>>,
}

impl Transmitter {
    /// Sends what the socket takes, or waits until it has room.
    #[inline]
    pub(in super::super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_lent(cx, |driver, fd, toll, waker| {
            op::send::now(driver, fd, bytes, false, toll, waker)
        })
    }

    /// Sends what the socket takes of several pieces, or waits until it has room.
    #[inline]
    pub(in super::super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_lent(cx, |driver, fd, toll, waker| {
            ready!(toll.pay(waker));
            Poll::Ready(op::sendmsg::now(driver, fd, pieces))
        })
    }

    #[inline]
    fn poll_lent(
        &mut self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(&Driver, &SharedFd, &mut Toll, &Waker) -> Poll<Option<io::Result<u32>>>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        loop {
            if let Some(room) = &mut self.lent.room {
                let has_room = ready!(Pin::new(&mut **room).poll(cx));
                self.lent.room = None;
                has_room?;
            }
            let Transmitter { fd, lent, .. } = self;
            let sent = driver::with_current(|driver| send(driver, fd, &mut lent.toll, cx.waker()));
            let Some(sent) = sent else {
                return Poll::Ready(Err(driver::current().err().expect("there is none")));
            };
            match ready!(sent) {
                Some(sent) => return Poll::Ready(sent.map(|count| count as usize)),
                None => {
                    lent.room = Some(Box::new(submit(op::poll_add::PollAdd::writable(fd.clone()))))
                }
            }
        }
    }

    /// Waits until nothing is in flight, and tells of an earlier write that was abandoned.
    #[inline]
    pub(in super::super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.claim();
        match self.is_clear() {
            true => Poll::Ready(Ok(())),
            false => self.poll_clear(cx),
        }
    }

    /// Ends the sending side behind what was sent.
    pub(in super::super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        // A plain call, which waits for nothing.
        let mut shutdown = submit(op::shutdown::Shutdown::new(self.fd.clone(), Shutdown::Write));
        budget::without_limit(|| Pin::new(&mut shutdown).poll(cx))
    }
}
