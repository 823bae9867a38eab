//! Pieces of a file in their order, of which one is read while the one before it is used.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use crate::io::OwnedReadAt;

/// Bytes of the first piece, and of the first behind a seek: a reader that jumps needs little of each place.
const PIECE_MIN: usize = 16 * 1024;

/// Bytes of a piece at most: what a thread without a ring still copies from the page cache on its own, and
/// from where on larger pieces save nothing.
const PIECE_MAX: usize = 256 * 1024;

/// What reads pieces.
pub(super) struct Ahead {
    /// Bytes of the next piece.
    piece: usize,
    reading: Option<Reading>,
}

/// A piece that was begun. It stays, though the future that began it is dropped.
struct Reading {
    wanted: usize,
    /// It was begun before the caller asked for it. What it has found is then the past: bytes are taken,
    /// but the end may have moved, and an error may be that of a runtime that has ended.
    early: bool,
    read: Read,
}

enum Read {
    Pending(Pin<Box<dyn Future<Output = io::Result<Vec<u8>>>>>),
    Done(Vec<u8>),
}

impl Ahead {
    pub(super) fn new() -> Self {
        Ahead { piece: PIECE_MIN, reading: None }
    }

    /// Whether the next piece was begun.
    pub(super) fn has_begun(&self) -> bool {
        self.reading.is_some()
    }

    /// Forgets what was begun: the file was written, or is read at another place.
    pub(super) fn forget(&mut self) {
        *self = Ahead::new();
    }

    /// Whoever asked for the piece has gone away.
    pub(super) fn leave(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.early = true;
        }
    }

    /// The piece at `position`; empty at the end. Begins the next if this one is full and not the first.
    pub(super) fn poll<S: OwnedReadAt + 'static>(
        &mut self,
        source: &Rc<S>,
        position: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Vec<u8>>> {
        loop {
            let piece = self.piece;
            let asked = || Reading::begin(source, position, piece, false);
            let reading = self.reading.get_or_insert_with(asked);
            let read = ready!(reading.poll(cx));
            let Reading { wanted, early, .. } = *reading;
            self.reading = None;
            let bytes = match read {
                Ok(bytes) if bytes.is_empty() && early => continue,
                Err(_) if early => continue,
                read => read?,
            };
            if bytes.len() < wanted {
                // The end is near, or this is a pipe.
                return Poll::Ready(Ok(bytes));
            }
            let is_first = wanted == PIECE_MIN;
            self.piece = (wanted * 2).min(PIECE_MAX);
            if !is_first {
                let next = position.saturating_add(wanted as u64);
                self.reading = Reading::begin(source, next, self.piece, true).started();
            }
            return Poll::Ready(Ok(bytes));
        }
    }
}

impl Reading {
    fn begin<S: OwnedReadAt + 'static>(
        source: &Rc<S>,
        position: u64,
        wanted: usize,
        early: bool,
    ) -> Self {
        let source = source.clone();
        let read = Box::pin(async move {
            let (_, bytes) = source.read_at(Vec::with_capacity(wanted), position).await?;
            Ok(bytes)
        });
        Reading { wanted, early, read: Read::Pending(read) }
    }

    /// Gets it under way, for which one poll is enough: the one that waits for it says who is woken.
    /// `None` if it has brought nothing.
    fn started(mut self) -> Option<Self> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Some(self),
            Poll::Ready(Ok(bytes)) if !bytes.is_empty() => {
                self.read = Read::Done(bytes);
                Some(self)
            }
            Poll::Ready(_) => None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        match &mut self.read {
            Read::Pending(read) => read.as_mut().poll(cx),
            Read::Done(bytes) => Poll::Ready(Ok(std::mem::take(bytes))),
        }
    }
}
