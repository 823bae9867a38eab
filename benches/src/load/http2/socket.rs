//! The socket of a session, as `h2` wants it: every call is tried before it is waited for, and what is
//! waited for the client's epoll set tells.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stopped;
use crate::load::verdict::Reason;
use crate::os;

/// What the session shares with the part of it that `h2` has.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Rc<OwnedFd>,
    /// A receive may find something: no call is made in vain.
    is_readable: Cell<bool>,
    /// No more events will come.
    is_over: Cell<bool>,
    /// The server has closed its side.
    has_ended: Cell<bool>,
    /// The error of the last call, of which `h2` keeps less.
    failure: RefCell<Option<io::Error>>,
}

impl Socket {
    /// A socket that may still be connecting.
    pub(super) fn new(stream: Rc<OwnedFd>) -> Self {
        Socket {
            stream,
            is_readable: Cell::new(true),
            is_over: Cell::new(false),
            has_ended: Cell::new(false),
            failure: RefCell::default(),
        }
    }

    /// Something may have arrived; `is_over` if no more events will come.
    pub(super) fn is_ready(&self, is_over: bool) {
        self.is_readable.set(true);
        self.is_over.set(is_over || self.is_over.get());
    }

    /// Whether a receive may find something.
    pub(super) fn is_readable(&self) -> bool {
        self.is_readable.get()
    }

    /// What an error of `h2` means.
    pub(super) fn stopped(&self, error: h2::Error) -> Stopped {
        if let (true, Some(reason)) = (error.is_remote(), error.reason()) {
            return match error.is_reset() {
                true => (Reason::StreamReset, format!("had a stream reset: {reason}")).into(),
                false => (Reason::Closed, format!("was given up by the server: {reason}")).into(),
            };
        }
        match self.failure.take() {
            Some(failure) => Stopped::Failed(failure),
            None if self.has_ended.get() => Stopped::Closed,
            None => (Reason::WrongAnswer, format!("got no HTTP/2: {error}")).into(),
        }
    }

    fn note<T>(&self, result: io::Result<T>) -> Poll<io::Result<T>> {
        Poll::Ready(result.map_err(|error| {
            let kind = error.kind();
            self.failure.replace(Some(error));
            kind.into()
        }))
    }
}

/// The socket, as `h2` wants it.
pub(super) struct Io(pub(super) Rc<Socket>);

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &self.0;
        if !socket.is_readable.get() {
            return Poll::Pending;
        }
        let room = buffer.initialize_unfilled();
        let room_bytes = room.len();
        match os::recv(socket.stream.as_fd(), room) {
            Ok(count) => {
                socket.has_ended.set(count == 0);
                // A short read has drained the socket. After the last event, which nothing follows that
                // could report more, reading goes on to the end.
                socket.is_readable.set(count == room_bytes || socket.is_over.get() && count > 0);
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.is_readable.set(false);
                Poll::Pending
            }
            Err(error) => socket.note(Err(error)),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match os::send(self.0.stream.as_fd(), bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            sent => self.0.note(sent),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It is about to be closed.
        Poll::Ready(Ok(()))
    }
}
