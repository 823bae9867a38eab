//! Room in a channel for a value that is still to be made.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;

use super::{SendError, Sender};
use crate::sync::store::Room;

/// Room for one value, from [`Sender::reserve`]. Dropped unused, it is free for others.
#[must_use = "room that is dropped is free for others"]
pub struct Reserved<'a, T> {
    room: Room<'a, VecDeque<T>>,
}

/// Room for one value and the sender that it was reserved by, from [`Sender::reserve_owned`]. Dropped
/// unused, it is free for others.
#[must_use = "room that is dropped is free for others"]
pub struct OwnedReserved<T> {
    sender: Sender<T>,
    is_used: bool,
}

impl<'a, T> Reserved<'a, T> {
    pub(super) fn new(room: Room<'a, VecDeque<T>>) -> Self {
        Reserved { room }
    }

    /// Leaves the room for [`OwnedReserved`] to use.
    pub(super) fn keep(self) {
        self.room.keep();
    }

    /// Sends a value into the reserved room. Never waits.
    ///
    /// ```
    /// let (sender, mut receiver) = corering::sync::channel::bounded(1);
    /// sender.try_reserve().unwrap().send(1).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel was closed since.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        self.room.put(value).map_err(SendError)
    }
}

impl<T> OwnedReserved<T> {
    /// Of a sender whose room was kept.
    pub(super) fn new(sender: Sender<T>) -> Self {
        OwnedReserved { sender, is_used: false }
    }

    /// Sends a value into the reserved room, and gives the sender back. Never waits.
    ///
    /// ```
    /// let (sender, mut receiver) = corering::sync::channel::bounded(2);
    /// let sender = sender.try_reserve_owned().unwrap().send(1).unwrap();
    /// sender.try_send(2).unwrap();
    /// assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel was closed since.
    pub fn send(mut self, value: T) -> Result<Sender<T>, SendError<T>> {
        self.room().put(value).map_err(SendError)?;
        Ok(self.sender.clone())
    }

    /// Gives the room to others, and the sender back.
    ///
    /// ```
    /// let (sender, _receiver) = corering::sync::channel::bounded(1);
    /// let sender = sender.try_reserve_owned().unwrap().release();
    /// assert!(sender.try_send(1).is_ok());
    /// ```
    pub fn release(mut self) -> Sender<T> {
        drop(self.room());
        self.sender.clone()
    }

    fn room(&mut self) -> Room<'_, VecDeque<T>> {
        self.is_used = true;
        Room::kept(&self.sender.shared().store)
    }
}

impl<T> Drop for OwnedReserved<T> {
    fn drop(&mut self) {
        if !self.is_used {
            drop(self.room());
        }
    }
}

impl<T> fmt::Debug for Reserved<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.room.store().describe("Reserved", f)
    }
}

impl<T> fmt::Debug for OwnedReserved<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sender.shared().store.describe("OwnedReserved", f)
    }
}
