//! Receiving by notification: wait until a socket is readable, then receive into the hottest
//! buffer by a plain call. While it waits, a stream holds no buffer.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::metrics::count;
use super::operation::Direction;
use super::uring::is_would_block;
use super::{Driver, SharedFd, State, current};
use crate::buf::RecvBuf;
use crate::sys::call::SysCall;
use crate::sys::file::read_cached;
use crate::util::linked_slab::Key;

/// A place in the line of those that wait for a descriptor to become readable. Dropped, it leaves
/// the line. It keeps its slot from one wait to the next.
#[derive(Default)]
pub(crate) struct ReadableWait {
    place: Option<(Rc<Driver>, Key)>,
    /// In line; else the slot is linked nowhere.
    in_line: bool,
}

impl ReadableWait {
    /// Receives what is there, or waits for it.
    #[inline]
    pub(crate) fn poll_recv(
        &mut self,
        fd: &SharedFd,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<RecvBuf>> {
        let driver = match &self.place {
            Some((driver, key)) if driver.is_usable() => {
                let waits = match self.in_line {
                    true => !driver.is_woken(*key, cx.waker()),
                    false => driver.wait_again(*key, fd, cx.waker()),
                };
                if waits {
                    self.in_line = true;
                    return Poll::Pending;
                }
                driver
            }
            _ => {
                self.leave();
                let driver = current()?;
                driver.check_usable()?;
                &self.place.insert((driver, NOWHERE)).0
            }
        };
        if !driver.may_call(cx.waker()) {
            return Poll::Pending;
        }
        // Woken, it is worth a call whatever is known.
        let woken = std::mem::take(&mut self.in_line);
        match driver.receive_now(fd, woken) {
            Ok(None) => self.wait(fd, cx.waker()),
            Ok(Some(received)) => Poll::Ready(Ok(received)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn wait(&mut self, fd: &SharedFd, waker: &Waker) -> Poll<io::Result<RecvBuf>> {
        let (driver, key) = self.place.as_mut().expect("it was there above");
        if !driver.wait_again(*key, fd, waker) {
            driver.let_go(*key);
            *key = match driver.wait_ready(fd, Direction::Read, waker) {
                Ok(key) => key,
                Err(error) => return Poll::Ready(Err(error)),
            };
        }
        self.in_line = true;
        Poll::Pending
    }

    /// Waits for data without a look at whether some is there: the kernel will tell, once it has
    /// been visited.
    pub(crate) fn begin(&mut self, fd: &SharedFd, waker: &Waker) -> io::Result<()> {
        self.leave();
        let driver = current()?;
        let key = driver.wait_ready(fd, Direction::Read, waker)?;
        self.place = Some((driver, key));
        self.in_line = true;
        Ok(())
    }

    /// Waits no longer.
    pub(crate) fn leave(&mut self) {
        self.in_line = false;
        if let Some((driver, key)) = self.place.take() {
            driver.let_go(key);
        }
    }
}

impl Drop for ReadableWait {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The key of no slot.
const NOWHERE: Key = Key::NONE;

impl Driver {
    /// Whether a waiting slot was woken; if not, this waker is the one that will be.
    #[inline]
    fn is_woken(&self, key: Key, waker: &Waker) -> bool {
        let mut state = self.state.borrow_mut();
        let slot = state.slots.get_mut(key).expect("a waiting stream has a slot");
        if slot.done {
            return true;
        }
        if !slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            drop(state);
            let waker = waker.clone();
            let old = self.state.borrow_mut().slots.set_waker(key, waker);
            drop(old);
        }
        false
    }

    /// Puts a slot that was woken back into the line of its descriptor, where a receive is known to
    /// be of no use. False also if there is no slot yet, or none of the present registration.
    #[inline]
    fn wait_again(self: &Rc<Self>, key: Key, fd: &SharedFd, waker: &Waker) -> bool {
        let Some(registration) = fd.registration(self) else { return false };
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        let State { slots, registrations, .. } = &mut *state;
        let (Some(known), Some(slot)) = (registrations.get_mut(registration), slots.get_mut(key))
        else {
            return false;
        };
        // On a ring the poll may have ended: it is armed by a new wait.
        if known.is_ready(Direction::Read)
            || !slot.waits_for(registration)
            || (self.is_uring && known.poll.is_none())
        {
            drop(state);
            return false;
        }
        slot.done = false;
        let old = slot.waker.replace(waker);
        slots.join(known.line(Direction::Read), key);
        drop(state);
        drop(old);
        true
    }

    /// Receives what a socket has, into the buffer that was used last. `None` if it has nothing.
    /// Makes no call where one is known to be of no use, unless it was `woken`.
    pub(crate) fn receive_now(
        self: &Rc<Self>,
        fd: &SharedFd,
        woken: bool,
    ) -> io::Result<Option<RecvBuf>> {
        fd.set_nonblocking(!self.is_uring)?;
        let registration = fd.registration(self);
        if !woken && self.is_unready(registration, Direction::Read) {
            return Ok(None);
        }
        let mut buffer = self.lent.take();
        let room = buffer.len();
        let arguments =
            [fd.argument(), buffer.as_mut_ptr() as usize, room, libc::MSG_DONTWAIT as usize];
        // SAFETY: the buffer has so much room and is borrowed by nobody.
        let result = unsafe { self.call_now(SysCall::new(libc::SYS_recvfrom, arguments)) };
        self.learn(registration, Direction::Read, result, room);
        if result > 0 {
            // SAFETY: the kernel has written so many bytes from the beginning on.
            return Ok(Some(unsafe { self.lent.lend(buffer, result as usize) }));
        }
        self.lent.put_back(buffer);
        if is_would_block(result) {
            return Ok(None);
        }
        if result == 0 {
            return Ok(Some(RecvBuf::empty()));
        }
        Err(io::Error::from_raw_os_error(-result))
    }

    /// Reads what the page cache has of a file into the buffer that was used last, without waiting
    /// for a disk. `None` if it has nothing there.
    pub(crate) fn read_now(&self, file: &SharedFd, offset: u64, wanted: usize) -> Option<RecvBuf> {
        let mut buffer = self.lent.take();
        let room = wanted.min(buffer.len());
        count(&self.counters.attempts);
        // SAFETY: the buffer has so much room and is borrowed by nobody.
        match unsafe { read_cached(file.raw(), buffer.as_mut_ptr().cast(), room, offset) } {
            // SAFETY: the kernel has written so many bytes from the beginning on.
            Some(read) if read > 0 => Some(unsafe { self.lent.lend(buffer, read as usize) }),
            _ => {
                self.lent.put_back(buffer);
                None
            }
        }
    }

    /// Whether a task may make another call in this round; if not, it is woken for the next.
    #[inline]
    pub(crate) fn may_call(&self, waker: &Waker) -> bool {
        let left = self.direct_calls.get();
        if left == 0 {
            waker.wake_by_ref();
            return false;
        }
        self.direct_calls.set(left - 1);
        true
    }

    /// Sends what a socket takes at once. `None` if it takes nothing. If `more`
    /// follows at once, the kernel may let both leave together.
    #[inline]
    pub(crate) fn send_now(
        self: &Rc<Self>,
        fd: &SharedFd,
        bytes: &[u8],
        more: bool,
    ) -> Option<io::Result<usize>> {
        let more = if more { libc::MSG_MORE } else { 0 };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | more;
        let arguments = [fd.argument(), bytes.as_ptr() as usize, bytes.len(), flags as usize];
        let call = SysCall::new(libc::SYS_sendto, arguments);
        // SAFETY: the bytes are borrowed for the call.
        unsafe { self.send_by(call, fd, bytes.len()) }
    }

    /// As [`send_now`](Self::send_now), of two pieces as if they were one.
    pub(crate) fn send_both_now(
        self: &Rc<Self>,
        fd: &SharedFd,
        pieces: [&[u8]; 2],
    ) -> Option<io::Result<usize>> {
        let parts = pieces.map(IoSlice::new);
        // SAFETY: all zeroes is a message without address, parts and control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        // The kernel only reads them, and an `IoSlice` is laid out as an `iovec`.
        message.msg_iov = parts.as_ptr().cast_mut().cast();
        message.msg_iovlen = parts.len();
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let arguments = [fd.argument(), (&raw const message) as usize, flags as usize, 0];
        let call = SysCall::new(libc::SYS_sendmsg, arguments);
        // SAFETY: the message and what it points at outlive the call.
        unsafe { self.send_by(call, fd, pieces.map(<[u8]>::len).iter().sum()) }
    }

    /// Makes a call that sends up to `wanted` bytes. `None` if the socket takes nothing.
    ///
    /// # Safety
    ///
    /// As for [`SysCall::run`].
    #[inline]
    unsafe fn send_by(
        self: &Rc<Self>,
        call: SysCall,
        fd: &SharedFd,
        wanted: usize,
    ) -> Option<io::Result<usize>> {
        if let Err(error) = self.check_usable() {
            return Some(Err(error));
        }
        if let Err(error) = fd.set_nonblocking(!self.is_uring) {
            return Some(Err(error));
        }
        let registration = fd.registration(self);
        if !self.is_uring && self.is_unready(registration, Direction::Write) {
            return None;
        }
        // SAFETY: the caller vouches for the arguments.
        let result = unsafe { self.call_now(call) };
        self.learn(registration, Direction::Write, result, wanted);
        match usize::try_from(result) {
            Ok(sent) => Some(Ok(sent)),
            Err(_) if is_would_block(result) => None,
            Err(_) => Some(Err(io::Error::from_raw_os_error(-result))),
        }
    }

    /// Makes a call, again if a signal interrupts it.
    ///
    /// # Safety
    ///
    /// As for [`SysCall::run`].
    #[inline]
    pub(super) unsafe fn call_now(&self, call: SysCall) -> i32 {
        loop {
            count(&self.counters.attempts);
            // SAFETY: the caller vouches for the arguments.
            let result = unsafe { call.run() };
            if result != -libc::EINTR {
                return result;
            }
        }
    }

    /// Whether a call would only hear EAGAIN. A descriptor that was never registered is tried.
    #[inline]
    pub(super) fn is_unready(&self, registration: Option<Key>, direction: Direction) -> bool {
        registration.is_some_and(|key| {
            let mut state = self.state.borrow_mut();
            state.registrations.get_mut(key).is_some_and(|known| !known.is_ready(direction))
        })
    }

    /// Notes what the result of a call tells of a descriptor's readiness.
    #[inline]
    pub(super) fn learn(
        &self,
        registration: Option<Key>,
        direction: Direction,
        result: i32,
        wanted: usize,
    ) {
        let refused = result < 0 && is_would_block(result);
        if refused {
            count(&self.counters.would_block);
        }
        if let Some(key) = registration
            && (refused || (result > 0 && (result as usize) < wanted))
            && let Some(known) = self.state.borrow_mut().registrations.get_mut(key)
        {
            match refused {
                true => known.refused(direction),
                false => known.drained(direction),
            }
        }
    }
}
