//! The receiving half of every stream: at most one receive in flight in the kernel, and everything
//! that came and was not taken yet, in order.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::policy::{Policy, Way};
use crate::buf::{self, BufError, BufResult, BufferGroup, IoBufMut, Place, RecvBuf, Slice};
use crate::driver::{
    self, Driver, IoFuture, Multi, ReadableWait, SharedFd, Submit, Trail, count, is_timed_out,
    submit, timed_out, was_cancelled,
};
use crate::op;
use crate::util::budget::{self, Toll};

/// What a stream keeps for receiving.
pub(super) struct Receiver {
    fd: SharedFd,
    ahead: Ahead,
    state: State,
}

/// What comes before everything that the kernel has.
enum Ahead {
    Nothing,
    /// A buffer of which a `read` has taken only a part.
    Rest(RecvBuf),
    /// What a `read` brings that was dropped in flight, or forgotten.
    Dropped(Pin<Box<dyn Future<Output = io::Result<Option<RecvBuf>>>>>),
    /// The receive of a `read` that waits for the kernel. Its future takes this away; who receives
    /// next finds it if that future was forgotten.
    Begun(Trail),
}

enum State {
    /// Nothing was asked of this stream yet.
    New,
    /// By completion.
    Completion {
        multi: Multi<op::recv_multi::RecvMulti>,
        group: Rc<BufferGroup>,
        policy: Policy,
        line: Line,
    },
    /// By notification.
    Notification { wait: ReadableWait, policy: Policy },
}

/// Where a stream stands that found the buffer group empty, or that changes over.
enum Line {
    /// The multishot is armed, or may be.
    Free,
    /// In line for a buffer, and watching for data: what comes first decides.
    Waiting { place: Place, wait: ReadableWait },
    /// Called for a buffer: the multishot is armed, or about to be.
    Called(Place),
    /// The multishot is being cancelled: what it has brought comes first, then the other way.
    Changing,
}

impl Receiver {
    pub(super) fn new(fd: SharedFd) -> Self {
        Receiver { fd, ahead: Ahead::Nothing, state: State::New }
    }

    /// A receiver whose first bytes have been received already.
    pub(super) fn with_rest(fd: SharedFd, rest: Vec<u8>) -> Self {
        let mut receiver = Receiver::new(fd);
        if !rest.is_empty() {
            receiver.ahead = Ahead::Rest(RecvBuf::from_vec(rest));
        }
        receiver
    }

    pub(super) fn fd(&self) -> &SharedFd {
        &self.fd
    }

    /// A `read` was forgotten in flight. What it brings is in memory that nobody can reach.
    fn keep_forgotten(&mut self, trail: Trail) {
        self.ahead = Ahead::Dropped(Box::pin(async move {
            match poll_fn(|cx| trail.poll_forgotten(cx)).await {
                Some(Ok(lost)) if lost > 0 => Err(io::Error::other(format!(
                    "a read was forgotten in flight, and {lost} bytes of the stream with it"
                ))),
                _ => Ok(None),
            }
        }));
    }

