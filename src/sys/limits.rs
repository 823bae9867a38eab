//! The limits of this process: open descriptors, locked memory, and the capability that lifts the
//! second one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io, ptr};

use super::call::SysCall;

/// The capability that exempts a process from `RLIMIT_MEMLOCK`.
pub(crate) const CAP_IPC_LOCK: u32 = 14;
/// The capability that passes `kernel.io_uring_disabled=1`.
pub(crate) const CAP_SYS_ADMIN: u32 = 21;

/// The soft limit of open descriptors that was found and raised, or [`NOT_RAISED`].
static FOUND: AtomicU64 = AtomicU64::new(NOT_RAISED);
/// No limit is raised from here: it is the highest.
const NOT_RAISED: u64 = u64::MAX;

/// Raises the soft limit of open descriptors to the hard one and returns the limit that now holds.
/// [`put_descriptor_limit_back`] gives a child the one that was found.
///
/// # Errors
/// `EINVAL` where `fs.nr_open` was lowered below a hard limit that was given out before.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = read(libc::RLIMIT_NOFILE as usize)?;
    if limit.rlim_cur < limit.rlim_max {
        let found = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        limit_call(libc::RLIMIT_NOFILE as usize, &raw const limit, ptr::null_mut())?;
        FOUND.store(found, Ordering::Relaxed);
    }
    Ok(limit.rlim_cur)
}

/// Whether a runtime has raised the soft limit of open descriptors in this process.
pub(crate) fn is_descriptor_limit_raised() -> bool {
    FOUND.load(Ordering::Relaxed) != NOT_RAISED
}

/// Gives this process the soft limit of open descriptors that was found before it was raised, unless the
/// program has set another since. Makes two system calls and nothing else, as a child must between fork
/// and exec.
pub(crate) fn put_descriptor_limit_back() {
    let found = FOUND.load(Ordering::Relaxed);
    let Ok(mut limit) = read(libc::RLIMIT_NOFILE as usize) else { return };
    if found < limit.rlim_cur && limit.rlim_cur == limit.rlim_max {
        limit.rlim_cur = found;
        // A limit may always be lowered, and one that stays high harms few programs.
        let _ = limit_call(libc::RLIMIT_NOFILE as usize, &raw const limit, ptr::null_mut());
    }
}

/// How many bytes a user without `CAP_IPC_LOCK` may have locked in memory, rings included. `None`
/// means without limit.
pub(crate) fn locked_memory_limit() -> Option<u64> {
    let limit = read(libc::RLIMIT_MEMLOCK as usize).ok()?;
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Sets the soft limit of this process's address space, in bytes.
#[cfg(feature = "process-pool")]
pub(crate) fn limit_address_space(bytes: u64) -> io::Result<()> {
    let mut limit = read(libc::RLIMIT_AS as usize)?;
    limit.rlim_cur = bytes;
    limit_call(libc::RLIMIT_AS as usize, &raw const limit, ptr::null_mut())
}

/// Whether this process has a capability. False where `/proc` does not say.
pub(crate) fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_capabilities(&status).is_some_and(|set| set & (1 << number) != 0)
}

fn read(resource: usize) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    limit_call(resource, ptr::null(), &raw mut limit)?;
    Ok(limit)
}

/// `prlimit(2)` of this process. Made past the C libraries, which have different types for a
/// resource.
fn limit_call(resource: usize, new: *const libc::rlimit, old: *mut libc::rlimit) -> io::Result<()> {
    let call = SysCall::new(libc::SYS_prlimit64, [0, resource, new as usize, old as usize]);
    // SAFETY: each pointer is null or leads to an rlimit that outlives the call; on 64-bit systems
    // it is laid out as the kernel's own.
    match unsafe { call.run_for_real() } {
        0 => Ok(()),
        result => Err(io::Error::from_raw_os_error(-result)),
    }
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let field = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(field.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_descriptor_limit_becomes_the_hard_one() {
        let raised = raise_descriptor_limit().expect("a process may raise its soft limit");
        let limit = read(libc::RLIMIT_NOFILE as usize).expect("the limit can be read");
        assert_eq!(raised, limit.rlim_cur);
        assert_eq!(limit.rlim_cur, limit.rlim_max);
    }

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000004000\n";
        assert_eq!(effective_capabilities(status), Some(1 << CAP_IPC_LOCK));
        assert_eq!(effective_capabilities("Name:\tx\n"), None);
    }
}
