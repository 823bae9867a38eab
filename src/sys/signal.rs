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
//! A child of `fork` has the handler but not the shards, until it listens itself. Until then ours does
//! there what the signal does without it, so that the child can be ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use signal_hook_registry::FORBIDDEN;
use slab::Slab;

use super::eventfd::EventFd;
use super::signal_mask;
use crate::util::unwind::shield;

/// Signals that have come and that no shard has seen yet, one bit each.
static PENDING: AtomicU64 = AtomicU64::new(0);
/// Where signals are taken. Null before the first listener. A handler may read it at any moment, so
/// what it points at is never freed.
static HOME: AtomicPtr<Home> = AtomicPtr::new(ptr::null_mut());
/// The signals that had no handler before ours and were not ignored.
static DEFAULT_BEFORE: AtomicU64 = AtomicU64::new(0);

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { handled: 0, entries: Slab::new() });

struct Home {
    /// The process that listens. A child of `fork` finds its parent here, and makes a home of its own:
    /// it may have closed the parent's descriptor.
    process: i32,
    /// What the handler rings. Never closed.
    doorbell: EventFd,
}

struct Registry {
    /// The signals that [`notice`] is registered for.
    handled: u64,
    entries: Slab<Entry>,
}

#[derive(Clone, Default)]
struct Entry {
    signals: u64,
    /// Those that have come and were not taken.
    arrived: u64,
    /// The signal that was taken last, or 0.
    last: u32,
    waker: Option<Waker>,
}

/// Waits for signals that come after it was installed.
#[derive(Debug)]
pub(crate) struct Listener {
    key: usize,
}

impl Listener {
    /// Registers for the signals, if that has not been done, and listens. Once listened for, a
    /// signal keeps its handler: its default action does not come back.
    ///
    /// # Errors
    /// - `InvalidInput`: see [`check`].
    /// - No descriptor could be had. It can be tried again.
    ///
    /// Nothing has changed then.
    pub(crate) fn install(signals: &[libc::c_int]) -> io::Result<Self> {
        signals.iter().try_for_each(|&signal| check(signal))?;
        // What has come before this moment is not for this listener.
        deliver();
        let mut registry = registry();
        registry.home()?;
        for &signal in signals {
            registry.handle(signal)?;
        }
        let signals = signals.iter().fold(0, |set, &signal| set | bit(signal));
        let key = registry.entries.insert(Entry { signals, ..Entry::default() });
        Ok(Listener { key })
    }

    /// Ready once one of the signals has come, and from then on.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_entry(context, |entry| (entry.arrived != 0).then_some(()))
    }

    /// Takes a signal that has come. Of several it is the one that has waited for its turn the longest.
    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<libc::c_int> {
        self.poll_entry(context, Entry::take)
    }

    fn poll_entry<T>(
        &self,
        context: &mut Context<'_>,
        answer: impl FnOnce(&mut Entry) -> Option<T>,
    ) -> Poll<T> {
        // What has come by now counts, also if no shard has had a round since.
        deliver();
        // The waker is user code: it is cloned before the lock is taken, and the one it replaces is
        // dropped after.
        let waker = context.waker().clone();
        let replaced = {
            let mut registry = registry();
            let entry = &mut registry.entries[self.key];
            if let Some(answer) = answer(entry) {
                drop(registry);
                return Poll::Ready(answer);
            }
            entry.waker.replace(waker)
        };
        drop(replaced);
        Poll::Pending
    }
}

