//! Wakers for tests: one that counts, and one that runs a hook wherever a waker is user code.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

/// Polls a future with a waker that counts its wakes.
pub(crate) struct Poller {
    wakes: Arc<Wakes>,
    waker: Waker,
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Poller {
    pub(crate) fn new() -> Self {
        let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
        Poller { waker: Waker::from(Arc::clone(&wakes)), wakes }
    }

    pub(crate) fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        std::pin::Pin::new(future).poll(&mut Context::from_waker(&self.waker))
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// How often the waker was woken since the last call.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.0.swap(0, Ordering::Relaxed)
    }

    /// How many clones of the waker are kept somewhere.
    pub(crate) fn kept(&self) -> usize {
        // One count is ours, one our waker's.
        Arc::strong_count(&self.wakes) - 2
    }
}

/// A waker that runs `hook` whenever it is cloned, woken or dropped, except while the hook runs. It
/// stays on the thread that made it.
pub(crate) fn hook_waker(hook: impl Fn() + 'static) -> Waker {
    let hook = Rc::new(Hook { run: Box::new(hook), running: Cell::new(false) });
    // SAFETY: the functions of the table keep the contract of a waker with the reference count of
    // an `Rc<Hook>`. The `Rc` is not atomic; the tests that use it keep the waker on one thread.
    unsafe { Waker::from_raw(RawWaker::new(Rc::into_raw(hook).cast(), &TABLE)) }
}

struct Hook {
    run: Box<dyn Fn()>,
    running: Cell<bool>,
}

impl Hook {
    fn run(&self) {
        if !self.running.replace(true) {
            (self.run)();
            self.running.set(false);
        }
    }
}

const TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: `data` is of an `Rc<Hook>` whose count this waker holds.
    unsafe { Rc::increment_strong_count(data.cast::<Hook>()) };
    // SAFETY: as above; the count outlives the reference.
    unsafe { &*data.cast::<Hook>() }.run();
    RawWaker::new(data, &TABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: `data` is of an `Rc<Hook>` whose count this waker gives up here.
    unsafe { Rc::from_raw(data.cast::<Hook>()) }.run();
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: `data` is of an `Rc<Hook>` whose count this waker holds meanwhile.
    unsafe { &*data.cast::<Hook>() }.run();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: `data` is of an `Rc<Hook>` whose count this waker gives up here.
    unsafe { Rc::from_raw(data.cast::<Hook>()) }.run();
}
