//! Groups of tasks, and of futures: who ends whom, who waits for whom, and what comes back.

#[path = "../common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "../common/net.rs"]
mod net;

mod endings;
mod failures;
mod local;
mod sets;
mod storm;
mod storms;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use corering::yield_now;

/// What has happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Events(Rc<RefCell<Vec<&'static str>>>);

impl Events {
    pub(crate) fn add(&self, event: &'static str) {
        self.0.borrow_mut().push(event);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(crate) fn take(&self) -> Vec<&'static str> {
        self.0.take()
    }
}

/// Counts those that live.
#[derive(Default)]
pub(crate) struct Living(Rc<Cell<usize>>);

impl Living {
    pub(crate) fn one(&self) -> Alive {
        self.0.set(self.0.get() + 1);
        Alive(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}

pub(crate) struct Alive(Rc<Cell<usize>>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Lets whatever is ready run, and what that makes ready.
pub(crate) async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

/// Panics when it is dropped.
pub(crate) struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("of a drop");
    }
}
