//! Receiving by notification: wait until a socket is readable, then receive into the hottest
//! buffer by a plain call. While it waits, a stream holds no buffer.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::metrics::count;
use super::operation::Direction;
use super::uring::is_would_block;
use super::{Driver, SharedFd};
use crate::buf::RecvBuf;
use crate::sys::call::SysCall;
use crate::util::linked_slab::Key;

/// A place in the line of those that wait for a descriptor to become readable. Dropped, it leaves
/// the line.
#[derive(Default)]
pub(crate) struct ReadableWait {
    flight: Option<(Rc<Driver>, Key)>,
}

impl ReadableWait {
    /// Receives what is there, or waits for it.
    pub(crate) fn poll_recv(
        &mut self,
        driver: &Rc<Driver>,
        fd: &SharedFd,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<RecvBuf>> {
        if let Some((waited_with, key)) = &self.flight {
            if !waited_with.is_woken(*key, cx) {
                return Poll::Pending;
            }
            self.leave();
        }
        match driver.receive_now(fd)? {
            Some(received) => Poll::Ready(Ok(received)),
            None => {
                let key = driver.wait_ready(fd, Direction::Read, cx.waker())?;
                self.flight = Some((driver.clone(), key));
                Poll::Pending
            }
        }
    }

    /// Waits no longer.
    pub(crate) fn leave(&mut self) {
        if let Some((driver, key)) = self.flight.take() {
            driver.let_go(key);
        }
    }
}

impl Drop for ReadableWait {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Driver {
    /// Whether a waiting slot was woken; if not, this waker is the one that will be.
    fn is_woken(&self, key: Key, cx: &mut Context<'_>) -> bool {
        let mut state = self.state.borrow_mut();
        let slot = state.slots.get_mut(key).expect("a waiting stream has a slot");
        if slot.done {
            return true;
        }
        if !slot.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            drop(state);
            let waker = cx.waker().clone();
            let old = self.state.borrow_mut().slots.set_waker(key, waker);
            drop(old);
        }
        false
    }

    /// Receives what a socket has, into the buffer that was used last. `None` if it has nothing.
    pub(crate) fn receive_now(self: &Rc<Self>, fd: &SharedFd) -> io::Result<Option<RecvBuf>> {
        self.check_usable()?;
        fd.set_nonblocking(!self.is_uring)?;
        let registration = fd.registration(self);
        if let Some(key) = registration
            && let Some(known) = self.state.borrow_mut().registrations.get_mut(key)
            && !known.is_ready(Direction::Read)
        {
            return Ok(None);
        }
        let mut buffer = self.lent.take();
        let room = buffer.len();
        let arguments =
            [fd.argument(), buffer.as_mut_ptr() as usize, room, libc::MSG_DONTWAIT as usize];
        let call = SysCall::new(libc::SYS_recvfrom, arguments);
        let result = loop {
            count(&self.counters.attempts);
            // SAFETY: the buffer has so much room and is borrowed by nobody.
            match unsafe { call.run() } {
                interrupted if interrupted == -libc::EINTR => {}
                result => break result,
            }
        };
        if let Some(key) = registration
            && let Some(known) = self.state.borrow_mut().registrations.get_mut(key)
        {
            if is_would_block(result) {
                known.refused(Direction::Read);
            } else if result > 0 && (result as usize) < room {
                known.drained(Direction::Read);
            }
        }
        if result > 0 {
            // SAFETY: the kernel has written so many bytes from the beginning on.
            return Ok(Some(unsafe { self.lent.lend(buffer, result as usize) }));
        }
        self.lent.put_back(buffer);
        if is_would_block(result) {
            count(&self.counters.would_block);
            return Ok(None);
        }
        if result == 0 {
            return Ok(Some(RecvBuf::empty()));
        }
        Err(io::Error::from_raw_os_error(-result))
    }
}
