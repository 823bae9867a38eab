//! The values and both lines: who may put or take now, and who is called next.
#![forbid(unsafe_code)]

use std::task::Waker;

use super::{Closed, Values};
use crate::util::line::{Line, Place};

/// What the tasks of both sides share.
pub(super) struct State<V> {
    pub(super) values: V,
    /// Most values, reserved room included. `usize::MAX`: any number.
    pub(super) capacity: usize,
    /// Room that putters were given and have not filled yet.
    pub(super) reserved: usize,
    /// Values that takers were called for and have not taken yet.
    pub(super) promised: usize,
    /// Values put since the store was made.
    pub(super) put: u64,
    pub(super) stage: Stage,
    /// While `values` are out, because adding to them runs code of the user's: how many they were.
    pub(super) out: Option<usize>,
    pub(super) putters: Line<(), Call>,
    pub(super) takers: Line<(), Call>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// No value is put any more.
    Closed,
    /// Closed, and its values were taken out.
    Emptied,
}

/// What one that waited is given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    /// Room, or a value.
    Served,
    /// The store is closed, and for a taker also empty.
    Closed,
}

impl<V: Values> State<V> {
    pub(super) fn new(capacity: Option<usize>) -> Self {
        State {
            values: V::default(),
            capacity: capacity.unwrap_or(usize::MAX),
            reserved: 0,
            promised: 0,
            put: 0,
            stage: Stage::Open,
            out: None,
            putters: Line::new(),
            takers: Line::new(),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self.out {
            Some(count) if V::COMPARES => count,
            _ => self.values.len(),
        }
    }

    #[inline]
    pub(super) fn is_out(&self) -> bool {
        V::COMPARES && self.out.is_some()
    }

    /// Whether both lines are empty.
    #[inline]
    pub(super) fn is_deserted(&self) -> bool {
        self.takers.is_empty() && self.putters.is_empty()
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.len() + self.reserved < self.capacity
    }

    /// Room for one that has none, or that was called. `None` if it has to wait.
    #[inline]
    pub(super) fn take_room(&mut self, place: &mut Place) -> Option<Result<(), Closed>> {
        if place.is_some() {
            return match self.putters.take(place)? {
                Call::Served if self.stage == Stage::Open => Some(Ok(())),
                Call::Served => {
                    self.reserved -= 1;
                    Some(Err(Closed))
                }
                Call::Closed => Some(Err(Closed)),
            };
        }
        if self.stage != Stage::Open {
            return Some(Err(Closed));
        }
        if !self.putters.is_empty() || !self.has_room() || self.is_out() {
            return None;
        }
        self.reserved += 1;
        Some(Ok(()))
    }

    /// A value for one that has no place, or that was called; `Some(None)` if none will come. `None` if it
    /// has to wait.
    pub(super) fn take(&mut self, place: &mut Place) -> Option<Option<V::Item>> {
        if place.is_some() {
            return match self.takers.take(place)? {
                Call::Served => {
                    self.promised -= 1;
                    // Those of an emptied store are gone.
                    Some(self.values.pop())
                }
                Call::Closed => Some(None),
            };
        }
        if self.takers.is_empty() && self.len() > self.promised {
            // `None` if the values are out.
            return self.values.pop().map(Some);
        }
        (self.stage != Stage::Open && self.len() == 0).then_some(None)
    }

    /// Calls the first putter, for which it reserves room, and gives its waker.
    #[inline]
    pub(super) fn serve_putter(&mut self) -> Option<Waker> {
        if self.putters.is_empty() {
            return None;
        }
        if self.stage != Stage::Open {
            return self.putters.call_first(Call::Closed);
        }
        if !self.has_room() {
            return None;
        }
        self.reserved += 1;
        self.putters.call_first(Call::Served)
    }

    /// Calls the first taker, to which it promises a value, and gives its waker. A taker of a closed store
    /// gets the end only when the last value is gone: until then one may come back from another taker.
    #[inline]
    pub(super) fn serve_taker(&mut self) -> Option<Waker> {
        if self.takers.is_empty() {
            return None;
        }
        if self.len() > self.promised {
            self.promised += 1;
            return self.takers.call_first(Call::Served);
        }
        if self.stage != Stage::Open && self.len() == 0 {
            return self.takers.call_first(Call::Closed);
        }
        None
    }

    /// Whom a value that was taken leaves room to, or, if it was the last of a closed store, the takers
    /// behind it.
    pub(super) fn next_after_take(&mut self) -> Option<Waker> {
        match self.stage {
            Stage::Open => self.serve_putter(),
            Stage::Closed | Stage::Emptied => self.serve_taker(),
        }
    }
}
