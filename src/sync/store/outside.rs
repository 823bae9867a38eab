//! Values out of their store while the user's code compares them.
#![forbid(unsafe_code)]

use std::mem;
use std::task::{Context, Poll};

use super::state::{Stage, State};
use super::{Store, Values};
use crate::util::line::wake_each;

impl<V: Values> Store<V> {
    /// Puts a value where room is reserved with the values taken out, since adding to them runs user code:
    /// meanwhile no task can put or take. If that code panics, the value is gone and the others are as before.
    pub(super) fn put_outside(&self, value: V::Item) {
        let mut state = self.state.borrow_mut();
        state.out = Some(state.values.len());
        let values = mem::take(&mut state.values);
        let number = state.put;
        drop(state);
        let mut outside = Outside { store: self, values, has_put: false };
        outside.values.push(value, number);
        outside.has_put = true;
    }
}

/// For a poll in the middle of a comparison: the values are back when the task is polled next.
pub(super) fn again_later<T>(cx: &mut Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Values that are out of their store, and go back when this is dropped.
struct Outside<'a, V: Values> {
    store: &'a Store<V>,
    values: V,
    has_put: bool,
}

impl<V: Values> Drop for Outside<'_, V> {
    fn drop(&mut self) {
        let mut state = self.store.state.borrow_mut();
        state.out = None;
        state.reserved -= 1;
        // If the store was emptied meanwhile, they are dropped with this.
        if state.stage != Stage::Emptied {
            state.put += u64::from(self.has_put);
            mem::swap(&mut state.values, &mut self.values);
        }
        drop(state);
        wake_each(&self.store.state, State::serve_taker);
        wake_each(&self.store.state, State::serve_putter);
    }
}