    /// The next bytes, in order.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        if !matches!(self.ahead, Ahead::Nothing)
            && let Some(received) = ready!(self.poll_ahead(cx))?
        {
            return Poll::Ready(Ok(received));
        }
        self.poll_kernel(cx)
    }

    /// What comes before everything that the kernel has, if there is something. Who asks has the
    /// receiver for itself, so a `read` that is not over yet was forgotten.
    #[inline(never)]
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        if let Ahead::Begun(trail) = self.ahead {
            self.keep_forgotten(trail);
        }
        let received = match &mut self.ahead {
            Ahead::Dropped(dropped) => ready!(dropped.as_mut().poll(cx)),
            Ahead::Rest(rest) => Ok(Some(mem::replace(rest, RecvBuf::empty()))),
            Ahead::Nothing | Ahead::Begun(_) => Ok(None),
        };
        self.ahead = Ahead::Nothing;
        Poll::Ready(received)
    }

    fn poll_kernel(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        loop {
            match &mut self.state {
                State::New => {
                    let driver = driver::current()?;
                    self.state = State::first(&self.fd, &driver);
                }
                State::Notification { wait, policy } => {
                    let received = wait.poll_recv(&self.fd, cx);
                    if let Poll::Ready(Ok(received)) = &received
                        && policy.after(Way::Notification, received.len(), false).is_some()
                    {
                        self.change_to_completion(&*driver::current()?);
                    }
                    return received;
                }
                State::Completion { .. } => {
                    if let Some(received) = ready!(self.poll_completion(cx))? {
                        return Poll::Ready(Ok(received));
                    }
                }
            }
        }
    }

    /// `None`: the state has changed, look again.
    // Not inlined: the other way of receiving would pay for its frame.
    #[inline(never)]
    fn poll_completion(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        let State::Completion { multi, group, policy, line } = &mut self.state else {
            return Poll::Ready(Ok(None));
        };
        if let Line::Waiting { place, wait } = line {
            if driver::current()?.owns(group) && !place.poll_called(cx.waker()) {
                // Others hold all buffers, perhaps for long, and there may be data already.
                let received = ready!(wait.poll_recv(&self.fd, cx))?;
                count(&driver::current()?.counters.heap_receives);
                return Poll::Ready(Ok(Some(received)));
            }
            if let Line::Waiting { place, .. } = mem::replace(line, Line::Free) {
                *line = Line::Called(place);
            }
            self.fd.forget_readiness();
        }
        if !multi.is_armed() && !driver::current()?.owns(group) {
            // The runtime that the stream began in has ended; this one's ring fills other buffers.
            self.state = State::New;
            return Poll::Ready(Ok(None));
        }
        let item = ready!(multi.poll_next(cx))?;
        let Some(received) = item else {
            // It has ended, and all that it brought is taken.
            if matches!(line, Line::Changing) {
                self.change_to_notification()?;
            }
            return Poll::Ready(Ok(None));
        };
        match received {
            Ok(received) => {
                if matches!(line, Line::Called(_)) {
                    *line = Line::Free;
                }
                let filled = received.len() == group.buffer_size();
                if matches!(line, Line::Free)
                    && policy.after(Way::Completion, received.len(), filled).is_some()
                {
                    multi.cancel();
                    *line = Line::Changing;
                }
                if !received.is_empty() && !budget::take(cx.waker()) {
                    // It comes first the next time, and then nobody asks.
                    self.ahead = Ahead::Rest(received);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(Some(received)))
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                // The multishot has ended with this.
                count(&driver::current()?.counters.buffer_group_empty);
                let place = match mem::replace(line, Line::Free) {
                    Line::Changing => {
                        *line = Line::Changing;
                        return Poll::Ready(Ok(None));
                    }
                    Line::Called(place) => {
                        place.rejoin(cx.waker());
                        place
                    }
                    Line::Free | Line::Waiting { .. } => Place::join(group, cx.waker()),
                };
                if place.is_called() {
                    // A buffer has come back since.
                    *line = Line::Called(place);
                    return Poll::Ready(Ok(None));
                }
                let mut wait = ReadableWait::default();
                wait.begin(&self.fd, cx.waker())?;
                *line = Line::Waiting { place, wait };
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn change_to_notification(&mut self) -> io::Result<()> {
        let driver = driver::current()?;
        count(&driver.counters.changes_to_notification);
        let policy = Policy::new(driver.limits().receive_policy);
        self.fd.set_tries_first(true);
        self.state = State::Notification { wait: ReadableWait::default(), policy };
        Ok(())
    }

    fn change_to_completion(&mut self, driver: &Driver) {
        let Some(group) = driver.group() else { return };
        count(&driver.counters.changes_to_completion);
        self.fd.set_tries_first(false);
        self.fd.forget_readiness();
        let policy = Policy::new(driver.limits().receive_policy);
        self.state = State::completion(&self.fd, driver, group, policy);
    }

    /// Whether a `read` may receive into the caller's buffer at once.
    fn is_idle(&self) -> bool {
        match &self.state {
            State::New | State::Notification { .. } => true,
            State::Completion { multi, line, .. } => {
                !multi.is_armed() && matches!(line, Line::Free)
            }
        }
    }

    /// A `read` was dropped in flight: it goes on, and what it brings belongs to the stream.
    fn keep<B: IoBufMut>(&mut self, mut receive: Submit<op::recv::Recv<B>>) {
        if receive.is_waiting() {
            return;
        }
        receive.cancel();
        self.ahead = Ahead::Dropped(Box::pin(async move {
            match poll_fn(|cx| receive.poll_end(cx)).await {
                Some(Ok((count, buf))) => {
                    let bytes = &buf::as_slice(&buf)[..count];
                    Ok(Some(RecvBuf::from_vec(bytes.to_vec())))
                }
                None => Ok(None),
                // Its time limit may have passed before it was dropped.
                Some(Err(failed))
                    if was_cancelled(&failed.error) || is_timed_out(&failed.error) =>
                {
                    Ok(None)
                }
                Some(Err(failed)) => Err(failed.error),
            }
        }));
    }

    /// Ends what is in flight and gives what had arrived. The stream can then be closed, or handed
    /// to another shard, without losing a byte.
    pub(super) async fn finish(mut self) -> io::Result<(SharedFd, Vec<u8>)> {
        let mut bytes = Vec::new();
        if let Some(received) = poll_fn(|cx| self.poll_ahead(cx)).await? {
            bytes.extend_from_slice(&received);
        }
        if let State::Completion { multi, line, .. } = &mut self.state {
            *line = Line::Free;
            multi.cancel();
            while multi.is_armed() {
                let item = poll_fn(|cx| multi.poll_next(cx)).await?;
                if let Some(Ok(received)) = item {
                    bytes.extend_from_slice(&received);
                }
            }
        }
        self.state = State::New;
        Ok((self.fd.clone(), bytes))
    }
}

impl State {
    /// How a stream begins: as the policy says, where the kernel can.
    fn first(fd: &SharedFd, driver: &Rc<Driver>) -> Self {
        let policy = Policy::new(driver.limits().receive_policy);
        let may_complete =
            policy.first_way() == Way::Completion && driver.is_uring() && driver.hears_end(fd);
        if may_complete && let Some(group) = driver.group() {
            return State::completion(fd, driver, group, policy);
        }
        fd.set_tries_first(true);
        let policy = match may_complete && driver.group_is_possible() {
            true => policy,
            false => Policy::new(crate::driver::ReceivePolicy::Notification),
        };
        State::Notification { wait: ReadableWait::default(), policy }
    }

    fn completion(fd: &SharedFd, driver: &Driver, group: Rc<BufferGroup>, policy: Policy) -> Self {
        let queued_max = driver.limits().queued_buffers_max;
        let multi =
            Multi::new(op::recv_multi::RecvMulti::new(fd.clone(), group.clone(), queued_max));
        State::Completion { multi, group, policy, line: Line::Free }
    }
}

/// The future of `recv`.
#[must_use = "nothing is received until this is awaited"]
pub struct Recv<'a> {
    receiver: &'a mut Receiver,
    expired: bool,
}

impl<'a> Recv<'a> {
    #[inline]
    pub(super) fn new(receiver: &'a mut Receiver) -> Self {
        Recv { receiver, expired: false }
    }
}

impl Future for Recv<'_> {
    type Output = io::Result<RecvBuf>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.receiver.poll_recv(cx) {
            Poll::Pending if self.expired => Poll::Ready(Err(timed_out())),
            other => other,
        }
    }
}

