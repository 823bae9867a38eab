//! Running and dropping what is the user's where a panic must not go on. Nowhere else is one caught.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a panic carries. Its `Drop` is the user's, too: see [`discard`].
pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs code of the user's; a panic, which its hook has reported by then, is the error.
#[inline(always)]
pub(crate) fn catch<T>(code: impl FnOnce() -> T) -> Result<T, Payload> {
    catch_unwind(AssertUnwindSafe(code))
}

/// Runs code of the user's; a panic ends here.
pub(crate) fn shield(code: impl FnOnce()) {
    if let Err(payload) = catch(code) {
        discard(payload);
    }
}

/// Drops a value of the user's; a panic of its `Drop` ends here.
pub(crate) fn drop_quietly<T>(value: T) {
    shield(|| drop(value));
}

/// Drops a panic's payload; if that panics too, the second payload is leaked.
pub(crate) fn discard(payload: Payload) {
    if let Err(second) = catch(|| drop(payload)) {
        std::mem::forget(second);
    }
}
