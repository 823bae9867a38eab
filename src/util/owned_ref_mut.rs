//! A borrow of a cell that keeps alive what the cell is in, for the layers that are free of unsafe code.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// A [`RefMut`] with the [`Rc`] that it borrows from.
pub(crate) struct OwnedRefMut<O: ?Sized + 'static, T: ?Sized + 'static> {
    /// Initialized until the drop. `MaybeUninit`, because a plain field would promise wherever this is
    /// moved to that what it refers to outlives the call, even that of `drop`.
    borrowed: MaybeUninit<RefMut<'static, T>>,
    owner: Rc<O>,
}

impl<O: ?Sized, T: ?Sized> OwnedRefMut<O, T> {
    /// Borrows the cell of `owner` that `cell` names.
    ///
    /// # Panics
    ///
    /// If the cell is borrowed.
    pub(crate) fn new(owner: Rc<O>, cell: impl FnOnce(&O) -> &RefCell<T>) -> Self {
        let cell: *const RefCell<T> = cell(&owner);
        // SAFETY: `cell` was valid for as long as `owner` was borrowed, and is for as long as its value is
        // shared: it is in an `Rc`, which neither moves nor lends it out mutably while this has a count.
        let borrowed = unsafe { &*cell }.borrow_mut();
        OwnedRefMut { borrowed: MaybeUninit::new(borrowed), owner }
    }

    pub(crate) fn owner(&self) -> &Rc<O> {
        &self.owner
    }
}

impl<O: ?Sized, T: ?Sized> Deref for OwnedRefMut<O, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it is initialized until the drop, and what it refers to lives as long as `owner`.
        unsafe { self.borrowed.assume_init_ref() }
    }
}

impl<O: ?Sized, T: ?Sized> DerefMut for OwnedRefMut<O, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.borrowed.assume_init_mut() }
    }
}

impl<O: ?Sized, T: ?Sized> Drop for OwnedRefMut<O, T> {
    fn drop(&mut self) {
        // SAFETY: it is initialized, used for the last time here, and `owner` is dropped after it.
        unsafe { self.borrowed.assume_init_drop() }
    }
}

impl<O: ?Sized, T: ?Sized + fmt::Debug> fmt::Debug for OwnedRefMut<O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrow_lasts_as_long_as_it_is_kept_and_keeps_its_owner() {
        let owner = Rc::new((1, RefCell::new(vec![1])));
        let mut borrow = OwnedRefMut::new(Rc::clone(&owner), |(_, cell)| cell);
        assert!(owner.1.try_borrow().is_err());
        borrow.push(2);
        assert!(Rc::ptr_eq(borrow.owner(), &owner));
        let weak = Rc::downgrade(&owner);
        drop(owner);
        assert_eq!(*borrow, [1, 2]);
        drop(borrow);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn unsized_values_can_be_borrowed() {
        let owner: Rc<RefCell<[u8]>> = Rc::new(RefCell::new([1, 2, 3]));
        let mut borrow = OwnedRefMut::new(Rc::clone(&owner), |cell| cell);
        borrow[0] = 9;
        drop(borrow);
        assert_eq!(*owner.borrow(), [9, 2, 3]);
    }
}
