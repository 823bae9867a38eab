//! Whether a multishot receive hears of an end that follows bytes at once.
//!
//! Where the peer of a Unix socket sends and ends its side before the ring's thread has been to the
//! kernel, the two wake-ups are one piece of work: the bytes are received, and the end, which wakes
//! nobody again, is not looked for (liburing#1549). TCP says itself that there is more to receive
//! than bytes. The fix, "io_uring/poll: fix multishot recv missing EOF on wakeup race", is of 7.0 and
//! went into stable releases; names do not tell which have it, so it is tried.

use std::alloc::{Layout, alloc_zeroed};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};

/// Whether this kernel tells of such an end. Opens a small ring the first time that it is asked.
///
/// False also while a ring cannot be had, for want of memory for instance: asked again, it tries again.
pub(crate) fn end_is_heard() -> bool {
    static HEARD: OnceLock<bool> = OnceLock::new();
    if let Some(heard) = HEARD.get() {
        return *heard;
    }
    let heard = try_it();
    heard.as_ref().is_ok_and(|heard| *HEARD.get_or_init(|| *heard))
}

/// Receives a byte and an end that both came before the ring looked.
fn try_it() -> io::Result<bool> {
    let builder = &mut IoUring::builder();
    let mut ring: IoUring = match builder.setup_single_issuer().setup_defer_taskrun().build(4) {
        Ok(ring) => ring,
        // Before 6.1. The receive looks for more until there is nothing, so it finds the end.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(true),
        Err(error) => return Err(error),
    };
    let (ours, mut theirs) = UnixStream::pair()?;
    let page = provide_buffers()?;
    // SAFETY: the page is aligned as the kernel wants it, and is never freed.
    unsafe { ring.submitter().register_buf_ring_with_flags(page, BUFFERS, GROUP, 0) }?;
    let receive = opcode::RecvMulti::new(Fd(ours.as_raw_fd()), GROUP).build();
    // SAFETY: the entry points at nothing, and the buffers are never freed.
    unsafe { ring.submission().push(&receive) }.expect("the queue was empty");
    // Deferred work is not done by this: from here on the receive waits for its wake-up.
    ring.submit()?;
    theirs.write_all(b"x")?;
    theirs.shutdown(Shutdown::Write)?;
    let patience = Timespec::from(PATIENCE);
    ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&patience))?;
    // The end is the receive's last completion, and so is whatever else may have ended it.
    let ended = ring.completion().any(|completion| !cqueue::more(completion.flags()));
    Ok(ended)
}

/// A kernel that has not told of the byte by then is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(1);

const GROUP: u16 = 0;
const BUFFERS: u16 = 2;
const PAGE: usize = 4096;

/// A page with a ring of buffers, and behind it the buffers. It is not freed: a receive that has
/// missed its end may be with the kernel after its ring was closed.
fn provide_buffers() -> io::Result<u64> {
    let layout = Layout::from_size_align(PAGE, PAGE).expect("a page is aligned to its size");
    // SAFETY: the size is not zero.
    let page = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(io::ErrorKind::OutOfMemory)?;
    let entries = page.cast::<BufRingEntry>().as_ptr();
    for id in 0..BUFFERS {
        // SAFETY: the page has room for the entries, was zeroed, and nobody else knows it.
        let entry = unsafe { &mut *entries.add(usize::from(id)) };
        entry.set_addr(page.as_ptr().addr() as u64 + PAGE as u64 / 2 + u64::from(id));
        entry.set_len(1);
        entry.set_bid(id);
    }
    // SAFETY: `entries` leads to a ring of buffers, whose first entry is there.
    let tail = unsafe { BufRingEntry::tail(entries) };
    // SAFETY: the tail is an aligned number in the page.
    unsafe { AtomicU16::from_ptr(tail.cast_mut()) }.store(BUFFERS, Ordering::Release);
    Ok(page.as_ptr().expose_provenance() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::setup::tests::uring_is_tested;

    #[test]
    fn kernel_says_whether_it_tells_of_ends_behind_bytes() {
        if !uring_is_tested() {
            return;
        }
        let first = try_it().expect("this machine allows io_uring");
        for _ in 0..20 {
            assert_eq!(try_it().expect("it was allowed before"), first);
        }
        assert_eq!(end_is_heard(), first);
        println!("this kernel tells of an end behind bytes: {first}");
    }
}
