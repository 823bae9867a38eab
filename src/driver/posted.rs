//! Operations that nobody waits for: one owns itself while the kernel has it, and hears of its end.

use std::io;
use std::rc::Rc;

use io_uring::squeue;

use super::driver::Driver;
use super::flight::Abandoned;
use super::standing::{Standing, cancelled, elsewhere};
use crate::sys::ring::Cqe;
use crate::util::linked_slab::Key;

/// An operation of a ring that goes on by itself.
///
/// # Safety
///
/// As for [`Operation`](super::Operation): what the entry points at stays valid until `ended` is called.
pub(crate) unsafe trait Posted: 'static {
    /// The entry; encoded anew each time the operation is posted.
    fn encode(&mut self) -> squeue::Entry;

    /// It has ended. It may be posted again.
    fn ended(self: Box<Self>, outcome: io::Result<u32>);
}

/// Where an operation was posted, until it has ended.
#[derive(Clone)]
pub(crate) struct Post {
    driver: Rc<Driver>,
    key: Key,
}

impl Post {
    /// Posts an operation. It comes back if this kernel has none such, or the runtime has ended.
    pub(crate) fn new<T: Posted>(
        driver: Rc<Driver>,
        mut operation: Box<T>,
    ) -> Result<Post, Box<T>> {
        if driver.check_usable().is_err() || !driver.can().carries_operations {
            return Err(operation);
        }
        let entry = operation.encode();
        // SAFETY: what `Posted` promises; the slot keeps the operation until its final completion.
        let key = unsafe { driver.flight.post(entry, operation) }?;
        Ok(Post { driver, key })
    }

    pub(crate) fn driver(&self) -> &Rc<Driver> {
        &self.driver
    }

    /// Fails if it will not end before this thread's runtime goes on.
    pub(crate) fn check_carried_on(&self) -> io::Result<()> {
        match self.driver.standing() {
            Standing::Here => Ok(()),
            Standing::Over => Err(cancelled()),
            Standing::Elsewhere => Err(elsewhere()),
        }
    }

    /// Asks for an early end.
    pub(crate) fn cancel(&self) {
        self.driver.flight.cancel(self.key);
    }
}

impl<T: Posted> Abandoned for T {
    fn complete(self: Box<Self>, completions: &[Cqe]) {
        let [cqe] = completions else { unreachable!("a single operation completes once") };
        self.ended(cqe.outcome());
    }
}
