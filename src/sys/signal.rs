//! Signals of the process, turned into wakes.
//!
//! ```text
//! handler (any thread) --bit, eventfd--> the round of every shard that watches --Waker--> tasks
//! ```
//!
//! The handler may do next to nothing, since it interrupts code that may hold any lock: it sets a
//! bit and writes to an eventfd. Every shard on which a task waits for a signal watches that
//! eventfd beside its own doorbell, edge-triggered; nobody reads it and it is never closed. The
//! first shard that wakes tells all who wait.
//!
//! The handler is that of `signal-hook-registry`, which calls what others had installed before and
//! have registered since. It stays installed.
//!
//! A child of `fork` has the handler but not the shards. There ours restores the default and raises
//! the signal again, so that the child can be ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use signal_hook_registry::FORBIDDEN;
use slab::Slab;

use super::eventfd::EventFd;
use crate::util::unwind::shield;

/// Signals that have come and that no shard has seen yet, one bit each.
static PENDING: AtomicU64 = AtomicU64::new(0);
/// What the handler rings. Set before the first handler is installed, never closed.
static DOORBELL: OnceLock<EventFd> = OnceLock::new();
/// The process that has the shards.
static OWNER: AtomicI32 = AtomicI32::new(0);

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { handled: 0, entries: Slab::new() });

struct Registry {
    /// The signals that [`notice`] is registered for.
    handled: u64,
    entries: Slab<Entry>,
}

struct Entry {
    signals: u64,
    fired: bool,
    waker: Option<Waker>,
}

/// Waits for the first of some signals to come after it was installed.
#[derive(Debug)]
pub(crate) struct Listener {
    key: usize,
}

impl Listener {
    /// Registers for the signals, if that has not been done, and listens. Once listened for, a
    /// signal keeps its handler: its default action does not come back.
    ///
    /// # Errors
    /// - `InvalidInput`: a number is no signal's, or that of one that cannot be handled (`SIGKILL`,
    ///   `SIGSTOP`) or not in this way (`SIGILL`, `SIGFPE`, `SIGSEGV`).
    /// - No descriptor could be had. It can be tried again.
    ///
    /// Nothing has changed then.
    pub(crate) fn install(signals: &[libc::c_int]) -> io::Result<Self> {
        signals.iter().try_for_each(|&signal| check(signal))?;
        // What has come before this moment is not for this listener.
        deliver();
        let mut registry = registry();
        OWNER.store(process_id(), Ordering::Relaxed);
        if DOORBELL.get().is_none() {
            // Under the lock, so nobody else has set it meanwhile.
            let _ = DOORBELL.set(EventFd::new()?);
        }
        for &signal in signals {
            if registry.handled & bit(signal) == 0 {
                // SAFETY: the action is async-signal-safe, and does not panic: see there.
                unsafe { signal_hook_registry::register(signal, move || notice(signal)) }?;
                registry.handled |= bit(signal);
            }
        }
        let signals = signals.iter().fold(0, |set, &signal| set | bit(signal));
        let key = registry.entries.insert(Entry { signals, fired: false, waker: None });
        Ok(Listener { key })
    }

    /// Ready once one of the signals has come, and from then on.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        // The waker is user code: it is cloned before the lock is taken, and the one it replaces is
        // dropped after.
        let waker = context.waker().clone();
        let replaced = {
            let mut registry = registry();
            let entry = &mut registry.entries[self.key];
            if entry.fired {
                drop(registry);
                return Poll::Ready(());
            }
            entry.waker.replace(waker)
        };
        drop(replaced);
        Poll::Pending
    }
}

impl Clone for Listener {
    /// One that has heard what this one has.
    fn clone(&self) -> Self {
        let mut registry = registry();
        let &Entry { signals, fired, .. } = &registry.entries[self.key];
        let key = registry.entries.insert(Entry { signals, fired, waker: None });
        Listener { key }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let entry = registry().entries.remove(self.key);
        // Dropped after the lock is free again, for it may hold a waker.
        drop(entry);
    }
}

fn registry() -> MutexGuard<'static, Registry> {
    // No user code runs under the lock, so a panic there could only be one of the allocator; what is
    // stored is whole at every step.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last signal.
const LAST: libc::c_int = 64;

/// A signal's bit in a set of them.
fn bit(signal: libc::c_int) -> u64 {
    1 << (signal - 1)
}

