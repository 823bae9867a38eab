//! Receiving by notification: wait until a socket is readable, then receive into the hottest
//! buffer by a plain call. While it waits, a stream holds no buffer.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::metrics::count;
use super::operation::Direction;
use super::readiness::Registration;
use super::uring::is_would_block;
use super::{CutBy, Driver, SharedFd, current};
use crate::buf::RecvBuf;
use crate::sys::call::SysCall;
use crate::sys::file::{has_pages, read_cached};
use crate::util::budget::Toll;
use crate::util::linked_slab::Key;

/// How a stream waits for its descriptor to become readable: it is the one that receives, and its
/// waker stands with the descriptor's readiness. Dropped, it waits no longer.
#[derive(Default)]
pub(crate) struct ReadableWait {
    /// Where readiness is known; [`Key::NONE`] before there was anything to wait for.
    place: Option<(Rc<Driver>, Key)>,
    /// The waker was left there. If it stands there no more, it was woken.
    waits: bool,
    toll: Toll,
}

/// What a stream that wants to receive is to do next.
enum Step {
    /// Go on waiting.
    Wait,
    /// Begin to wait: a receive would only hear EAGAIN.
    BeginToWait,
    Receive,
}

impl ReadableWait {
    /// Receives what is there, or waits for it.
    // Inlined: see `SysCall::enter_kernel`.
    #[inline(always)]
    pub(crate) fn poll_recv(
        &mut self,
        fd: &SharedFd,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<RecvBuf>> {
        let waker = cx.waker();
        if !self.place.as_ref().is_some_and(|(driver, _)| driver.is_usable()) {
            self.arrive()?;
        }
        let (driver, key) = self.place.as_mut().expect("it has arrived");
        match driver.next_step(*key, self.waits, waker) {
            Step::Wait if driver.is_here() => return Poll::Pending,
            Step::Wait | Step::BeginToWait => return self.wait(fd, waker),
            // What waited has begun before.
            Step::Receive if self.waits => {}
            Step::Receive => ready!(self.toll.pay(waker)),
        }
        match driver.receive_now(fd, *key) {
            Ok(None) => self.wait(fd, waker),
            Ok(Some(received)) => {
                self.waits = false;
                Poll::Ready(Ok(received))
            }
            Err(error) => {
                self.waits = false;
                Poll::Ready(Err(error))
            }
        }
    }

    #[cold]
    fn arrive(&mut self) -> io::Result<()> {
        let driver = current()?;
        driver.check_usable()?;
        self.leave();
        self.place = Some((driver, Key::NONE));
        Ok(())
    }

    #[inline]
    fn wait(&mut self, fd: &SharedFd, waker: &Waker) -> Poll<io::Result<RecvBuf>> {
        let (driver, key) = self.place.as_mut().expect("there is a driver before there is a wait");
        // Whether it has ended, and whose process this is, was asked on the way here.
        if !driver.is_current() {
            current()?;
            driver.check_not_elsewhere()?;
        }
        if !driver.begin_to_wait(*key, waker) {
            *key = driver.watch(fd)?;
            driver.begin_to_wait(*key, waker);
        }
        self.waits = true;
        Poll::Pending
    }

    /// Waits for data without a look at whether some is there: the kernel will tell, once it has
    /// been visited.
    pub(crate) fn begin(&mut self, fd: &SharedFd, waker: &Waker) -> io::Result<()> {
        self.arrive()?;
        match self.wait(fd, waker) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits no longer.
    fn leave(&mut self) {
        if let Some((driver, key)) = self.place.take()
            && self.waits
        {
            driver.end_wait(key);
        }
        self.waits = false;
    }
}

impl Drop for ReadableWait {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Driver {
    /// What a stream is to do that wants to receive, and that `waits` already or does not. If it
    /// goes on waiting, this waker is the one that will be woken.
    #[inline]
    fn next_step(&self, key: Key, waits: bool, waker: &Waker) -> Step {
        let mut state = self.state.borrow_mut();
        match state.registrations.get_mut(key) {
            // Nothing is known.
            None => Step::Receive,
            Some(known) if waits => match &known.receiver {
                None => Step::Receive,
                Some(waiting) if waiting.will_wake(waker) => Step::Wait,
                Some(_) => Step::BeginToWait,
            },
            Some(known) if known.is_ready(Direction::Read) => Step::Receive,
            Some(_) => Step::BeginToWait,
        }
    }

    /// Leaves the waker of the stream that receives. False if nothing would tell of data.
    #[inline]
    fn begin_to_wait(&self, key: Key, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        // On a ring the poll may have ended: it is armed by the next `watch`.
        let watched = |known: &&mut Registration| !self.is_uring || known.poll.is_some();
        let Some(known) = state.registrations.get_mut(key).filter(watched) else {
            drop(state);
            return false;
        };
        let old = known.receiver.replace(waker);
        drop(state);
        drop(old);
        true
    }

    /// Takes the waker back.
    fn end_wait(&self, key: Key) {
        let mut state = self.state.borrow_mut();
        let waker = state.registrations.get_mut(key).and_then(|known| known.receiver.take());
        drop(state);
        drop(waker);
    }

    /// Receives what a socket has, into the buffer that was used last. `None` if it has nothing.
    #[inline(always)]
    fn receive_now(&self, fd: &SharedFd, registration: Key) -> io::Result<Option<RecvBuf>> {
        let mut buffer = self.lent.take();
        let room = buffer.len();
        // A poll of the ring looks for itself what a receive has left.
        let cut_by = if self.is_uring { CutBy::Mark } else { fd.cut_by() };
        let (result, may_be_cut) = match cut_by {
            // SAFETY: the buffer has so much room and is borrowed by nobody.
            CutBy::MarkOrControl => unsafe {
                self.receive_message(fd, buffer.as_mut_ptr().cast(), room)
            },
            CutBy::Mark | CutBy::Anything => {
                let (begin, flags) = (buffer.as_mut_ptr() as usize, libc::MSG_DONTWAIT as usize);
                let call = SysCall::new(libc::SYS_recvfrom, [fd.argument(), begin, room, flags]);
                // SAFETY: as above.
                (unsafe { self.call_now(call) }, cut_by == CutBy::Anything)
            }
        };
        let drained = result > 0 && (result as usize) < room && !may_be_cut;
        self.learn(Some(registration), Direction::Read, result, drained);
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

    /// Receives as `recvfrom(2)` does, and says whether descriptors or credentials came with the
    /// bytes, which end a receive early: `recvmsg(2)` without room for them reports it.
    ///
    /// # Safety
    ///
    /// `room` bytes from `begin` on may be written.
    #[inline(always)]
    unsafe fn receive_message(&self, fd: &SharedFd, begin: *mut u8, room: usize) -> (i32, bool) {
        let mut part = libc::iovec { iov_base: begin.cast(), iov_len: room };
        // SAFETY: all zeroes is a message without address, parts and control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        let arguments = [fd.argument(), (&raw mut message) as usize, libc::MSG_DONTWAIT as usize];
        // SAFETY: the message and its part outlive the call, and the caller vouches for the memory.
        let result = unsafe { self.call_now(SysCall::new(libc::SYS_recvmsg, arguments)) };
        (result, message.msg_flags & libc::MSG_CTRUNC != 0)
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

    /// Whether `sendfile(2)` would find a part of a file in the page cache: all pages are there, and
    /// the last byte, which was asked for last, has been read. A file system that may have to wait
    /// for more than a disk, a network for instance, says no to the second.
    pub(crate) fn is_in_cache(&self, file: &SharedFd, offset: u64, len: usize) -> bool {
        count(&self.counters.attempts);
        if !has_pages(file.raw(), offset, len) {
            return false;
        }
        count(&self.counters.attempts);
        let mut byte = MaybeUninit::<u8>::uninit();
        // SAFETY: there is room for one byte.
        let read =
            unsafe { read_cached(file.raw(), byte.as_mut_ptr(), 1, offset + len as u64 - 1) };
        read == Some(1)
    }

    /// Sends what a socket takes at once of a part of a file. `None` if it takes nothing.
    pub(crate) fn send_file_now(
        &self,
        socket: &SharedFd,
        file: &SharedFd,
        offset: u64,
        len: usize,
    ) -> Option<io::Result<usize>> {
        // The call has no flag for it. A ring does not mind: it receives and sends on a socket
        // whatever its mode is.
        if let Err(error) = socket.set_nonblocking(true) {
            return Some(Err(error));
        }
        let mut offset = offset;
        let arguments = [socket.argument(), file.argument(), (&raw mut offset) as usize, len];
        let call = SysCall::new(libc::SYS_sendfile, arguments).that_may_break_pipe();
        // SAFETY: the offset outlives the call.
        unsafe { self.send_by(call, socket) }
    }

    /// Sends what a socket takes at once. `None` if it takes nothing. If `more`
    /// follows at once, the kernel may let both leave together.
    #[inline(always)]
    pub(crate) fn send_now(
        &self,
        fd: &SharedFd,
        bytes: &[u8],
        more: bool,
    ) -> Option<io::Result<usize>> {
        let more = if more { libc::MSG_MORE } else { 0 };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | more;
        let arguments = [fd.argument(), bytes.as_ptr() as usize, bytes.len(), flags as usize];
        let call = SysCall::new(libc::SYS_sendto, arguments);
        // SAFETY: the bytes are borrowed for the call.
        unsafe { self.send_by(call, fd) }
    }

    /// As [`send_now`](Self::send_now), of two pieces as if they were one.
    pub(crate) fn send_both_now(
        &self,
        fd: &SharedFd,
        pieces: [&[u8]; 2],
    ) -> Option<io::Result<usize>> {
        let parts = pieces.map(IoSlice::new);
        // SAFETY: all zeroes is a message without address, parts and control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        // The kernel only reads them, and an `IoSlice` is laid out as an `iovec`.
        message.msg_iov = parts.as_ptr().cast_mut().cast();
        // Not of the same type in every C library.
        message.msg_iovlen = parts.len() as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let arguments = [fd.argument(), (&raw const message) as usize, flags as usize, 0];
        let call = SysCall::new(libc::SYS_sendmsg, arguments);
        // SAFETY: the message and what it points at outlive the call.
        unsafe { self.send_by(call, fd) }
    }

    /// Makes a call that sends. `None` if the socket takes nothing.
    ///
    /// # Safety
    ///
    /// As for [`SysCall::run`].
    #[inline(always)]
    unsafe fn send_by(&self, call: SysCall, fd: &SharedFd) -> Option<io::Result<usize>> {
        if let Err(error) = self.check_usable() {
            return Some(Err(error));
        }
        let registration = fd.registration(self);
        if !self.is_uring && self.is_unready(registration, Direction::Write) {
            return None;
        }
        // SAFETY: the caller vouches for the arguments.
        let result = unsafe { self.call_now(call) };
        self.learn(registration, Direction::Write, result, false);
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

    /// Notes what a call tells of a descriptor's readiness: it was refused, or it has `drained` it.
    #[inline]
    pub(super) fn learn(
        &self,
        registration: Option<Key>,
        direction: Direction,
        result: i32,
        drained: bool,
    ) {
        let refused = result < 0 && is_would_block(result);
        if refused {
            count(&self.counters.would_block);
        }
        if let Some(key) = registration
            && (refused || drained)
            && let Some(known) = self.state.borrow_mut().registrations.get_mut(key)
        {
            match refused {
                true => known.refused(direction),
                false => known.drained(),
            }
        }
    }
}
