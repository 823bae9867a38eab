//! What the children of a group have failed with.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io;
use std::slice;
use std::vec;

use crate::task::JoinError;

/// What all children have failed with that failed, in the order in which they did; there is at least
/// one.
///
/// # Examples
///
/// ```
/// use corering::task::{GroupFailure, TaskGroup};
///
/// corering::block_on(async {
///     let group = TaskGroup::new();
///     group.spawn(|_| async { Err::<(), _>("full") });
///     group.spawn(|_| async { panic!("on purpose") as Result<(), _> });
///     let error = group.join().await.unwrap_err();
///     assert!(matches!(error.first(), GroupFailure::Error("full")));
///     for failure in error {
///         match failure {
///             GroupFailure::Error(error) => eprintln!("{error}"),
///             // Or `std::panic::resume_unwind(panic.into_panic())`.
///             GroupFailure::Panic(panic) => eprintln!("{panic}"),
///         }
///     }
/// });
/// ```
pub struct GroupError<E> {
    failures: Vec<GroupFailure<E>>,
}

/// What one child of a group has failed with.
#[derive(Debug)]
pub enum GroupFailure<E> {
    /// It returned an error.
    Error(E),
    /// It panicked.
    Panic(JoinError),
}

#[expect(clippy::len_without_is_empty, reason = "it is never empty")]
impl<E> GroupError<E> {
    /// The failure that ended the group.
    pub fn first(&self) -> &GroupFailure<E> {
        &self.failures[0]
    }

    /// How many children have failed: at least one.
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// The failures, the first one first.
    pub fn iter(&self) -> slice::Iter<'_, GroupFailure<E>> {
        self.failures.iter()
    }
}

impl<E> IntoIterator for GroupError<E> {
    type Item = GroupFailure<E>;
    type IntoIter = vec::IntoIter<GroupFailure<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.failures.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a GroupError<E> {
    type Item = &'a GroupFailure<E>;
    type IntoIter = slice::Iter<'a, GroupFailure<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => write!(f, "a task of the group failed: {}", self.first()),
            count => write!(f, "{count} tasks of the group failed, the first: {}", self.first()),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupError").field(&self.failures).finish()
    }
}

impl<E: fmt::Display + fmt::Debug> Error for GroupError<E> {}

impl<E> From<GroupError<E>> for io::Error
where
    E: fmt::Display + fmt::Debug + Send + Sync + 'static,
{
    fn from(error: GroupError<E>) -> Self {
        io::Error::other(error)
    }
}

impl<E: fmt::Display> fmt::Display for GroupFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupFailure::Error(error) => error.fmt(f),
            GroupFailure::Panic(panic) => panic.fmt(f),
        }
    }
}

/// The failures so far.
pub(in crate::task) struct Failures<E>(RefCell<Vec<GroupFailure<E>>>);

impl<E> Failures<E> {
    pub(in crate::task) fn add(&self, failure: GroupFailure<E>) {
        self.0.borrow_mut().push(failure);
    }

    /// Takes them out.
    pub(in crate::task) fn result<T>(&self, value: T) -> Result<T, GroupError<E>> {
        let failures = self.0.take();
        if failures.is_empty() { Ok(value) } else { Err(GroupError { failures }) }
    }
}

impl<E> Default for Failures<E> {
    fn default() -> Self {
        Failures(RefCell::default())
    }
}
