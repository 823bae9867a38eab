//! Who makes progress beside whom within one task, and what the budget leaves alone.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use corering::buf::RecvBuf;
use corering::io::{Lend, copy};
use corering::net::TcpStream;
use corering::sync::{Semaphore, channel};
use corering::task::{cooperative, unconstrained};
use corering::time::within;
use corering::{Driver, time, yield_now};
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{StreamExt, join};

/// Beyond this a loop that should have been ended goes on for ever.
const FOR_EVER: u64 = 200_000;

use crate::net_rows::{drained, fed};

/// Takes free permits until `ended` or for ever.
async fn endless(free: &Semaphore, ended: &Cell<bool>) {
    for _ in 0..FOR_EVER {
        if ended.get() {
            return;
        }
        drop(free.acquire().await);
    }
    panic!("nothing else had its turn");
}

#[corering::test]
async fn join_goes_on_behind_an_endless_future() {
    let (free, ended) = (Semaphore::new(2), Cell::new(false));
    let behind = async {
        for _ in 0..1_000 {
            drop(free.acquire().await);
        }
        ended.set(true);
    };
    join!(endless(&free, &ended), behind);
}

#[corering::test]
async fn thousand_leaves_of_one_task_all_end() {
    let free = Semaphore::new(1_000);
    let mut leaves: FuturesUnordered<_> = (0..1_000).map(|_| free.acquire()).collect();
    let mut permits = Vec::new();
    while let Some(permit) = leaves.next().await {
        permits.push(permit.expect("it is not closed"));
    }
    assert_eq!((permits.len(), free.available_permits()), (1_000, 0));
}

#[corering::test]
async fn thousand_operations_of_one_task_all_end() -> io::Result<()> {
    let mut operations: FuturesUnordered<_> = (0..1_000).map(|_| corering::io::nop()).collect();
    let mut ended = 0;
    while let Some(operation) = operations.next().await {
        operation?;
        ended += 1;
    }
    assert_eq!(ended, 1_000);
    Ok(())
}

#[corering::test]
async fn time_limit_ends_an_endless_loop() {
    let (free, never) = (Semaphore::new(1), Cell::new(false));
    let limited = time::timeout(Duration::from_millis(2), endless(&free, &never));
    limited.await.expect_err("the loop does not end by itself");
}

/// Receives that a round may begin: its 512 leaves, and those of its polls that were refused.
const ROUND_MAX: u64 = 600;

/// A stream whose peer sends without end; it fails where nothing else has its turn.
struct Endless {
    stream: TcpStream,
    /// Receives since another task was polled.
    since_poll: Rc<Cell<u64>>,
}

impl Lend for Endless {
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.since_poll.set(self.since_poll.get() + 1);
        match self.since_poll.get() > ROUND_MAX {
            true => Poll::Ready(Err(io::Error::other("nothing else has its turn"))),
            false => self.stream.poll_lend(cx),
        }
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        self.stream.put_back(bytes);
    }
}

#[corering::test]
async fn copy_without_end_leaves_others_their_turn() {
    let since_poll = Rc::new(Cell::new(0));
    let mut from = Endless { stream: fed().await, since_poll: since_poll.clone() };
    let mut to = drained().await;
    let copying = corering::spawn(async move { copy(&mut from, &mut to).await });
    for _ in 0..1_000 {
        since_poll.set(0);
        yield_now().await;
    }
    assert!(!copying.is_finished(), "it has failed");
    copying.abort();
}

/// Polls a future once, and counts what `count` has become.
async fn counted_in_one_poll<F: Future>(future: F, count: &Cell<u64>) -> (bool, u64) {
    let mut future = pin!(future);
    let ended = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
    (ended, count.get())
}

/// Takes a free permit a thousand times.
async fn thousand(count: &Cell<u64>) {
    let free = Semaphore::new(1);
    for _ in 0..1_000 {
        drop(free.acquire().await);
        count.set(count.get() + 1);
    }
}

#[corering::test]
async fn one_poll_begins_128_leaves() {
    yield_now().await;
    let count = Cell::new(0);
    assert_eq!(counted_in_one_poll(thousand(&count), &count).await, (false, 128));
}

