//! hyper's traits over corering's streams and timers, until the library brings them.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use corering::buf::RecvBuf;
use corering::io::{Lend, PollWrite};
use corering::time;
use hyper::rt;
use send_wrapper::SendWrapper;

/// A stream for hyper.
#[derive(Debug)]
pub(super) struct Hyper<S> {
    stream: S,
    /// What was received and hyper had no room for.
    rest: Option<RecvBuf>,
}

impl<S> Hyper<S> {
    pub(super) fn new(stream: S) -> Self {
        Hyper { stream, rest: None }
    }
}

impl<S: Lend + Unpin> rt::Read for Hyper<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut room: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut received = match self.rest.take() {
            Some(rest) => rest,
            None => ready!(self.stream.poll_lend(cx))?,
        };
        let count = received.len().min(room.remaining());
        room.put_slice(&received[..count]);
        if count < received.len() {
            received.advance(count);
            self.rest = Some(received);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: PollWrite + Unpin> rt::Write for Hyper<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_vectored(cx, pieces)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }
}

/// corering's timers for hyper.
#[derive(Debug)]
pub(super) struct HyperTimer;

impl HyperTimer {
    pub(super) fn new() -> Self {
        HyperTimer
    }
}

impl rt::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Sleep(SendWrapper::new(time::sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Sleep(SendWrapper::new(time::sleep_until(deadline))))
    }

    fn now(&self) -> Instant {
        time::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        if let Some(sleep) = sleep.as_mut().downcast_mut_pin::<Sleep>() {
            sleep.get_mut().0.reset(deadline);
        }
    }
}

struct Sleep(SendWrapper<time::Sleep>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *self.0).poll(cx)
    }
}

impl rt::Sleep for Sleep {}
