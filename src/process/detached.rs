//! The thread that reaps children whose runtime has ended, or that were dropped where none runs.
//!
//! There is at most one in a process. It starts with the first such child, sleeps until one of them ends,
//! and ends with the last. It sees no signal.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::sys::clock;
use crate::sys::eventfd::EventFd;
use crate::sys::fork::fork_generation;
use crate::sys::process::{open_pidfd, wait_for_any};
use crate::sys::signal_mask::SignalsBlocked;

/// The pauses between two looks at children that cannot be polled.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_secs(1);

static REAPER: Mutex<Reaper> =
    Mutex::new(Reaper { generation: 0, children: Vec::new(), thread: None });

struct Reaper {
    /// The process that the others are of: a forked child has neither the thread nor the children.
    generation: u32,
    /// What the thread has not taken yet.
    children: Vec<Child>,
    /// Set while the thread runs.
    thread: Option<Arc<Doorbell>>,
}

/// Wakes the thread. Where no descriptor was left for it, the thread looks at times.
struct Doorbell(Option<EventFd>);

/// Reaps a child when it has ended.
pub(super) fn reap(mut child: Child) {
    if !runs(&mut child) {
        return;
    }
    let mut reaper = lock();
    if reaper.generation != fork_generation() {
        *reaper = Reaper { generation: fork_generation(), children: Vec::new(), thread: None };
    }
    reaper.children.push(child);
    if let Some(Doorbell(Some(doorbell))) = reaper.thread.as_deref() {
        doorbell.ring();
    } else if reaper.thread.is_none() {
        let doorbell = Arc::new(Doorbell(EventFd::new().ok()));
        match start(doorbell.clone()) {
            Ok(()) => reaper.thread = Some(doorbell),
            // The next child that comes tries again.
            Err(_) => reaper.children.retain_mut(runs),
        }
    }
}

/// Whether a child has not ended. One that has is reaped by that, and so is one that others reap.
fn runs(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

fn lock() -> MutexGuard<'static, Reaper> {
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(doorbell: Arc<Doorbell>) -> io::Result<()> {
    // The thread inherits the mask.
    let _blocked = SignalsBlocked::on_this_thread();
    let builder = thread::Builder::new().name("corering-reaper".into()).stack_size(128 << 10);
    builder.spawn(move || reap_all(&doorbell)).map(drop)
}

/// A child that the thread waits for.
struct Waited {
    child: Child,
    /// `None` if it cannot be polled.
    pidfd: Option<OwnedFd>,
}

/// The life of the thread.
fn reap_all(doorbell: &Doorbell) {
    let mut waited: Vec<Waited> = Vec::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let mut reaper = lock();
        let came = mem::take(&mut reaper.children);
        if came.is_empty() && waited.is_empty() {
            reaper.thread = None;
            return;
        }
        drop(reaper);
        if !came.is_empty() {
            pause = FIRST_PAUSE;
        }
        waited.extend(
            came.into_iter().map(|child| Waited { pidfd: open_pidfd(child.id()).ok(), child }),
        );
        wait_and_reap(doorbell, &mut waited, pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Waits until a child has ended or another comes, and reaps what has ended.
fn wait_and_reap(doorbell: &Doorbell, waited: &mut Vec<Waited>, pause: Duration) {
    let looks = doorbell.0.is_none() || waited.iter().any(|it| it.pidfd.is_none());
    let bell = doorbell.0.as_ref().map(EventFd::as_fd);
    let pidfds = waited.iter().filter_map(|it| it.pidfd.as_ref());
    let fds: Vec<BorrowedFd<'_>> = bell.into_iter().chain(pidfds.map(OwnedFd::as_fd)).collect();
    let Ok(readable) = wait_for_any(&fds, looks.then_some(pause)) else {
        clock::pause(pause);
        return waited.retain_mut(|it| runs(&mut it.child));
    };
    let mut readable = readable.into_iter();
    if let Some(bell) = &doorbell.0
        && readable.next() == Some(true)
    {
        bell.take();
    }
    waited.retain_mut(|it| {
        let has_ended = it.pidfd.is_none() || readable.next() == Some(true);
        if !has_ended {
            return true;
        }
        let runs = runs(&mut it.child);
        if runs {
            // A debugger has not seen the end yet; until then the descriptor is readable.
            it.pidfd = None;
        }
        runs
    });
}