impl IoFuture for Recv<'_> {
    fn expire(&mut self) {
        // What comes later stays with the stream.
        self.expired = true;
    }
}

/// The future of `read`.
#[must_use = "nothing is received until this is awaited"]
pub struct Read<'a, B: IoBufMut> {
    receiver: &'a mut Receiver,
    /// Before and after the receive of its own.
    buf: Option<B>,
    receive: Option<Submit<op::recv::Recv<B>>>,
    expired: bool,
    toll: Toll,
}

impl<'a, B: IoBufMut> Read<'a, B> {
    pub(super) fn new(receiver: &'a mut Receiver, buf: B) -> Self {
        Read { receiver, buf: Some(buf), receive: None, expired: false, toll: Toll::Due }
    }

    /// Takes the result of the receive of its own.
    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        let receive = self.receive.as_mut().expect("the caller has begun it");
        let Poll::Ready(result) = Pin::new(&mut *receive).poll(cx) else {
            if let Some(trail) = receive.trail() {
                self.receiver.ahead = Ahead::Begun(trail);
            }
            return Poll::Pending;
        };
        self.receiver.ahead = Ahead::Nothing;
        self.receive = None;
        if let (Ok((count, _)), State::Notification { policy, .. }) =
            (&result, &mut self.receiver.state)
            && policy.after(Way::Notification, *count, false).is_some()
            && let Ok(driver) = driver::current()
        {
            self.receiver.change_to_completion(&driver);
        }
        Poll::Ready(result)
    }
}

