//! Bytes that dropped handles of standard input had read ahead: the next handle of the process gets them.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::PipeReader;
use crate::runtime::Handle;

static LEFT: Mutex<Left> = Mutex::new(Left { bytes: Vec::new(), coming: 0, wakers: Vec::new() });

struct Left {
    bytes: Vec<u8>,
    /// Dropped handles for which a thread of the pool is still reading.
    coming: usize,
    /// Handles that wait until `coming` is 0.
    wakers: Vec<Waker>,
}

fn lock() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes all bytes, once no more are coming.
pub(super) fn poll_take(cx: &mut Context<'_>) -> Poll<Vec<u8>> {
    // Cloning a waker runs code of the user's: before the lock.
    let waker = cx.waker().clone();
    let mut left = lock();
    if left.coming == 0 {
        return Poll::Ready(mem::take(&mut left.bytes));
    }
    left.wakers.push(waker);
    Poll::Pending
}

/// Puts bytes in front.
pub(super) fn put_back(bytes: &[u8]) {
    lock().bytes.splice(..0, bytes.iter().copied());
}

/// Leaves the bytes that a reader has read ahead to the next handle.
pub(super) fn leave(mut reader: PipeReader) {
    let bytes = reader.take_rest();
    lock().bytes.extend(bytes);
    // Without a runtime nothing comes any more.
    if !reader.reads_on() || Handle::try_current().is_none() {
        return;
    }
    lock().coming += 1;
    let coming = Coming;
    crate::task::spawn(async move {
        if let Ok((_, bytes)) = reader.into_parts().await {
            lock().bytes.extend(bytes);
        }
        drop(coming);
    });
}

/// A dropped handle for which a thread of the pool is still reading.
struct Coming;

impl Drop for Coming {
    fn drop(&mut self) {
        let mut left = lock();
        left.coming -= 1;
        let wakers = mem::take(&mut left.wakers);
        drop(left);
        wakers.into_iter().for_each(Waker::wake);
    }
}
