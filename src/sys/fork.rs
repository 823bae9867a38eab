//! Noticing a fork without a system call per operation: the child's handler of `pthread_atfork` counts.
//!
//! It also gives a child of a pinned shard the CPUs that the program has.
//!
//! A ring must not be used on both sides of a fork, since both write the same shared memory. `clone`
//! and `vfork` called past the C library go unnoticed; those who do so must `exec`.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::affinity;

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Notices forks from now on. Every runtime calls it before it asks for its generation.
///
/// # Errors
/// The C library has no memory for another handler. A child would then write into its parent's ring.
pub(crate) fn notice_forks() -> io::Result<()> {
    static REGISTERED: OnceLock<i32> = OnceLock::new();
    let errno = *REGISTERED.get_or_init(|| {
        // SAFETY: the handler is a function for the life of the program, and does nothing but an atomic
        // addition and a system call, which are allowed between fork and exec.
        unsafe { libc::pthread_atfork(None, None, Some(count_fork)) }
    });
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// How many forks lie between the process that first noticed them and this one. A runtime keeps the
/// number it was built with; where it differs now, this is a child and the runtime its parent's.
#[inline]
pub(crate) fn fork_generation() -> u32 {
    // Relaxed: a process's first instructions after the fork run on the thread that forked.
    GENERATION.load(Ordering::Relaxed)
}

unsafe extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    affinity::unpin_forked_child();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_sees_another_generation_and_the_parent_does_not() {
        notice_forks().expect("there is memory");
        let before = fork_generation();
        // SAFETY: the child does nothing that is not async-signal-safe: it loads an atomic and exits.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            let noticed = fork_generation() == before + 1;
            // SAFETY: _exit takes no pointer and runs no destructor.
            unsafe { libc::_exit(if noticed { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: the pointer leads to an integer that outlives the call.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert_eq!(status, 0, "the child did not notice that it is one");
        assert_eq!(fork_generation(), before);
    }
}
