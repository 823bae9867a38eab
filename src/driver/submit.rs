//! The one I/O future: an operation, before, during and after its flight.

use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use std::{io, ptr};

use super::driver::{Driver, current};
use super::flight::{Abandoned, Kind, LetGo};
use super::metrics::count;
use super::operation::{Disk, Held, Operation, Waits};
use super::standing::{Standing, cancelled, elsewhere, timed_out};
use crate::sys::clock;
use crate::sys::ring::Cqe;
use crate::util::budget::Toll;
use crate::util::expiry::has_expired;
use crate::util::linked_slab::Key;
use crate::util::unwind::shield;

/// Makes a future of an operation. Nothing happens before it is first polled.
pub(crate) fn submit<T: Operation>(operation: T) -> Submit<T> {
    Submit { operation: Some(operation), begun: None, in_line: false, toll: Toll::Due }
}

/// An operation as a future. Dropped in flight, it leaves the operation to its slot.
#[must_use = "an operation does nothing until it is awaited"]
pub(crate) struct Submit<T: Operation> {
    /// `None` after completion.
    operation: Option<T>,
    /// Where it is, once it has begun and not ended at once.
    begun: Option<(Rc<Driver>, Key)>,
    /// The key is that of a place in the line of its descriptor, so that nothing has happened yet. Else
    /// it is that of a slot: the kernel, or a thread of the pool, works on the operation.
    in_line: bool,
    toll: Toll,
}

/// Where an operation is, for whoever comes after its future.
#[derive(Clone, Copy)]
pub(crate) struct Trail {
    /// To be compared only. A future that was forgotten keeps its driver, so no later one is there.
    driver: NonNull<Driver>,
    key: Key,
    in_line: bool,
}

/// So often an operation that was cancelled is looked for, with a pause between: a second in all.
/// The kernel cancels what waits at once; a disk takes its time.
const RECALL_TRIES_MAX: u32 = 1000;
const RECALL_PAUSE: Duration = Duration::from_millis(1);

impl Trail {
    /// Asks for the end of an operation whose future was forgotten, so that nobody else polls or
    /// drops it, and waits for it. `None` if nothing had happened yet, or its runtime is not this one any
    /// more. What the future owned stays leaked.
    pub(crate) fn poll_forgotten(self, cx: &mut Context<'_>) -> Poll<Option<io::Result<u32>>> {
        let driver =
            current().ok().filter(|driver| ptr::eq(&raw const **driver, self.driver.as_ptr()));
        let Some(driver) = driver else { return Poll::Ready(None) };
        if self.in_line {
            driver.ready.leave(&mut Some(self.key));
            return Poll::Ready(None);
        }
        driver.flight.cancel(self.key);
        driver
            .flight
            .poll_forgotten(self.key, cx.waker())
            .map(|ended| ended.map(|cqe| cqe.outcome()))
    }
}

impl<T: Operation> Submit<T> {
    /// Where it is, once it has begun.
    #[inline]
    pub(crate) fn trail(&self) -> Option<Trail> {
        let (driver, key) = self.begun.as_ref()?;
        Some(Trail { driver: NonNull::from(&**driver), key: *key, in_line: self.in_line })
    }

    #[inline(always)]
    fn flight(&self) -> Option<(&Rc<Driver>, Key)> {
        let (driver, key) = self.begun.as_ref()?;
        (!self.in_line).then_some((driver, *key))
    }

    /// Whether the operation has begun and its result was not yet taken.
    pub(crate) fn in_flight(&self) -> bool {
        self.begun.is_some()
    }

