//! Signals of the process, turned into wakes.
//!
//! ```text
//! handler (any thread)  --bit, eventfd-->  thread `corering-signal`  --Waker-->  tasks of any shard
//! ```
//!
//! The handler may do next to nothing, since it interrupts code that may hold any lock: it sets a bit and
//! writes to an eventfd. One thread for the whole process, started when the first listener is installed,
//! waits for that and wakes. It lives as long as the process, as the handler does.
//!
//! A child of `fork` has the handler but not the thread. There the handler restores the default and
//! raises the signal again, so that the child can be ended.

use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use slab::Slab;

use super::signal_mask::SignalsBlocked;

/// Signals that have come and that the thread has not seen yet, one bit each.
static PENDING: AtomicU64 = AtomicU64::new(0);
/// The eventfd the handler writes to. Set before the first handler is installed, never closed.
static DOORBELL: AtomicI32 = AtomicI32::new(-1);
/// The process that has the thread.
static OWNER: AtomicI32 = AtomicI32::new(0);

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { listening: false, handled: 0, entries: Slab::new() });

struct Registry {
    /// The thread runs.
    listening: bool,
    /// The signals whose handler is installed.
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
    /// Takes over the signals' handlers, if that has not been done, and listens.
    ///
    /// # Errors
    /// No descriptor or no thread could be had. Nothing has changed then, and it can be tried again.
    pub(crate) fn install(signals: &[libc::c_int]) -> io::Result<Self> {
        let mut registry = registry();
        if !registry.listening {
            start_thread()?;
            registry.listening = true;
        }
        for &signal in signals {
            if registry.handled & bit(signal) == 0 {
                install_handler(signal)?;
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

fn bit(signal: libc::c_int) -> u64 {
    1 << signal
}

fn start_thread() -> io::Result<()> {
    // SAFETY: eventfd takes no pointer.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nothing else owns it.
    let doorbell = unsafe { OwnedFd::from_raw_fd(fd) };
    let read = File::from(doorbell.try_clone()?);
    let _blocked = SignalsBlocked::on_this_thread();
    thread::Builder::new().name("corering-signal".into()).spawn(move || watch(read))?;
    OWNER.store(process_id(), Ordering::Relaxed);
    // From here on the handler may write to it at any time, so it is never closed.
    DOORBELL.store(doorbell.into_raw_fd(), Ordering::Release);
    Ok(())
}

/// The thread: takes the bits and wakes those who wait for them.
fn watch(mut doorbell: File) {
    loop {
        let mut count = [0; 8];
        match doorbell.read(&mut count) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // Only a foreign close of the descriptor leads here.
                super::log::warn(format_args!("signals are not received any more: {error}"));
                return;
            }
        }
        let pending = PENDING.swap(0, Ordering::Acquire);
        let mut wakers = Vec::new();
        for (_, entry) in &mut registry().entries {
            if entry.signals & pending != 0 {
                entry.fired = true;
                wakers.extend(entry.waker.take());
            }
        }
        for waker in wakers {
            // A waker is user code. One that panics must not end the thread for all others; what it
            // threw is forgotten, since dropping it may panic too.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                mem::forget(payload);
            }
        }
    }
}

fn install_handler(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeroes is a value of this struct: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = handle;
    action.sa_sigaction = handler as *const () as usize;
    // Without it, system calls of every library in the process would begin to fail with EINTR.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the pointer leads to an action that outlives the call, and the handler is
    // async-signal-safe: it touches atomics and makes system calls that are on the list of signal-safety(7).
    if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Runs on any thread, between any two instructions.
extern "C" fn handle(signal: libc::c_int) {
    // SAFETY: the location of this thread's errno is valid for the thread's life.
    let errno = unsafe { *libc::__errno_location() };
    if OWNER.load(Ordering::Relaxed) == process_id() {
        PENDING.fetch_or(bit(signal), Ordering::Release);
        ring(DOORBELL.load(Ordering::Acquire));
    } else {
        // SAFETY: both calls take no pointer; the signal stays blocked until the handler returns.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    // SAFETY: as above. The interrupted code may be about to read it.
    unsafe { *libc::__errno_location() = errno };
}

fn ring(doorbell: RawFd) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the pointer and the length describe `one`, which outlives the call.
    unsafe { libc::write(doorbell, one.as_ptr().cast(), one.len()) };
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
        // The thread has seen what came before SIGWINCH, so this one can only see what is new.
        let late = Listener::install(&[libc::SIGUSR2]).expect("a handler can be installed");
        let mut context = Context::from_waker(Waker::noop());
        assert!(late.poll(&mut context).is_pending());
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
