//! Accepting: at most one accept in flight per listener, and a line of those that wait for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::FusedFuture;
use futures_util::stream::{FusedStream, Stream};

use super::family::Family;
use super::stream::ByteStream;
use super::turns::Turns;
use crate::driver::{
    self, Alarm, Driver, Multi, Sealed, SharedFd, Submit, count, deadline_after, submit, timed_out,
};
use crate::op;
use crate::sys::log;
use crate::util::budget::Toll;
use crate::util::expiry::has_expired;
use crate::util::line::Place;

/// What a listener keeps.
pub(super) struct Acceptor {
    fd: SharedFd,
    armed: RefCell<Option<Armed>>,
    /// Those that wait.
    turns: Turns,
    /// Descriptors have run out: no accept before the timer.
    pause: RefCell<Option<Pause>>,
    /// How long the last pause was; zero when a connection has been accepted since.
    last_pause: Cell<Duration>,
    /// The log has been told.
    warned: Cell<bool>,
}

/// The accept in flight. It belongs to the listener, so dropping a future loses no connection.
enum Armed {
    /// Here its connections wait, so this is what pays for taking one.
    Multi(Multi<op::accept_multi::AcceptMulti>, Toll),
    Single(Submit<op::accept::Accept>),
    /// Not an accept: the listener has `O_NONBLOCK`, so that an accept would not wait.
    Readable(Submit<op::poll_add::PollAdd>),
}

struct Pause {
    end: Instant,
    alarm: Alarm,
}

/// The first pause when descriptors have run out, doubled up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

impl Acceptor {
    pub(super) fn new(fd: SharedFd) -> Self {
        Acceptor {
            fd,
            armed: RefCell::new(None),
            turns: Turns::new(),
            pause: RefCell::new(None),
            last_pause: Cell::new(Duration::ZERO),
            warned: Cell::new(false),
        }
    }

    pub(super) fn fd(&self) -> &SharedFd {
        &self.fd
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<SharedFd>> {
        loop {
            if self.is_paused(cx) {
                return Poll::Pending;
            }
            let driver = driver::current()?;
            // Taken out while it is polled: no borrow is held when a waker is cloned.
            let armed = self.armed.take();
            let mut armed = armed.unwrap_or_else(|| Armed::new(&self.fd, &driver));
            let accepted = armed.poll(cx);
            // A multishot is kept, armed or ended; a single accept is done with its connection.
            if accepted.is_pending() || matches!(armed, Armed::Multi(..)) {
                self.armed.replace(Some(armed));
            }
            match accepted {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {}
                Poll::Ready(Some(Ok(fd))) => {
                    self.last_pause.set(Duration::ZERO);
                    return Poll::Ready(Ok(fd));
                }
                Poll::Ready(Some(Err(error))) => match error.raw_os_error() {
                    // The client is gone before it was accepted, or the network says so. Linux
                    // passes pending network errors of the new socket on: accept(2), "Error
                    // handling".
                    Some(
                        libc::ECONNABORTED
                        | libc::EINTR
                        | libc::ECANCELED
                        | libc::EPROTO
                        | libc::ENOPROTOOPT
                        | libc::ENETDOWN
                        | libc::ENETUNREACH
                        | libc::EHOSTDOWN
                        | libc::EHOSTUNREACH
                        | libc::ENONET,
                    ) => {}
                    // A process that has the listener, too, may have set `O_NONBLOCK`, or have been
                    // faster. What is shared is left as it is.
                    Some(libc::EAGAIN) => {
                        let readable = op::poll_add::PollAdd::readable(self.fd.clone());
                        let ended = self.armed.replace(Some(Armed::Readable(submit(readable))));
                        drop(ended);
                    }
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        self.begin_pause(&driver, &error);
                    }
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
    }

    fn is_paused(&self, cx: &mut Context<'_>) -> bool {
        let pause = self.pause.take();
        let Some(mut pause) = pause else { return false };
        // Without a runtime there is nothing to wait for: the accept says so.
        if pause.alarm.poll(pause.end, cx.waker()).is_ready() {
            return false;
        }
        self.pause.replace(Some(pause));
        true
    }

    /// Descriptors or memory have run out: connections wait in the backlog until some come free.
    fn begin_pause(&self, driver: &Driver, error: &io::Error) {
        let last = self.last_pause.get();
        if !self.warned.replace(true) {
            log::warn(format_args!(
                "accept has to wait: {error}; raise the limit of open files (ulimit -n), or accept \
                 fewer connections at a time"
            ));
        }
        count(&driver.counters.accept_pauses);
        let length = (last * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.last_pause.set(length);
        if let Some(end) = deadline_after(length) {
            self.pause.replace(Some(Pause { end, alarm: Alarm::default() }));
        }
    }
}

impl Armed {
    fn new(fd: &SharedFd, driver: &Driver) -> Self {
        let queued_max = driver.limits().queued_accepts_max;
        // A multishot takes a whole backlog before it can be told to pause. Only single accepts
        // keep the promise that no more than one connection, and its descriptor, waits.
        if driver.can().accepts_many && queued_max > 1 {
            let accepts = op::accept_multi::AcceptMulti::new(fd.clone(), queued_max);
            Armed::Multi(Multi::new(accepts), Toll::Due)
        } else {
            Armed::Single(submit(op::accept::Accept::new(fd.clone())))
        }
    }

    /// `None`: it has ended, arm it again.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<SharedFd>>> {
        match self {
            Armed::Multi(multi, toll) => {
                toll.poll(cx, |cx| multi.poll_next(cx)).map(|item| match item {
                    Ok(Some(accepted)) => Some(accepted),
                    Ok(None) => None,
                    Err(error) => Some(Err(error)),
                })
            }
            Armed::Single(single) => single.poll_end(cx),
            Armed::Readable(wait) => wait.poll_end(cx).map(|end| end?.err().map(Err)),
        }
    }
}

/// The future of `accept`.
#[must_use = "nothing is accepted until this is awaited"]
pub struct Accept<'a, F> {
    acceptor: &'a Acceptor,
    place: Place,
    ended: bool,
    family: PhantomData<F>,
}

impl<'a, F> Accept<'a, F> {
    pub(super) fn new(acceptor: &'a Acceptor) -> Self {
        Accept { acceptor, place: None, ended: false, family: PhantomData }
    }
}

impl<F: Family> Future for Accept<'_, F> {
    type Output = io::Result<ByteStream<F>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Accept { acceptor, place, ended, .. } = &mut *self;
        let accepted = match acceptor.turns.poll(place, cx, |cx| acceptor.poll_accept(cx)) {
            Poll::Ready(accepted) => accepted,
            // A connection that comes later stays with the listener.
            Poll::Pending if has_expired(cx.waker()) => {
                acceptor.turns.leave(place);
                Err(timed_out())
            }
            Poll::Pending => return Poll::Pending,
        };
        *ended = true;
        Poll::Ready(accepted.map(ByteStream::from_fd))
    }
}

