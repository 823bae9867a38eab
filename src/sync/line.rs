//! What semaphore and notify have in common: a service, the state behind a `RefCell`, owns the line
//! and decides whom it can serve.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::task::{Context, Poll};

use crate::util::line::{Line, Place, offer};

/// State that futures wait at.
pub(super) trait Service {
    /// What a waiter asks for.
    type Wants: Copy;
    /// What it gets.
    type Given: Copy;

    fn line(&mut self) -> &mut Line<Self::Wants, Self::Given>;

    /// What one that comes now gets without waiting.
    fn serve_newcomer(&mut self, wants: Self::Wants) -> Option<Self::Given>;
}

/// Takes what the future has been given, or puts it in line.
pub(super) fn poll<S: Service>(
    service: &RefCell<S>,
    place: &mut Place,
    wants: S::Wants,
    cx: &mut Context<'_>,
) -> Poll<S::Given> {
    offer(service, cx.waker(), |state, offer| {
        let given = match place {
            None => state.serve_newcomer(wants),
            Some(_) => state.line().take(place),
        };
        match given {
            Some(given) => Some(Poll::Ready(given)),
            None => state.line().stand(place, wants, offer).then_some(Poll::Pending),
        }
    })
}
