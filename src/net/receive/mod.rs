//! The receiving half of every stream: at most one receive in flight in the kernel, and everything
//! that came and was not taken yet, in order.
//!
//! A stream receives in one of two ways, and `policy.rs` says which, and why. By completion
//! (`completion.rs`) a multishot receive fills buffers of the shard's group. By notification the
//! stream waits until its socket is readable and then receives by a plain call. A `read` into a large
//! buffer hands that to the kernel, where a ring carries it and nothing else is armed; what it leaves
//! when it is dropped or forgotten is in `ahead.rs`. `futures.rs` has what users await.

mod ahead;
mod completion;
mod futures;
mod policy;

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use self::ahead::Ahead;
use self::completion::Completion;
use self::policy::{Policy, Way};
use crate::buf::{self, BufError, BufResult, IoBufMut, RecvBuf};
use crate::driver::{self, Driver, ReadableWait, ReceivePolicy, SharedFd, count};
use crate::op;
use crate::util::budget;
use crate::util::expiry::poll_expired;

pub(super) use self::futures::{Read, ReadExact, Recv};

/// What a stream keeps for receiving.
pub(super) struct Receiver {
    fd: SharedFd,
    ahead: Ahead,
    state: State,
}

enum State {
    /// Nothing was asked of this stream yet.
    New,
    Completion(Completion),
    Notification {
        wait: ReadableWait,
        policy: Policy,
    },
}

impl Receiver {
    pub(super) fn new(fd: SharedFd) -> Self {
        Receiver { fd, ahead: Ahead::Nothing, state: State::New }
    }

    /// A receiver whose first bytes have been received already.
    pub(super) fn with_rest(fd: SharedFd, rest: Vec<u8>) -> Self {
        let mut receiver = Receiver::new(fd);
        receiver.keep_rest(RecvBuf::from_vec(rest));
        receiver
    }

    pub(super) fn fd(&self) -> &SharedFd {
        &self.fd
    }

    fn keep_rest(&mut self, rest: RecvBuf) {
        if !rest.is_empty() {
            self.ahead = Ahead::Rest(rest);
        }
    }