impl Clone for Listener {
    /// One for which has come what has come for this one.
    fn clone(&self) -> Self {
        let mut registry = registry();
        let &Entry { signals, arrived, last, .. } = &registry.entries[self.key];
        let key = registry.entries.insert(Entry { signals, arrived, last, waker: None });
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

impl Entry {
    /// Takes the next signal in the order of numbers, which goes round: one that comes all the time
    /// does not hold up the others.
    fn take(&mut self) -> Option<libc::c_int> {
        let behind = self.arrived & u64::MAX.checked_shl(self.last).unwrap_or(0);
        let next = if behind == 0 { self.arrived } else { behind };
        if next == 0 {
            return None;
        }
        let index = next.trailing_zeros();
        self.arrived &= !(1 << index);
        self.last = index + 1;
        Some(index as libc::c_int + 1)
    }
}

impl Registry {
    /// The home of this process, which it makes first if there is none.
    fn home(&mut self) -> io::Result<&'static Home> {
        match home() {
            Some(home) if home.process == process_id() => Ok(home),
            _ => {
                let home = Home { process: process_id(), doorbell: EventFd::new()? };
                let home = Box::leak(Box::new(home));
                HOME.store(home, Ordering::Release);
                Ok(home)
            }
        }
    }

    /// Has the handler call [`notice`] for a signal.
    fn handle(&mut self, signal: libc::c_int) -> io::Result<()> {
        if self.handled & bit(signal) != 0 {
            return Ok(());
        }
        if signal_mask::is_as_by_default(signal) {
            DEFAULT_BEFORE.fetch_or(bit(signal), Ordering::Relaxed);
        }
        // SAFETY: the action is async-signal-safe, and does not panic: see there.
        unsafe { signal_hook_registry::register(signal, move || notice(signal)) }?;
        self.handled |= bit(signal);
        Ok(())
    }
}

fn registry() -> MutexGuard<'static, Registry> {
    // No user code runs under the lock, so a panic there could only be one of the allocator; what is
    // stored is whole at every step.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn home() -> Option<&'static Home> {
    // SAFETY: it is null, or points at what was leaked before it was stored with release ordering.
    unsafe { HOME.load(Ordering::Acquire).as_ref() }
}

/// The last signal.
const LAST: libc::c_int = 64;

/// A signal's bit in a set of them.
fn bit(signal: libc::c_int) -> u64 {
    1 << (signal - 1)
}

/// Fails for a number that is no signal's, and for signals that cannot be caught or that the
/// thread's own instruction raises: it would run again when the handler has returned, and raise the
/// signal again.
///
/// # Errors
/// `InvalidInput`, with the reason.
fn check(signal: libc::c_int) -> io::Result<()> {
    let first_in_real_time = libc::SIGRTMIN();
    let reason = match signal {
        libc::SIGKILL | libc::SIGSTOP => "the kernel lets no program catch it",
        // FORBIDDEN is without SIGBUS, whose default the standard library's handler puts back.
        libc::SIGBUS => "an instruction raises it, and would raise it again",
        _ if FORBIDDEN.contains(&signal) => "an instruction raises it, and would raise it again",
        1..32 => return Ok(()),
        _ if (first_in_real_time..=LAST).contains(&signal) => return Ok(()),
        32..=LAST => "the C library has it for itself",
        _ => "there are signals from 1 to 64 only",
    };
    let error = format!("signal {signal} cannot be listened for: {reason}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// What a shard of this process watches, edge-triggered, to hear of signals.
///
/// # Errors
/// In a forked child that has none yet and can open no descriptor.
pub(crate) fn doorbell() -> io::Result<BorrowedFd<'static>> {
    Ok(registry().home()?.doorbell.as_fd())
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
    let mut wakers = Vec::new();
    let mut registry = registry();
    // Under the lock, so that it reaches no listener that is installed only afterwards.
    let pending = PENDING.swap(0, Ordering::Acquire);
    for (_, entry) in &mut registry.entries {
        if entry.signals & pending != 0 {
            entry.arrived |= entry.signals & pending;
            wakers.extend(entry.waker.take());
        }
    }
    drop(registry);
    for waker in wakers {
        shield(|| waker.wake());
    }
}

/// Runs on any thread, between any two instructions: it touches atomics and makes system calls that
/// are on the list of signal-safety(7), and nothing else. The registry keeps the thread's errno.
fn notice(signal: libc::c_int) {
    match home() {
        Some(home) if home.process == process_id() => {
            PENDING.fetch_or(bit(signal), Ordering::Release);
            // Ringing is one write.
            home.doorbell.ring();
        }
        _ => act_as_before(signal),
    }
}

/// Does what the signal did before it was listened for, in a child that does not listen. Another
/// handler was called already. The default must not be put back where the child goes on: it may listen
/// later.
fn act_as_before(signal: libc::c_int) {
    if DEFAULT_BEFORE.load(Ordering::Relaxed) & bit(signal) == 0 {
        return;
    }
    match signal {
        libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH => {}
        libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
            // SAFETY: the call takes no pointer.
            unsafe { libc::raise(libc::SIGSTOP) };
        }
        // SAFETY: both calls take no pointer; the signal stays blocked until the handler returns.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        },
    }
}

fn process_id() -> i32 {
    // SAFETY: getpid takes no pointer and cannot fail.
    unsafe { libc::getpid() }
}

#[cfg(test)]
mod tests;
