//! `send(2)` of bytes that were lent for a call: a ring sends a copy of them, and nobody waits for it.
//!
//! `IORING_OP_SEND`, kernel 5.6, with `MSG_NOSIGNAL`. Elsewhere the plain call sends from the caller's
//! memory.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::mem;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::{opcode, squeue};

use super::poll_add::PollAdd;
use super::shutdown;
use crate::driver::{Driver, Post, Posted, SharedFd, Submit, submit};
use crate::util::unwind::shield;

/// So many bytes of a stream are copied at most. Of more, a plain call is cheaper.
pub(crate) const COPIED_MAX: usize = 4096;

/// So many buffers a thread keeps: 1 MiB.
const SPARE_MAX: usize = 256;

thread_local! {
    static SPARE: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

/// What of a stream's lent bytes is on its way to the socket. The kernel has one send at a time; what is
/// lent meanwhile follows.
#[derive(Default)]
pub(crate) struct LentSends {
    state: RefCell<State>,
    /// The wait for room, where a plain call has found none.
    room: Cell<Option<Box<Submit<PollAdd>>>>,
}

#[derive(Default)]
struct State {
    in_flight: Option<Post>,
    /// The copies. Its memory has its full size from the beginning, and does not move: the kernel reads it
    /// while more is appended. None while nothing is in flight.
    bytes: Vec<u8>,
    /// So many of them the socket has.
    sent: usize,
    /// The operation, while the kernel does not have it.
    idle: Option<Box<Sending>>,
    /// Why a send failed, until somebody is told.
    error: Option<io::Error>,
    waiters: Vec<Waker>,
    /// What ends behind them.
    shutdown: Option<Shutdown>,
    /// What is not with the socket is lost.
    given_up: bool,
}

/// The operation; it leads nowhere while it is idle.
#[derive(Default)]
struct Sending(Option<(SharedFd, Rc<LentSends>)>);

impl LentSends {
    /// Takes as many bytes as there is room for; they leave when the shard visits the kernel next.
    /// `None`: there is no room before something was sent, or no ring that sends.
    #[inline]
    pub(crate) fn take(
        self: &Rc<Self>,
        driver: &Rc<Driver>,
        fd: &SharedFd,
        pieces: &[IoSlice<'_>],
    ) -> Option<usize> {
        let mut state = self.state.borrow_mut();
        if state.in_flight.as_ref().is_some_and(|post| !Rc::ptr_eq(post.driver(), driver)) {
            return None;
        }
        if state.bytes.capacity() == 0 {
            state.bytes = spare();
        }
        let before = state.bytes.len();
        for piece in pieces {
            let room = COPIED_MAX - state.bytes.len();
            state.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let taken = state.bytes.len() - before;
        if state.in_flight.is_some() {
            return (taken > 0).then_some(taken);
        }
        let mut sending = state.idle.take().unwrap_or_default();
        drop(state);
        sending.0 = Some((fd.clone(), self.clone()));
        match Post::new(driver.clone(), sending) {
            Ok(post) => {
                self.state.borrow_mut().in_flight = Some(post);
                Some(taken)
            }
            Err(sending) => {
                self.state.borrow_mut().rest(sending);
                None
            }
        }
    }

    /// A plain call has found no room.
    pub(crate) fn wait_for_room(&self, fd: &SharedFd) {
        self.room.set(Some(Box::new(submit(PollAdd::writable(fd.clone())))));
    }

    /// Waits until there is room, if there was none.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut room) = self.room.take() else { return Poll::Ready(Ok(())) };
        let polled = Pin::new(&mut *room).poll(cx);
        if polled.is_pending() {
            self.room.set(Some(room));
        }
        polled
    }

    /// Waits for room no longer.
    pub(crate) fn forget_room(&self) {
        self.room.set(None);
    }

    /// Whether something is not with the socket yet.
    #[inline]
    pub(crate) fn in_flight(&self) -> bool {
        self.state.borrow().in_flight.is_some()
    }

    /// Waits until nothing is in flight; wakes also when there is room again.
    ///
    /// # Errors
    ///
    /// It is with a runtime that has ended, or that cannot go on while the present one runs.
    pub(crate) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.state.borrow().in_flight {
            None => return Poll::Ready(Ok(())),
            Some(post) => post.check_carried_on()?,
        }
        // Code of the user's: nothing is borrowed.
        let waker = cx.waker().clone();
        let waiters = &mut self.state.borrow_mut().waiters;
        if !waiters.iter().any(|known| known.will_wake(&waker)) {
            waiters.push(waker);
        }
        Poll::Pending
    }

    /// Why a send failed, once.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.state.borrow_mut().error.take()
    }

    /// Has the stream shut down behind what is in flight. False if nothing is.
    pub(crate) fn shut_down_behind(&self, how: Shutdown) -> bool {
        let mut state = self.state.borrow_mut();
        if state.in_flight.is_some() {
            state.shutdown = Some(how);
        }
        state.in_flight.is_some()
    }

    /// Ends it: what is not with the socket is lost, and counted.
    pub(crate) fn give_up(&self) {
        self.state.borrow_mut().given_up = true;
        let in_flight = self.state.borrow().in_flight.clone();
        if let Some(post) = in_flight {
            post.cancel();
        }
    }

    /// The kernel has ended a send.
    fn go_on(self: &Rc<Self>, mut sending: Box<Sending>, fd: SharedFd, outcome: io::Result<u32>) {
        let mut state = self.state.borrow_mut();
        let post = state.in_flight.take().expect("it was in flight");
        let driver = post.driver();
        let mut error = None;
        match outcome {
            Ok(0) => error = Some(io::ErrorKind::WriteZero.into()),
            Ok(count) => state.sent += count as usize,
            Err(failed) => error = Some(failed),
        }
        let left = state.bytes.len() - state.sent;
        if left > 0 && error.is_none() && !state.given_up {
            let sent = mem::take(&mut state.sent);
            state.bytes.drain(..sent);
            drop(state);
            sending.0 = Some((fd.clone(), self.clone()));
            let posted = Post::new(driver.clone(), sending);
            state = self.state.borrow_mut();
            match posted {
                Ok(post) => {
                    state.in_flight = Some(post);
                    let waiters = mem::take(&mut state.waiters);
                    drop(state);
                    return wake(waiters);
                }
                Err(back) => {
                    sending = back;
                    error = Some(io::Error::from_raw_os_error(libc::ECANCELED));
                }
            }
        }
        let lost = &driver.counters.unsent_bytes;
        lost.set(lost.get() + left as u64);
        state.rest(sending);
        state.error = error.or(state.error.take());
        let (shutdown, waiters) = (state.shutdown.take(), mem::take(&mut state.waiters));
        drop(state);
        if let Some(how) = shutdown {
            // Of a peer that is gone nobody needs to hear.
            let _ = driver.now(&mut shutdown::Shutdown::new(fd, how));
        }
        wake(waiters);
    }
}