    /// Whether it waits for a descriptor to become ready, so that nothing has happened yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.begun.is_some() && self.in_line
    }

    /// Its end, or `None` if nobody will ever hear of it: the kernel, or a thread of the pool, had
    /// not given it back when its runtime ended.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<T::Output>> {
        let is_lost = self.flight().is_some_and(|(driver, key)| {
            driver.has_ended() && !driver.is_of_parent() && driver.flight.is_held(key)
        });
        if is_lost {
            return Poll::Ready(None);
        }
        Pin::new(self).poll(cx).map(Some)
    }

    /// Asks for an early end; the future still resolves, with whatever came first.
    pub(crate) fn cancel(&self) {
        if let Some((driver, key)) = self.flight() {
            driver.flight.cancel(key);
        }
    }

    /// Begins the operation: on a ring as an entry, else, and if it has no such entry, by its plain
    /// call. Pending: `begun` says where it waits.
    #[inline(always)]
    fn begin(&mut self, driver: Rc<Driver>, waker: &Waker) -> Poll<io::Result<u32>> {
        driver.check_usable()?;
        let operation = self.operation.as_mut().expect("an I/O future is not polled after its end");
        if !driver.flight.can.carries_operations {
            return self.begin_without_entry(driver, waker, false);
        }
        let (mut kind, mut asked) = (Kind::Single, false);
        match operation.waits() {
            Waits::Writable { tries_first: true, .. } => {
                if let Some(outcome) = driver.ready.now(operation) {
                    return Poll::Ready(outcome);
                }
            }
            Waits::Disk(Disk::Direct) => kind = Kind::Direct,
            Waits::Disk(Disk::CachedUnasked) => {
                asked = true;
                if let Some(outcome) = ask_memory(&driver, operation) {
                    return Poll::Ready(outcome);
                }
            }
            _ => {}
        }
        let Some(entry) = operation.encode() else {
            return self.begin_without_entry(driver, waker, asked);
        };
        let raises = operation.raises();
        // SAFETY: `Operation` promises that what the entry points at stays valid until `decode`,
        // which is called after the final completion, wherever the operation is moved until then.
        match unsafe { driver.flight.start(entry, kind, raises, waker) } {
            Some(key) => {
                self.in_line = false;
                self.begun = Some((driver, key));
                Poll::Pending
            }
            None => self.begin_without_entry(driver, waker, asked),
        }
    }

    /// `asked`: memory has no answer.
    fn begin_without_entry(
        &mut self,
        driver: Rc<Driver>,
        waker: &Waker,
        asked: bool,
    ) -> Poll<io::Result<u32>> {
        let operation = self.operation.as_mut().expect("the caller has it");
        let (key, in_line) = match operation.waits() {
            Waits::Disk(disk) => {
                if matches!(disk, Disk::Cached | Disk::CachedUnasked)
                    && !asked
                    && let Some(outcome) = ask_memory(&driver, operation)
                {
                    return Poll::Ready(outcome);
                }
                let key = driver.flight.start_on_pool(waker);
                // SAFETY: `Operation` promises that the pointers stay valid until `decode`, which is
                // called after the result has been taken.
                if let Err(error) = unsafe { driver.pool.call(operation.call(), key) } {
                    driver.flight.remove(key);
                    return Poll::Ready(Err(error));
                }
                (key, false)
            }
            _ => match driver.ready.now(operation) {
                Some(outcome) => return Poll::Ready(outcome),
                None => (join(&driver, operation, waker)?, true),
            },
        };
        self.in_line = in_line;
        self.begun = Some((driver, key));
        Poll::Pending
    }

    /// One that stands in line tries again if it was called.
    fn poll_line(&mut self, waker: &Waker) -> Poll<io::Result<u32>> {
        let (driver, key) = self.begun.as_mut().expect("the caller has looked");
        if !driver.ready.take_call(&mut Some(*key), waker) {
            return Poll::Pending;
        }
        // It leads nowhere now.
        *key = Key::NONE;
        if !driver.is_usable() {
            return Poll::Ready(Err(cancelled()));
        }
        let operation = self.operation.as_mut().expect("it is not over");
        if let Some(outcome) = driver.ready.now_called(operation) {
            return Poll::Ready(outcome);
        }
        *key = join(driver, operation, waker)?;
        Poll::Pending
    }

    /// What an operation ends with that is still under way and is not to be awaited any longer: its
    /// time is over, or its runtime is not the one that runs. `None`: it is to be awaited further.
    #[cold]
    fn end_of_wait(&self, waker: &Waker) -> Option<io::Result<u32>> {
        let (driver, key) = self.begun.as_ref()?;
        let standing = driver.standing();
        let error = match standing {
            Standing::Here if !has_expired(waker) => return None,
            Standing::Here | Standing::Over => cancelled(),
            Standing::Elsewhere => elsewhere(),
        };
        if self.in_line {
            driver.ready.leave(&mut Some(*key));
            return Some(Err(error));
        }
        match standing {
            Standing::Elsewhere => recall(driver, *key),
            Standing::Here | Standing::Over => driver.flight.cancel(*key),
        }
        match driver.flight.let_go(*key) {
            LetGo::Free(Some(cqe)) => match cqe.outcome() {
                Err(ended) if was_cancelled(&ended) => Some(Err(error)),
                outcome => Some(outcome),
            },
            LetGo::Free(None) => Some(Err(error)),
            // Where something is in flight, its completion tells how its time limit ended it.
            LetGo::Held if standing == Standing::Here => None,
            // The parent's kernel works on the parent's memory; this process has a copy.
            LetGo::Held if driver.is_of_parent() => Some(Err(error)),
            LetGo::Held => panic!(
                "the kernel, or a thread of the pool, still has the buffer of an operation that was \
                 begun in another runtime, so its future cannot give it back: {error}"
            ),
        }
    }

    /// Whether a ring did not wait, since the descriptor came from outside, and does from now on.
    #[cold]
    fn has_to_wait(&self, error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::EAGAIN)
            && self.flight().is_some()
            && self.operation.as_ref().is_some_and(|operation| {
                let waits = operation.waits();
                waits.held() == Held::AsStream
                    && waits.descriptor().is_some_and(|(fd, _)| fd.lets_ring_wait())
            })
    }

    /// Why it failed: what the kernel says of a cancelled operation is told apart by who cancelled.
    #[cold]
    fn reason(&self, error: io::Error, waker: &Waker) -> io::Error {
        if !was_cancelled(&error) {
            error
        } else if has_expired(waker) {
            timed_out()
        } else if self.begun.as_ref().is_some_and(|(driver, _)| !driver.is_here()) {
            // Whether the kernel had begun with it is nothing to the one who waits.
            cancelled()
        } else {
            error
        }
    }
}

