//! The signal mask of a thread: a runtime's own threads must not be interrupted by signals that the
//! program handles, nor run its handlers; and no call of the runtime may end the process by a signal
//! (SIGPIPE, SIGXFSZ), as it would where the program leaves those as they are by default.

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

/// The signals that come with the error of a write to nobody, and of one beyond the largest file that
/// the process may have.
const RAISED_BY_WRITES: [libc::c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// As long as it lives, calls of this thread that raise one of these signals bring their error alone.
struct Quiet {
    /// What is taken back at the end.
    raised: libc::sigset_t,
    before: libc::sigset_t,
}

impl Quiet {
    /// `None` if each of the signals is ignored or has a handler: they do no harm then.
    fn about(signals: &[libc::c_int]) -> Option<Quiet> {
        let mut raised = empty_set();
        let mut harmful = signals.iter().filter(|signal| is_as_by_default(**signal)).peekable();
        harmful.peek()?;
        for signal in harmful {
            // SAFETY: the set is initialised and the number is one of the system's own.
            unsafe { libc::sigaddset(&mut raised, *signal) };
        }
        let mut before = empty_set();
        // SAFETY: the first set is initialised, and the second is valid for a write.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raised, &mut before) };
        // What the program blocks itself, and has come before, is the program's.
        let mut pending = empty_set();
        for signal in signals {
            // SAFETY: the set is initialised.
            if unsafe { libc::sigismember(&before, *signal) } == 1
                // SAFETY: the set is valid for a write.
                && unsafe { libc::sigpending(&mut pending) } == 0
                // SAFETY: the set is initialised.
                && unsafe { libc::sigismember(&pending, *signal) } == 1
            {
                // SAFETY: as above.
                unsafe { libc::sigdelset(&mut raised, *signal) };
            }
        }
        Some(Quiet { raised, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        take_pending(&self.raised);
        // SAFETY: the set came from pthread_sigmask, and a null pointer asks for no former mask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

/// Makes a call that may write to a pipe or a connection without a reader, and cannot be told to raise
/// no SIGPIPE. Where that would end the process, it stays the call's error alone.
pub(crate) fn without_broken_pipe<T>(call: impl FnOnce() -> T) -> T {
    let _quiet = Quiet::about(&[libc::SIGPIPE]);
    call()
}

/// Makes a call that runs writes of any kind, as [`without_broken_pipe`] does.
pub(crate) fn without_signals_of_writes<T>(call: impl FnOnce() -> T) -> T {
    let _quiet = Quiet::about(&RAISED_BY_WRITES);
    call()
}

/// Takes back what a write has raised on this thread, which blocks it.
pub(crate) fn take_signals_of_writes() {
    let mut raised = empty_set();
    for signal in RAISED_BY_WRITES {
        // SAFETY: the set is initialised and the number is one of the system's own.
        unsafe { libc::sigaddset(&mut raised, signal) };
    }
    take_pending(&raised);
}

/// Whether a write to a stream without a reader would end the process.
pub(crate) fn broken_pipe_ends_process() -> bool {
    is_as_by_default(libc::SIGPIPE)
}

/// Whether a write beyond the largest file that the process may have would end it.
pub(crate) fn large_file_ends_process() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the limit or fails.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } == 0;
    known && limit.rlim_cur != libc::RLIM_INFINITY && is_as_by_default(libc::SIGXFSZ)
}

/// Whether nobody handles or ignores a signal.
pub(super) fn is_as_by_default(signal: libc::c_int) -> bool {
    let mut known = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null pointer changes nothing, and the second is valid for a write.
    if unsafe { libc::sigaction(signal, ptr::null(), known.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call succeeded and has written the disposition.
    unsafe { known.assume_init() }.sa_sigaction == libc::SIG_DFL
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset writes the whole set behind the pointer.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: it was just initialised.
    unsafe { set.assume_init() }
}

fn take_pending(signals: &libc::sigset_t) {
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        // SAFETY: the set and the time are initialised; a null pointer asks for no details.
        let taken = unsafe { libc::sigtimedwait(signals, ptr::null_mut(), &at_once) };
        let interrupted = std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted;
        if taken < 0 && !interrupted {
            return;
        }
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
