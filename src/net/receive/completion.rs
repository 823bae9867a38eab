//! Receiving by completion: a multishot receive that fills buffers of the shard's group, and what is
//! done when the group is empty.

use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::ahead::Ahead;
use super::policy::{Policy, Way};
use super::{Receiver, State};
use crate::buf::{BufferGroup, Place, RecvBuf};
use crate::driver::{self, Driver, Multi, ReadableWait, SharedFd, count};
use crate::op;
use crate::util::budget;

pub(super) struct Completion {
    multi: Multi<op::recv_multi::RecvMulti>,
    group: Rc<BufferGroup>,
    policy: Policy,
    line: Line,
}

/// Where a stream stands that found the buffer group empty, or that changes over.
enum Line {
    /// The multishot is armed, or may be.
    Free,
    /// In line for a buffer, and watching for data: what comes first decides.
    Waiting { place: Place, wait: ReadableWait },
    /// Called for a buffer: the multishot is armed, or about to be.
    Called(Place),
    /// The multishot is being cancelled: what it has brought comes first, then the other way.
    Changing,
}

impl Completion {
    pub(super) fn new(
        fd: &SharedFd,
        driver: &Driver,
        group: Rc<BufferGroup>,
        policy: Policy,
    ) -> Self {
        let queued_max = driver.limits().queued_buffers_max;
        let multi =
            Multi::new(op::recv_multi::RecvMulti::new(fd.clone(), group.clone(), queued_max));
        Completion { multi, group, policy, line: Line::Free }
    }

    /// Ends the receive; what came before it can still be taken.
    pub(super) fn cancel(&mut self) {
        self.line = Line::Free;
        self.multi.cancel();
    }

    /// Takes what came before the end of a receive that was cancelled.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        while self.multi.is_armed() {
            if let Some(Ok(received)) = ready!(self.multi.poll_next(cx))? {
                return Poll::Ready(Ok(Some(received)));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// The group was empty, and the multishot has ended with it: stands in line for a buffer.
    /// Pending: it waits there.
    fn stand_in_line(&mut self, fd: &SharedFd, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        count(&driver::current()?.counters.buffer_group_empty);
        let place = match mem::replace(&mut self.line, Line::Free) {
            Line::Changing => {
                self.line = Line::Changing;
                return Poll::Ready(Ok(()));
            }
            Line::Called(place) => {
                place.rejoin(cx.waker());
                place
            }
            Line::Free | Line::Waiting { .. } => Place::join(&self.group, cx.waker()),
        };
        if place.is_called() {
            // A buffer has come back since.
            self.line = Line::Called(place);
            return Poll::Ready(Ok(()));
        }
        let mut wait = ReadableWait::default();
        wait.begin(fd, cx.waker())?;
        self.line = Line::Waiting { place, wait };
        Poll::Pending
    }
}

impl Receiver {
    /// `None`: the state has changed, look again.
    // Not inlined: the other way of receiving would pay for its frame.
    #[inline(never)]
    pub(super) fn poll_completion(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<RecvBuf>>> {
        let State::Completion(completion) = &mut self.state else { return Poll::Ready(Ok(None)) };
        let Completion { multi, group, policy, line } = completion;
        let fd = &self.fd;
        if let Line::Waiting { place, wait } = line {
            if driver::current()?.memory.owns(group) && !place.poll_called(cx.waker()) {
                // Others hold all buffers, perhaps for long, and there may be data already.
                let received = ready!(wait.poll(fd, cx, |driver| op::recv::lent(driver, fd)))?;
                count(&driver::current()?.counters.heap_receives);
                return Poll::Ready(Ok(Some(received)));
            }
            if let Line::Waiting { place, .. } = mem::replace(line, Line::Free) {
                *line = Line::Called(place);
            }
            fd.forget_readiness();
        }
        if !multi.is_armed() && !driver::current()?.memory.owns(group) {
            // The runtime that the stream began in has ended; this one's ring fills other buffers.
            self.state = State::New;
            return Poll::Ready(Ok(None));
        }
        let item = ready!(multi.poll_next(cx))?;
        let Some(received) = item else {
            // It has ended, and all that it brought is taken.
            if matches!(line, Line::Changing) {
                self.change_to_notification(&driver::current()?);
            }
            return Poll::Ready(Ok(None));
        };
        match received {
            Ok(received) => {
                if matches!(line, Line::Called(_)) {
                    *line = Line::Free;
                }
                let filled = received.len() == group.buffer_size();
                if matches!(line, Line::Free)
                    && policy.after(Way::Completion, received.len(), filled).is_some()
                {
                    multi.cancel();
                    *line = Line::Changing;
                }
                if !received.is_empty() && !budget::take(cx.waker()) {
                    // It comes first the next time, and then nobody asks.
                    self.ahead = Ahead::Rest(received);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(Some(received)))
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                ready!(completion.stand_in_line(fd, cx))?;
                Poll::Ready(Ok(None))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