/// Fails for a number that no action can be registered for.
fn check(signal: libc::c_int) -> io::Result<()> {
    // Between these two the C library has some for itself.
    let exists = (1..32).contains(&signal) || (libc::SIGRTMIN()..=LAST).contains(&signal);
    if exists && !FORBIDDEN.contains(&signal) {
        return Ok(());
    }
    let error = format!("signal {signal} cannot be listened for");
    Err(io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// What a shard watches, edge-triggered, to hear of signals. `None` before the first listener.
pub(crate) fn doorbell() -> Option<BorrowedFd<'static>> {
    DOORBELL.get().map(AsFd::as_fd)
}

/// Wakes those who wait for a signal that has come. Every shard calls it in every round.
#[inline]
pub(crate) fn deliver() {
    if PENDING.load(Ordering::Relaxed) != 0 {
        deliver_pending();
    }
}

#[cold]
fn deliver_pending() {
    let pending = PENDING.swap(0, Ordering::Acquire);
    let mut wakers = Vec::new();
    for (_, entry) in &mut registry().entries {
        if entry.signals & pending != 0 {
            entry.fired = true;
            wakers.extend(entry.waker.take());
        }
    }
    for waker in wakers {
        shield(|| waker.wake());
    }
}

/// Runs on any thread, between any two instructions: it touches atomics and makes system calls that
/// are on the list of signal-safety(7), and nothing else. The registry keeps the thread's errno.
fn notice(signal: libc::c_int) {
    if OWNER.load(Ordering::Relaxed) == process_id() {
        PENDING.fetch_or(bit(signal), Ordering::Release);
        // Reading an initialised lock is an atomic load. Ringing is one write.
        if let Some(doorbell) = DOORBELL.get() {
            doorbell.ring();
        }
    } else {
        // SAFETY: both calls take no pointer; the signal stays blocked until the handler returns.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}

fn process_id() -> i32 {
    // SAFETY: getpid takes no pointer and cannot fail.
    unsafe { libc::getpid() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::task::Wake;
    use std::thread;

    /// A waker that sends a message.
    struct Bell(mpsc::Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }

    fn raise(signal: libc::c_int) {
        // SAFETY: raise takes no pointer.
        assert_eq!(unsafe { libc::raise(signal) }, 0);
        // What the round of a shard does.
        deliver();
    }

    /// Each test takes a signal of its own, for the process has one handler for each.
    fn wait_on_thread(signal: libc::c_int) -> (mpsc::Receiver<()>, thread::JoinHandle<()>) {
        let (parked, is_parked) = mpsc::channel();
        let listener = Listener::install(&[signal]).expect("a handler can be installed");
        let thread = thread::spawn(move || {
            let (send, receive) = mpsc::channel();
            let waker = Waker::from(Arc::new(Bell(send)));
            let mut context = Context::from_waker(&waker);
            assert!(listener.poll(&mut context).is_pending());
            parked.send(()).expect("the test waits");
            receive.recv().expect("the listener holds the waker");
            assert!(listener.poll(&mut context).is_ready());
        });
        (is_parked, thread)
    }

    #[test]
    fn all_who_wait_on_different_threads_get_the_signal() {
        let waiting: Vec<_> = (0..4).map(|_| wait_on_thread(libc::SIGUSR1)).collect();
        waiting.iter().for_each(|(parked, _)| parked.recv().expect("the thread polls"));
        raise(libc::SIGUSR1);
        waiting.into_iter().for_each(|(_, thread)| thread.join().expect("it was woken"));
    }

    #[test]
    fn a_signal_without_a_listener_is_swallowed_and_does_not_reach_a_later_one() {
        drop(Listener::install(&[libc::SIGUSR2]).expect("a handler can be installed"));
        raise(libc::SIGUSR2);
        let other = Listener::install(&[libc::SIGWINCH]).expect("a handler can be installed");
        raise(libc::SIGWINCH);
        wait(&other);
        // All that came before SIGWINCH has been delivered, so this one can only see what is new.
        let late = Listener::install(&[libc::SIGUSR2]).expect("a handler can be installed");
        let mut context = Context::from_waker(Waker::noop());
        assert!(late.poll(&mut context).is_pending());
    }

    #[test]
    fn number_that_cannot_be_listened_for_is_invalid() {
        let reserved = libc::SIGRTMIN() - 1;
        let no_signals = [0, -1, i32::MIN, i32::MAX, reserved, LAST + 1];
        for &number in no_signals.iter().chain(FORBIDDEN) {
            let error = Listener::install(&[libc::SIGURG, number]).expect_err("it is refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}");
        }
        for number in (1..=LAST).filter(|number| !FORBIDDEN.contains(number)) {
            let exists = !(32..libc::SIGRTMIN()).contains(&number);
            assert_eq!(check(number).is_ok(), exists, "{number}");
        }
        let last = Listener::install(&[LAST]).expect("it is a signal in real time");
        raise(LAST);
        wait(&last);
    }

    fn wait(listener: &Listener) {
        let (send, receive) = mpsc::channel();
        let waker = Waker::from(Arc::new(Bell(send)));
        let mut context = Context::from_waker(&waker);
        let mut future = Box::pin(poll_fn(|context| listener.poll(context)));
        while future.as_mut().poll(&mut context).is_pending() {
            receive.recv().expect("the listener holds the waker");
        }
    }
}