impl<B: IoBufMut> Future for Read<'_, B> {
    type Output = BufResult<usize, B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.receive.is_some() {
            return this.poll_own(cx);
        }
        if this.buf.as_ref().is_some_and(|buf| buf.capacity() == 0) {
            let buf = this.buf.take().expect("it was there a line above");
            return Poll::Ready(Err(BufError::new(buf::no_room(), buf)));
        }
        if matches!(this.receiver.ahead, Ahead::Rest(_)) {
            ready!(this.toll.pay(cx.waker()));
        }
        let stored = if !this.receiver.is_idle() {
            this.receiver.poll_recv(cx).map(|received| received.map(Some))
        } else {
            this.receiver.poll_ahead(cx)
        };
        let buf = this.buf.take().expect("a future is not polled after its end");
        match stored {
            Poll::Pending if this.expired => Poll::Ready(Err(BufError::new(timed_out(), buf))),
            Poll::Pending => {
                this.buf = Some(buf);
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(BufError::new(error, buf))),
            Poll::Ready(Ok(Some(received))) => {
                let mut buf = buf;
                let taken = this.receiver.take_part(received, &mut buf);
                Poll::Ready(Ok((taken, buf)))
            }
            Poll::Ready(Ok(None)) => {
                let mut receive = submit(op::recv::Recv::new(this.receiver.fd.clone(), buf));
                if this.expired {
                    receive.expire();
                }
                this.receive = Some(receive);
                this.poll_own(cx)
            }
        }
    }
}

impl Receiver {
    /// Copies as much as there is room for; what is left comes first next time.
    fn take_part<B: IoBufMut>(&mut self, mut received: RecvBuf, buf: &mut B) -> usize {
        let taken = buf::fill(buf, &received);
        received.advance(taken);
        if !received.is_empty() {
            self.ahead = Ahead::Rest(received);
        }
        taken
    }
}

impl<B: IoBufMut> IoFuture for Read<'_, B> {
    fn expire(&mut self) {
        self.expired = true;
        if let Some(receive) = &mut self.receive {
            receive.expire();
        }
    }
}

impl<B: IoBufMut> Drop for Read<'_, B> {
    fn drop(&mut self) {
        if let Some(receive) = self.receive.take()
            && receive.in_flight()
        {
            self.receiver.ahead = Ahead::Nothing;
            self.receiver.keep(receive);
        }
    }
}

/// The future of `read_exact`.
#[must_use = "nothing is received until this is awaited"]
pub struct ReadExact<'a, B: IoBufMut> {
    /// The read under way.
    read: Read<'a, Slice<B>>,
    done: usize,
    wanted: usize,
}

impl<'a, B: IoBufMut> ReadExact<'a, B> {
    pub(super) fn new(receiver: &'a mut Receiver, buf: B, wanted: usize) -> Self {
        ReadExact { read: Read::new(receiver, buf.slice(0..wanted)), done: 0, wanted }
    }

    /// What can be said before anything is received: there is nothing to wait for, or no room for it.
    fn end_before_it_begins(&mut self) -> Option<Result<B, BufError<B>>> {
        let room = self.read.buf.as_ref()?.whole().capacity();
        if self.wanted > 0 && room >= self.wanted {
            return None;
        }
        let mut buf = self.read.buf.take()?.into_inner();
        if self.wanted > 0 {
            return Some(Err(BufError::new(buf::little_room(room, self.wanted), buf)));
        }
        buf::truncate(&mut buf, 0);
        Some(Ok(buf))
    }

    /// The buffer, with what has come into it and no more.
    fn cut(&self, buf: Slice<B>) -> B {
        let mut buf = buf.into_inner();
        buf::truncate(&mut buf, self.done);
        buf
    }
}

impl<B: IoBufMut> Future for ReadExact<'_, B> {
    /// The buffer, as long as it was to be; the error carries it with what had come.
    type Output = Result<B, BufError<B>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(ended) = this.end_before_it_begins() {
            return Poll::Ready(ended);
        }
        loop {
            let (count, buf) = match ready!(Pin::new(&mut this.read).poll(cx)) {
                Ok(read) => read,
                Err(failed) if this.done == 0 => {
                    return Poll::Ready(Err(failed.map_buf(Slice::into_inner)));
                }
                Err(failed) => return Poll::Ready(Err(failed.map_buf(|buf| this.cut(buf)))),
            };
            this.done += count;
            if this.done == this.wanted {
                return Poll::Ready(Ok(this.cut(buf)));
            }
            if count == 0 {
                let text = format!("the stream ended after {} of {} bytes", this.done, this.wanted);
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                return Poll::Ready(Err(BufError::new(error, this.cut(buf))));
            }
            this.read.buf = Some(buf.into_inner().slice(this.done..this.wanted));
        }
    }
}

impl<B: IoBufMut> IoFuture for ReadExact<'_, B> {
    fn expire(&mut self) {
        self.read.expire();
    }
}

#[cfg(test)]
mod tests;