#[corering::test]
async fn unconstrained_future_begins_as_many_as_it_likes() {
    yield_now().await;
    let count = Cell::new(0);
    let counted = counted_in_one_poll(unconstrained(thousand(&count)), &count);
    assert_eq!(counted.await, (true, 1_000));
    // What it has taken is missing for what comes after it in the same poll.
    let count = Cell::new(0);
    assert_eq!(counted_in_one_poll(thousand(&count), &count).await, (false, 0));
}

#[corering::test]
async fn foreign_stream_pays_for_each_of_its_results() {
    yield_now().await;
    let count = Cell::new(0);
    let mut foreign = cooperative(stream::repeat(()));
    let endless = async {
        while foreign.next().await.is_some() {
            count.set(count.get() + 1);
        }
    };
    assert_eq!(counted_in_one_poll(endless, &count).await, (false, 128));
}

#[test]
fn outside_a_runtime_nothing_is_refused() {
    let count = Cell::new(0);
    let counted = counted_in_one_poll(thousand(&count), &count);
    assert_eq!(futures_util::FutureExt::now_or_never(counted), Some((true, 1_000)));
}

#[corering::test]
async fn result_that_is_there_is_given_also_without_budget() -> io::Result<()> {
    let mut nop = pin!(corering::io::nop());
    let begun = poll_fn(|cx| Poll::Ready(nop.as_mut().poll(cx))).await;
    if corering::test_support::current_driver() == Driver::Epoll {
        assert!(begun.is_ready(), "it is a plain call there");
        return Ok(());
    }
    assert!(begun.is_pending());
    while corering::metrics().operations_in_flight > 0 {
        yield_now().await;
    }
    let count = Cell::new(0);
    assert_eq!(counted_in_one_poll(thousand(&count), &count).await, (false, 128));
    assert!(poll_fn(|cx| Poll::Ready(nop.as_mut().poll(cx).is_ready())).await);
    Ok(())
}

#[corering::test]
async fn channel_hands_over_far_more_than_one_poll_may_take() {
    let (sender, mut receiver) = channel::unbounded();
    let sum = corering::spawn(async move {
        let mut sum = 0;
        while let Some(number) = receiver.recv().await {
            sum += number;
        }
        sum
    });
    for number in 0..10_000_u64 {
        sender.send(number).await.expect("the receiver is there");
    }
    drop(sender);
    assert_eq!(sum.await.expect("it does not panic"), 49_995_000);
}

#[corering::test]
async fn limited_operation_that_was_refused_loses_nothing() -> io::Result<()> {
    let received = Rc::new(Cell::new(0_u64));
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let mut ours = corering::net::UnixStream::from(std::os::fd::OwnedFd::from(ours));
    std::io::Write::write_all(&mut &theirs, &[7; 1_000])?;
    drop(theirs);
    loop {
        let read = within(Duration::from_nanos(1), ours.read(Vec::with_capacity(1))).await;
        match read {
            Ok((0, _)) => break,
            Ok((count, _)) => received.set(received.get() + count as u64),
            Err(failed) if failed.kind() == io::ErrorKind::TimedOut => {}
            Err(failed) => return Err(failed.into()),
        }
    }
    assert_eq!(received.get(), 1_000);
    Ok(())
}

#[corering::test]
async fn bytes_that_came_without_budget_are_received_next() -> io::Result<()> {
    let listener = corering::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut peer = std::net::TcpStream::connect(listener.local_addr()?)?;
    let mut stream = listener.accept().await?;
    // Arms the receive; what comes waits with the stream.
    assert!(poll_fn(|cx| Poll::Ready(pin!(stream.recv()).poll(cx).is_pending())).await);
    std::io::Write::write_all(&mut peer, b"hello")?;
    drop(peer);
    for _ in 0..10 {
        corering::io::nop().await?;
    }
    let count = Cell::new(0);
    assert!(!counted_in_one_poll(thousand(&count), &count).await.0, "nothing is left");
    // Given up at once, refused or not.
    let received = poll_fn(|cx| Poll::Ready(pin!(stream.recv()).poll(cx))).await;
    let bytes = match received {
        Poll::Ready(bytes) => bytes?,
        Poll::Pending => stream.recv().await?,
    };
    assert_eq!(bytes[..], *b"hello");
    Ok(())
}
