//! The number of a task.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a task, which no other task of the process has, then or later.
///
/// The order of two numbers says nothing about which task is older.
///
/// # Examples
/// ```
/// corering::block_on(async {
///     let task = corering::spawn(async { corering::task::id() });
///     let id = task.id();
///     assert_eq!(task.await.unwrap(), id);
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(NonZeroU64);

impl Id {
    /// What a header has room for beside its flags.
    #[inline]
    pub(super) fn to_bytes(self) -> [u8; 7] {
        let [bytes @ .., _] = self.0.get().to_le_bytes();
        bytes
    }

    pub(super) fn from_bytes([a, b, c, d, e, f, g]: [u8; 7]) -> Self {
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, 0]);
        Id(NonZeroU64::new(number).expect("the first number is 1"))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.0)
    }
}

/// The numbers of one scheduler, which takes a thousand at a time from the process.
#[derive(Default)]
pub(super) struct Ids {
    next: Cell<u64>,
}

const BLOCK: u64 = 1 << 10;

impl Ids {
    /// Ten million tasks a second would need two centuries to come to the end.
    #[inline]
    pub(super) fn next(&self) -> Id {
        let mut id = self.next.get();
        if id.is_multiple_of(BLOCK) {
            id = new_block();
        }
        self.next.set(id + 1);
        Id(NonZeroU64::new(id).expect("the first number is 1"))
    }
}

#[cold]
fn new_block() -> u64 {
    // The first number is 1, so that a counter at its beginning asks for a block.
    static BLOCKS: AtomicU64 = AtomicU64::new(0);
    BLOCKS.fetch_add(1, Ordering::Relaxed) * BLOCK + 1
}