    /// The next bytes, in order.
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        if !matches!(self.ahead, Ahead::Nothing)
            && let Some(received) = ready!(self.poll_ahead(cx))?
        {
            return Poll::Ready(Ok(received));
        }
        loop {
            match &mut self.state {
                State::Notification { wait, policy } => {
                    let fd = &self.fd;
                    let received = wait.poll(fd, cx, |driver| op::recv::lent(driver, fd));
                    if let Poll::Ready(Ok(received)) = &received
                        && policy.after(Way::Notification, received.len(), false).is_some()
                    {
                        self.change_to_completion();
                    }
                    return received;
                }
                State::Completion(_) => {
                    if let Some(received) = ready!(self.poll_completion(cx))? {
                        return Poll::Ready(Ok(received));
                    }
                }
                State::New => self.begin()?,
            }
        }
    }

    /// The next bytes, in order, into a part of a buffer of the caller's.
    fn poll_read<B: IoBufMut>(
        &mut self,
        buf: &mut B,
        part: Range<usize>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let State::New = self.state {
            self.begin()?;
        }
        if let (Ahead::Nothing, State::Notification { wait, .. }) = (&self.ahead, &mut self.state) {
            let fd = &self.fd;
            let count =
                ready!(wait.poll(fd, cx, |driver| op::recv::into(driver, fd, buf, part.clone())))?;
            self.note(count);
            return Poll::Ready(Ok(count));
        }
        let received = ready!(self.poll_recv(cx))?;
        Poll::Ready(Ok(self.take_part(received, buf, part)))
    }

    /// The bytes that come next, once there are some; they stay with the stream.
    pub(super) async fn peek(&mut self) -> io::Result<&[u8]> {
        match self.ahead {
            Ahead::Rest(_) => budget::pay().await,
            // The end of the stream, too, is there for the next call.
            _ => self.ahead = Ahead::Rest(Recv::new(self).await?),
        }
        Ok(if let Ahead::Rest(rest) = &self.ahead { rest } else { &[] })
    }

    /// What is there for a buffer of the caller's, without waiting.
    pub(super) fn try_read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        let mut read = Read::new(self, buf);
        let mut cx = Context::from_waker(Waker::noop());
        // Nobody is there to wait for a turn.
        let poll = || poll_expired(&mut cx, |cx| Pin::new(&mut read).poll(cx));
        let polled = budget::without_limit(poll);
        let Poll::Ready(received) = polled else { unreachable!("what has expired ends at once") };
        received.map_err(|failed| match failed.kind() {
            io::ErrorKind::TimedOut => {
                let (_, buf) = failed.into_parts();
                BufError::new(io::ErrorKind::WouldBlock.into(), buf)
            }
            _ => failed,
        })
    }

    /// Copies as much as there is room for; what is left comes first next time.
    fn take_part<B: IoBufMut>(
        &mut self,
        mut received: RecvBuf,
        buf: &mut B,
        part: Range<usize>,
    ) -> usize {
        let taken = buf::fill(buf, part, &received);
        received.advance(taken);
        self.keep_rest(received);
        taken
    }

    /// Whether a `read` hands its buffer to the kernel, if that takes it: nothing is armed that would
    /// be faster. By notification a buffer of the caller's has no advantage, since it is not the one
    /// that was used last, and costs a call of its own.
    fn hands_over(&self, room: usize) -> bool {
        let takes = driver::with_current(|driver| match &self.state {
            _ if !driver.can().carries_operations => false,
            State::New => Policy::new(driver.limits().receive_policy).is_for_large(room),
            State::Notification { .. } => true,
            State::Completion(_) => false,
        });
        takes == Some(true)
    }

    /// How a stream begins: as the policy says, where the kernel can.
    #[cold]
    fn begin(&mut self) -> io::Result<()> {
        let driver = driver::current()?;
        let policy = Policy::new(driver.limits().receive_policy);
        let group = match policy.may_complete() {
            true => driver.group_for(&self.fd),
            false => None,
        };
        self.state = match group {
            Some(group) => State::Completion(Completion::new(&self.fd, &driver, group, policy)),
            None => {
                self.fd.set_tries_first(true);
                let policy = Policy::new(ReceivePolicy::Notification);
                State::Notification { wait: ReadableWait::default(), policy }
            }
        };
        Ok(())
    }

    /// So many bytes came into a buffer of the caller's: the policy may say that they should come
    /// otherwise.
    fn note(&mut self, bytes: usize) {
        if let State::Notification { policy, .. } = &mut self.state
            && policy.after(Way::Notification, bytes, false).is_some()
        {
            self.change_to_completion();
        }
    }

    #[cold]
    fn change_to_completion(&mut self) {
        let Ok(driver) = driver::current() else { return };
        let Some(group) = driver.group() else { return };
        count(&driver.counters.changes_to_completion);
        self.fd.set_tries_first(false);
        self.fd.forget_readiness();
        let policy = Policy::new(driver.limits().receive_policy);
        self.state = State::Completion(Completion::new(&self.fd, &driver, group, policy));
    }

    #[cold]
    fn change_to_notification(&mut self, driver: &Rc<Driver>) {
        count(&driver.counters.changes_to_notification);
        let policy = Policy::new(driver.limits().receive_policy);
        self.fd.set_tries_first(true);
        self.state = State::Notification { wait: ReadableWait::default(), policy };
    }

    /// Ends what is in flight and gives what had arrived. The stream can then be closed, or handed
    /// to another shard, without losing a byte.
    pub(super) async fn finish(mut self) -> io::Result<(SharedFd, Vec<u8>)> {
        let mut bytes = Vec::new();
        if let Some(received) = poll_fn(|cx| self.poll_ahead(cx)).await? {
            bytes.extend_from_slice(&received);
        }
        if let State::Completion(completion) = &mut self.state {
            completion.cancel();
            while let Some(received) = poll_fn(|cx| completion.poll_rest(cx)).await? {
                bytes.extend_from_slice(&received);
            }
        }
        self.state = State::New;
        Ok((self.fd.clone(), bytes))
    }
}

#[cfg(test)]
mod tests;
