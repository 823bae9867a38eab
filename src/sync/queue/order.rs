//! The orders in which queues give their values.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

use sealed::Sealed;

use crate::sync::store::Values;

/// In which order a [`TaskQueue`](super::TaskQueue) gives its values: [`FirstIn`], [`LastIn`] or
/// [`Smallest`]. The trait is sealed.
///
/// One function serves all queues:
///
/// ```
/// use corering::sync::{LifoQueue, Order, TaskQueue};
///
/// fn all<T, O: Order<T>>(queue: &TaskQueue<T, O>) -> Vec<T> {
///     std::iter::from_fn(|| queue.try_get().ok()).collect()
/// }
///
/// let queue = LifoQueue::unbounded();
/// queue.try_put('a').unwrap();
/// queue.try_put('b').unwrap();
/// assert_eq!(all(&queue), ['b', 'a']);
/// ```
pub trait Order<T>: Sealed<T> {}

/// The order of a [`Queue`](super::Queue).
#[derive(Debug)]
pub enum FirstIn {}

/// The order of a [`LifoQueue`](super::LifoQueue).
#[derive(Debug)]
pub enum LastIn {}

/// The order of a [`PriorityQueue`](super::PriorityQueue).
#[derive(Debug)]
pub enum Smallest {}

pub(super) mod sealed {
    use super::Values;

    pub trait Sealed<T> {
        /// What a queue of this order is called.
        const NAME: &str;

        type Values: Values<Item = T>;
    }
}

impl<T> Order<T> for FirstIn {}

impl<T> Sealed<T> for FirstIn {
    const NAME: &str = "Queue";

    type Values = VecDeque<T>;
}

impl<T> Order<T> for LastIn {}

impl<T> Sealed<T> for LastIn {
    const NAME: &str = "LifoQueue";

    type Values = Vec<T>;
}

impl<T: Ord> Order<T> for Smallest {}

impl<T: Ord> Sealed<T> for Smallest {
    const NAME: &str = "PriorityQueue";

    type Values = BTreeSet<Ranked<T>>;
}

/// Last in, first out.
impl<T> Values for Vec<T> {
    type Item = T;

    const COMPARES: bool = false;

    fn len(&self) -> usize {
        self.len()
    }

    fn push(&mut self, value: T, _: u64) {
        self.push(value);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop()
    }
}

/// Smallest first. A tree and not a heap: only putting compares, and a comparison that panics leaves a
/// tree as it was.
impl<T: Ord> Values for BTreeSet<Ranked<T>> {
    type Item = T;

    const COMPARES: bool = true;

    fn len(&self) -> usize {
        self.len()
    }

    fn push(&mut self, value: T, number: u64) {
        self.insert(Ranked { value, number });
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_first().map(|ranked| ranked.value)
    }
}

/// A value with its number, so that no two are equal, and of equal values the first put comes first.
#[derive(Debug)]
pub struct Ranked<T> {
    value: T,
    number: u64,
}

impl<T: Ord> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value).then(self.number.cmp(&other.number))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Eq for Ranked<T> {}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
