//! The signal mask of a thread: a runtime's own threads must not be interrupted by signals that the
//! program handles, nor run its handlers.

use std::mem::MaybeUninit;
use std::ptr;

/// Blocks signals on this thread until the value is dropped. A thread that is created meanwhile
/// starts with them blocked, and so never sees one, not even before its first instruction.
#[derive(Debug)]
pub(crate) struct SignalsBlocked {
    before: libc::sigset_t,
    /// The mask belongs to this thread, so the value must be dropped on it.
    _local: std::marker::PhantomData<*const ()>,
}

impl SignalsBlocked {
    /// Blocks every signal except those that a thread's own instruction raises. Blocked, those kill
    /// the process without a word, where the standard library would have named a stack overflow.
    pub(crate) fn on_this_thread() -> Self {
        let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset writes the whole set behind the pointer.
        unsafe { libc::sigfillset(blocked.as_mut_ptr()) };
        // SAFETY: sigfillset has initialised the set; it fails only for a bad pointer.
        let mut blocked = unsafe { blocked.assume_init() };
        for signal in RAISED_BY_THE_THREAD_ITSELF {
            // SAFETY: the set is initialised and the signal number is the system's own.
            unsafe { libc::sigdelset(&mut blocked, signal) };
        }
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        let error =
            // SAFETY: the first set is initialised, and the second is valid for a write.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, before.as_mut_ptr()) };
        assert_eq!(error, 0, "pthread_sigmask fails only for an unknown way of changing the mask");
        // SAFETY: pthread_sigmask succeeded and has written the former mask.
        let before = unsafe { before.assume_init() };
        SignalsBlocked { before, _local: std::marker::PhantomData }
    }
}

/// The signals that a thread blocks, to be given to another thread for a while.
#[derive(Clone, Copy)]
pub(crate) struct SignalMask(libc::sigset_t);

impl SignalMask {
    pub(crate) fn of_this_thread() -> Self {
        let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
        // A null set asks for the present mask only.
        let error =
            // SAFETY: the first set is none, and the second is valid for a write.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), mask.as_mut_ptr()) };
        assert_eq!(error, 0, "pthread_sigmask fails only for an unknown way of changing the mask");
        // SAFETY: pthread_sigmask succeeded and has written the mask.
        SignalMask(unsafe { mask.assume_init() })
    }

    pub(crate) fn give_to_this_thread(&self) {
        // SAFETY: the set is initialised, and a null pointer asks for no former mask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set came from pthread_sigmask, and a null pointer asks for no former mask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

const RAISED_BY_THE_THREAD_ITSELF: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
];

/// Whether this thread blocks a signal.
#[cfg(test)]
pub(crate) fn is_blocked(signal: libc::c_int) -> bool {
    let SignalMask(mask) = SignalMask::of_this_thread();
    // SAFETY: the set is initialised.
    (unsafe { libc::sigismember(&mask, signal) }) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_is_restored_when_the_value_is_dropped() {
        assert!(!is_blocked(libc::SIGTERM));
        let blocked = SignalsBlocked::on_this_thread();
        assert!(is_blocked(libc::SIGTERM) && is_blocked(libc::SIGINT));
        assert!(!is_blocked(libc::SIGSEGV));
        drop(blocked);
        assert!(!is_blocked(libc::SIGTERM));
    }
}
