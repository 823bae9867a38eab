//! What a dropped wait of tokio's leaves behind: the page has a row of each.

use std::pin::pin;

use corering::time::{Duration, timeout};
use futures_util::poll;
use tokio::sync::{Barrier, OnceCell, RwLock, broadcast, watch};

/// Polls a future once, finds it waiting, and drops it.
async fn drop_waiting(future: impl Future) {
    assert!(timeout(Duration::ZERO, future).await.is_err(), "it should have had to wait");
}

#[corering::test]
async fn dropped_receives_of_tokio_lose_no_value() {
    let (sender, mut receiver) = broadcast::channel(4);
    drop_waiting(receiver.recv()).await;
    {
        let mut receive = pin!(receiver.recv());
        assert!(poll!(receive.as_mut()).is_pending());
        sender.send(1).expect("there is a receiver");
    }
    assert_eq!(receiver.recv().await, Ok(1));

    let (sender, mut receiver) = watch::channel(0);
    drop_waiting(receiver.changed()).await;
    {
        let mut change = pin!(receiver.changed());
        assert!(poll!(change.as_mut()).is_pending());
        sender.send(1).expect("there is a receiver");
    }
    receiver.changed().await.expect("the change is not marked as seen");
    assert_eq!(*receiver.borrow(), 1);
}

#[corering::test]
async fn dropped_waits_for_locks_of_tokio_let_others_in() {
    let lock = RwLock::new(0);
    let reading = lock.read().await;
    {
        let mut write = pin!(lock.write());
        assert!(poll!(write.as_mut()).is_pending());
        // Who comes later stands behind the writer.
        drop_waiting(lock.read()).await;
    }
    assert_eq!(*lock.read().await, 0);
    drop(reading);
    *lock.write().await += 1;

    let cell = OnceCell::new();
    drop_waiting(cell.get_or_init(std::future::pending)).await;
    assert_eq!(cell.get_or_init(async || 1).await, &1);
}

#[corering::test]
async fn dropped_wait_at_barrier_counts_all_the_same() {
    let barrier = Barrier::new(2);
    drop_waiting(barrier.wait()).await;
    assert!(barrier.wait().await.is_leader());
    drop_waiting(barrier.wait()).await;
}
