//! Running and dropping what is the user's where a panic must not go on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code of the user's; a panic, which its hook has reported by then, ends here.
pub(crate) fn shield(code: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(code)) {
        discard(payload);
    }
}

/// Drops a value of the user's; a panic of its `Drop` ends here.
pub(crate) fn drop_quietly<T>(value: T) {
    shield(|| drop(value));
}

/// Drops a panic's payload; if that panics too, the second payload is leaked.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}