impl<F: Family> FusedFuture for Accept<'_, F> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<F> fmt::Debug for Accept<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accept").field(&self.acceptor.fd).finish()
    }
}

impl<F> Sealed for Accept<'_, F> {}

impl<F> Drop for Accept<'_, F> {
    fn drop(&mut self) {
        self.acceptor.turns.leave(&mut self.place);
    }
}

/// The connections of a listener, as a [`Stream`] that does not end.
#[must_use = "nothing is accepted until this is polled"]
pub struct Incoming<'a, F> {
    accept: Accept<'a, F>,
}

impl<'a, F> Incoming<'a, F> {
    pub(super) fn new(acceptor: &'a Acceptor) -> Self {
        Incoming { accept: Accept::new(acceptor) }
    }
}

impl<F: Family> Stream for Incoming<'_, F> {
    type Item = io::Result<ByteStream<F>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.accept).poll(cx).map(Some)
    }
}

impl<F: Family> FusedStream for Incoming<'_, F> {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl<F> fmt::Debug for Incoming<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(&self.accept.acceptor.fd).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TcpListener;
    use crate::task::yield_now;
    use crate::util::linked_slab::visits;
    use crate::util::test_waker::Poller;

    /// How often `step` looked at a value of a slab, be it a place, a slot or a timer.
    fn visits_of<T>(step: impl FnOnce() -> T) -> (u64, T) {
        let before = visits::counted();
        let done = step();
        (visits::counted() - before, done)
    }

    #[corering::test]
    async fn ten_thousand_wait_in_accept_and_no_poll_looks_at_all() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut accepts: Vec<_> = (0..10_000).map(|_| listener.accept()).collect();
        let (first, last) = (Poller::new(), Poller::new());
        let mut most = 0;
        for poller in [&first, &last] {
            for accept in &mut accepts {
                let (visits, polled) = visits_of(|| poller.poll(accept));
                assert!(polled.is_pending());
                most = most.max(visits);
            }
        }
        let address = listener.local_addr()?;
        let mut pairs = Vec::new();
        for accept in &mut accepts[..100] {
            let client = std::net::TcpStream::connect(address)?;
            let accepted = loop {
                let (visits, polled) = visits_of(|| last.poll(accept));
                most = most.max(visits);
                match polled {
                    Poll::Ready(accepted) => break accepted?,
                    Poll::Pending => yield_now().await,
                }
            };
            pairs.push((client, accepted));
        }
        assert_eq!(first.kept(), 0);
        for accept in accepts.into_iter().rev() {
            let (visits, ()) = visits_of(|| drop(accept));
            most = most.max(visits);
        }
        assert!((1..50).contains(&most), "one step looked at {most} values");
        Ok(())
    }
}
