//! Those who ask for one path while it is being checked: one checks, and the others take its answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use super::CachedFile;
use crate::sync::{Mutex, MutexGuard};

/// All lines of a cache, by path.
pub(super) struct Lines<T: 'static> {
    by_path: RefCell<ByPath<T>>,
}

type ByPath<T> = HashMap<Rc<[u8]>, Rc<Line<T>>>;

/// The line for one path: whoever has the lock checks.
pub(super) struct Line<T: 'static> {
    last: Mutex<Option<Answer<T>>>,
}

/// What a check has come to.
pub(super) struct Answer<T: 'static> {
    began: Instant,
    outcome: Result<Rc<CachedFile<T>>, Failure>,
}

/// An error that several can be told.
struct Failure {
    kind: io::ErrorKind,
    errno: Option<i32>,
    text: String,
}

/// A place in a line, which goes when nobody is left in it.
pub(super) struct Place<'a, T: 'static> {
    lines: &'a Lines<T>,
    path: Rc<[u8]>,
    line: Rc<Line<T>>,
}

/// The turn of one who stands in line.
pub(super) struct Turn<'a, T: 'static>(MutexGuard<'a, Option<Answer<T>>>);

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Lines { by_path: RefCell::default() }
    }
}

impl<T> Lines<T> {
    pub(super) fn join(&self, path: &Path) -> Place<'_, T> {
        let bytes = path.as_os_str().as_bytes();
        let mut by_path = self.by_path.borrow_mut();
        let known = by_path.get_key_value(bytes);
        let known = known.map(|(path, line)| (Rc::clone(path), Rc::clone(line)));
        let (path, line) = known.unwrap_or_else(|| {
            let (path, line) = (Rc::from(bytes), Rc::new(Line { last: Mutex::new(None) }));
            by_path.insert(Rc::clone(&path), Rc::clone(&line));
            (path, line)
        });
        Place { lines: self, path, line }
    }
}

#[cfg(test)]
impl<T> Lines<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.by_path.borrow().is_empty()
    }
}

impl<T> Line<T> {
    /// The answer of a check that `began` then.
    pub(super) fn answered(began: Instant, checked: &io::Result<Rc<CachedFile<T>>>) -> Answer<T> {
        let outcome = checked.as_ref().map(Rc::clone).map_err(|error| Failure {
            kind: error.kind(),
            errno: error.raw_os_error(),
            text: error.to_string(),
        });
        Answer { began, outcome }
    }
}

impl<T> Place<'_, T> {
    pub(super) async fn turn(&self) -> Turn<'_, T> {
        Turn(self.line.last.lock().await)
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        // One is the map's.
        if Rc::strong_count(&self.line) == 2 {
            let line = self.lines.by_path.borrow_mut().remove(&self.path);
            drop(line);
        }
    }
}

impl<T> Turn<'_, T> {
    /// The answer of a check that began when or after it was `asked` for.
    pub(super) fn since(&self, asked: Instant) -> Option<io::Result<Rc<CachedFile<T>>>> {
        let answer = self.0.as_ref().filter(|answer| answer.began >= asked)?;
        Some(match &answer.outcome {
            Ok(entry) => Ok(Rc::clone(entry)),
            Err(failure) => Err(failure.to_error()),
        })
    }

    pub(super) fn set(&mut self, answer: Answer<T>) {
        *self.0 = Some(answer);
    }
}

impl Failure {
    fn to_error(&self) -> io::Error {
        match self.errno {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::new(self.kind, self.text.clone()),
        }
    }
}