fn wake(waiters: Vec<Waker>) {
    waiters.into_iter().for_each(|waiter| shield(|| waiter.wake()));
}

impl State {
    /// Nothing is in flight.
    fn rest(&mut self, mut sending: Box<Sending>) {
        sending.0 = None;
        self.idle = Some(sending);
        self.sent = 0;
        keep_spare(mem::take(&mut self.bytes));
    }
}

fn spare() -> Vec<u8> {
    let kept = SPARE.try_with(|spare| {
        let mut kept = spare.take();
        let one = kept.pop();
        spare.set(kept);
        one
    });
    kept.ok().flatten().unwrap_or_else(|| Vec::with_capacity(COPIED_MAX))
}

fn keep_spare(mut bytes: Vec<u8>) {
    bytes.clear();
    let _ = SPARE.try_with(|spare| {
        let mut kept = spare.take();
        if kept.len() < SPARE_MAX {
            kept.push(bytes);
        }
        spare.set(kept);
    });
}

// SAFETY: the pointer leads to memory of the vector's that is neither moved nor written to before `ended`:
// what is appended stands behind it, and there is room for that. The descriptor is held open.
unsafe impl Posted for Sending {
    fn encode(&mut self) -> squeue::Entry {
        let (fd, sends) = self.0.as_ref().expect("it leads to a stream");
        let state = sends.state.borrow();
        let left = &state.bytes[state.sent..];
        opcode::Send::new(fd.target(), left.as_ptr(), left.len() as u32)
            .flags(libc::MSG_NOSIGNAL)
            .build()
    }

    fn ended(mut self: Box<Self>, outcome: io::Result<u32>) {
        let (fd, sends) = self.0.take().expect("it leads to a stream");
        sends.go_on(self, fd, outcome);
    }
}