/// Asks memory for what else a disk would be asked for. A simulated kernel has no files, so there is
/// nothing that would be known not to wait.
fn ask_memory<T: Operation>(driver: &Driver, operation: &mut T) -> Option<io::Result<u32>> {
    if driver.flight.can.is_simulated {
        return None;
    }
    count(&driver.ready.counters.attempts);
    let Some(result) = operation.ask_memory() else {
        count(&driver.ready.counters.would_block);
        return None;
    };
    Some(Cqe { user_data: 0, result, flags: 0 }.outcome())
}

/// Stands in the line of the descriptor that an operation waits for.
fn join<T: Operation>(driver: &Driver, operation: &T, waker: &Waker) -> io::Result<Key> {
    match operation.waits().descriptor() {
        Some((fd, direction)) => {
            let place = driver.ready.join(fd, direction, waker)?;
            Ok(place.expect("it has joined"))
        }
        // Of a call that waits for nothing this is the answer.
        None => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
    }
}

/// Asks for the end of an operation and waits for it, though another runtime runs.
fn recall(driver: &Driver, key: Key) {
    driver.flight.cancel(key);
    for _ in 0..RECALL_TRIES_MAX {
        if !driver.flight.is_held(key) {
            return;
        }
        driver.look();
        if driver.flight.is_held(key) {
            clock::pause(RECALL_PAUSE);
        }
    }
}

impl<T: Operation> Future for Submit<T> {
    type Output = T::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        let this = &mut *self;
        let outcome = match (&this.begun, this.in_line) {
            (Some((driver, key)), false) => {
                driver.flight.poll(*key, cx.waker()).map(|cqe| cqe.outcome())
            }
            (Some(_), true) => this.poll_line(cx.waker()),
            (None, _) if has_expired(cx.waker()) => Poll::Ready(Err(cancelled())),
            (None, _) => {
                ready!(this.toll.pay(cx.waker()));
                match current() {
                    Err(error) => Poll::Ready(Err(error)),
                    Ok(driver) => {
                        let begun = this.begin(driver, cx.waker());
                        if begun.is_pending() {
                            return Poll::Pending;
                        }
                        begun
                    }
                }
            }
        };
        let mut outcome = match outcome {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                let goes_on = !has_expired(cx.waker())
                    && this.begun.as_ref().is_some_and(|(driver, _)| driver.is_here());
                match if goes_on { None } else { this.end_of_wait(cx.waker()) } {
                    Some(outcome) => outcome,
                    None => return Poll::Pending,
                }
            }
        };
        if let Err(error) = outcome {
            if this.has_to_wait(&error) {
                this.begun = None;
                return Pin::new(this).poll(cx);
            }
            outcome = Err(this.reason(error, cx.waker()));
        }
        this.begun = None;
        let operation = this.operation.take().expect("it was there above");
        Poll::Ready(operation.decode(outcome))
    }
}

/// What the kernel answers for an operation that a cancel has ended: EINTR if it was running.
pub(crate) fn was_cancelled(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ECANCELED | libc::EINTR))
}

impl<T: Operation> Drop for Submit<T> {
    fn drop(&mut self) {
        let Some((driver, key)) = self.begun.take() else { return };
        let Some(operation) = self.operation.take() else { return };
        if self.in_line {
            driver.ready.leave(&mut Some(key));
            return shield(|| drop(operation));
        }
        match driver.flight.let_go(key) {
            // It had completed, and nobody had taken the result: what it won must not be lost.
            LetGo::Free(Some(cqe)) => shield(|| drop(operation.decode(cqe.outcome()))),
            LetGo::Free(None) => shield(|| drop(operation)),
            LetGo::Held => {
                driver.flight.abandon(key, Box::new(Left(operation)));
                driver.visit_from_outside(|driver| driver.flight.is_held(key));
            }
        }
    }
}

/// An operation without its future.
struct Left<T>(T);

impl<T: Operation> Abandoned for Left<T> {
    fn complete(self: Box<Self>, completions: &[Cqe]) {
        let [cqe] = completions else { unreachable!("a single operation completes once") };
        drop(self.0.decode(cqe.outcome()));
    }
}
