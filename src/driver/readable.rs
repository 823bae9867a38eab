//! Receiving by notification: wait until a socket is readable, then receive by a plain call. While it
//! waits, a stream holds no buffer.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::SharedFd;
use super::driver::{Driver, current};
use super::ready::Known;
use crate::util::budget::Toll;
use crate::util::linked_slab::Key;

/// How a stream waits for its descriptor to become readable: it is the one that receives, and its
/// waker stands with the descriptor's registration. Dropped, it waits no longer.
#[derive(Default)]
pub(crate) struct ReadableWait {
    /// Where readiness is known; [`Key::NONE`] before there was anything to wait for.
    place: Option<(Rc<Driver>, Key)>,
    /// The waker was left there. If it stands there no more, it was woken.
    waits: bool,
    /// The last receive took all that was there.
    drained: bool,
    /// Of the receives since the last event only EAGAIN says that nothing is left.
    until_refused: bool,
    toll: Toll,
}

impl ReadableWait {
    /// Waits for an event before the first receive, as behind one that took all that was there.
    pub(crate) fn for_an_event() -> Self {
        let toll = Toll::default();
        ReadableWait { place: None, waits: false, drained: true, until_refused: false, toll }
    }

    /// Receives what is there, or waits for it. `receive` makes the call, and says whether nothing is
    /// left; `None` if nothing was there.
    // Inlined: see `SysCall::enter_kernel`.
    #[inline(always)]
    pub(crate) fn poll<T>(
        &mut self,
        fd: &SharedFd,
        cx: &mut Context<'_>,
        mut receive: impl FnMut(&Driver) -> Option<io::Result<(T, bool)>>,
    ) -> Poll<io::Result<T>> {
        let waker = cx.waker();
        if !self.place.as_ref().is_some_and(|(driver, _)| driver.is_usable()) {
            self.arrive()?;
        }
        if self.waits {
            // What waited has begun before, and paid.
            ready!(self.poll_waited(fd, waker))?;
        } else {
            if self.drained {
                ready!(self.wait(fd, waker))?;
            }
            ready!(self.toll.pay(waker));
        }
        loop {
            let (driver, key) = self.place.as_ref().expect("it has arrived");
            match receive(driver) {
                Some(Ok((received, drained))) => {
                    self.waits = false;
                    self.drained = drained && !self.until_refused;
                    return Poll::Ready(Ok(received));
                }
                Some(Err(error)) => {
                    // What is behind the error, if only the end, was told of with it.
                    (self.waits, self.drained) = (false, false);
                    return Poll::Ready(Err(error));
                }
                None => driver.ready.nothing_to_receive(*key),
            }
            ready!(self.wait(fd, waker))?;
        }
    }

    #[cold]
    fn arrive(&mut self) -> io::Result<()> {
        let driver = current()?;
        driver.check_usable()?;
        // An event tells of what is there already, too.
        let drained = self.drained;
        self.leave();
        (self.place, self.drained) = (Some((driver, Key::NONE)), drained);
        Ok(())
    }

    /// Looks whether the wait is over.
    #[inline(always)]
    fn poll_waited(&mut self, fd: &SharedFd, waker: &Waker) -> Poll<io::Result<()>> {
        let (driver, key) = self.place.as_ref().expect("it has arrived");
        match driver.ready.waited(*key, waker) {
            Some(Known::Waits) if driver.is_here() => Poll::Pending,
            Some(Known::Readable { until_refused }) => {
                self.until_refused = until_refused;
                Poll::Ready(Ok(()))
            }
            _ => self.wait(fd, waker),
        }
    }

    /// Begins to wait, unless there is something already.
    #[inline(always)]
    fn wait(&mut self, fd: &SharedFd, waker: &Waker) -> Poll<io::Result<()>> {
        let (driver, key) = self.place.as_ref().expect("there is a driver before there is a wait");
        // Whether it has ended, and whose process this is, was asked on the way here.
        if !driver.is_current() {
            current()?;
            driver.check_not_elsewhere()?;
        }
        match driver.ready.wait(*key, waker) {
            Known::Waits => {}
            Known::WaitsUnwatched => driver.flight.watch(fd, *key)?,
            Known::Readable { until_refused } => {
                (self.drained, self.until_refused) = (false, until_refused);
                return Poll::Ready(Ok(()));
            }
            Known::Unregistered => return self.register(fd, waker),
        }
        self.waits = true;
        Poll::Pending
    }

    #[cold]
    fn register(&mut self, fd: &SharedFd, waker: &Waker) -> Poll<io::Result<()>> {
        let (driver, key) = self.place.as_mut().expect("the caller has looked");
        *key = driver.ready.watch(fd)?;
        self.wait(fd, waker)
    }

    /// Waits for data without a look at whether some is there: the kernel will tell, once it has
    /// been visited.
    pub(crate) fn begin(&mut self, fd: &SharedFd, waker: &Waker) -> io::Result<()> {
        self.arrive()?;
        match self.wait(fd, waker) {
            Poll::Ready(Err(error)) => Err(error),
            // It is received at the next poll.
            Poll::Ready(Ok(())) => {
                waker.wake_by_ref();
                Ok(())
            }
            Poll::Pending => Ok(()),
        }
    }

    /// Waits no longer.
    fn leave(&mut self) {
        if let Some((driver, key)) = self.place.take()
            && self.waits
        {
            driver.ready.end_wait(key);
        }
        (self.waits, self.drained) = (false, false);
    }
}

impl Drop for ReadableWait {
    fn drop(&mut self) {
        self.leave();
    }
}
