//! What is tokio's takes nothing from the budget of a task, unless it is under `task::cooperative`.

use std::cell::Cell;
use std::rc::Rc;

use corering::task::cooperative;
use corering::{spawn, yield_now};
use tokio::sync::{Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Far more than a task may begin in one poll.
const ROUNDS: usize = 1000;

/// How many turns another task has while a loop awaits what is always ready.
async fn turns_of_another(mut once: impl AsyncFnMut()) -> usize {
    let turns = Rc::new(Cell::new(0));
    let counted = turns.clone();
    let other = spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    for _ in 0..ROUNDS {
        once().await;
    }
    other.abort();
    turns.get()
}

/// Loops by itself, and under `cooperative`.
async fn starves_others_unless_cooperative(name: &str, mut once: impl AsyncFnMut()) {
    assert_eq!(turns_of_another(&mut once).await, 0, "{name} pays by itself: say so in the page");
    let turns = turns_of_another(async || cooperative(once()).await).await;
    assert!(turns >= ROUNDS / 128, "{name}: another had {turns} turns");
}

#[corering::test]
async fn channels_of_tokio_starve_others_unless_cooperative() {
    let (sender, mut receiver) = mpsc::channel(1);
    starves_others_unless_cooperative("mpsc", async || {
        sender.send(1).await.expect("it is open");
        assert_eq!(receiver.recv().await, Some(1));
    })
    .await;
    let (sender, mut receiver) = broadcast::channel(1);
    starves_others_unless_cooperative("broadcast", async || {
        sender.send(1).expect("there is a receiver");
        assert_eq!(receiver.recv().await, Ok(1));
    })
    .await;
    let (sender, mut receiver) = watch::channel(0);
    starves_others_unless_cooperative("watch", async || {
        sender.send_modify(|value| *value += 1);
        receiver.changed().await.expect("it is open");
        assert_eq!(*receiver.borrow(), *sender.borrow());
    })
    .await;
    starves_others_unless_cooperative("oneshot", async || {
        let (sender, receiver) = oneshot::channel();
        sender.send(1).expect("there is a receiver");
        assert_eq!(receiver.await, Ok(1));
    })
    .await;
}

#[corering::test]
async fn locks_of_tokio_starve_others_unless_cooperative() {
    let lock = RwLock::new(());
    starves_others_unless_cooperative("RwLock", async || {
        drop(lock.read().await);
        drop(lock.write().await);
    })
    .await;
    let mutex = Mutex::new(());
    starves_others_unless_cooperative("Mutex", async || drop(mutex.lock().await)).await;
    let semaphore = Semaphore::new(1);
    starves_others_unless_cooperative("Semaphore", async || drop(semaphore.acquire().await)).await;
    let notify = Notify::new();
    starves_others_unless_cooperative("Notify", async || {
        notify.notify_one();
        notify.notified().await;
    })
    .await;
    let cell = OnceCell::new();
    starves_others_unless_cooperative("OnceCell", async || {
        assert_eq!(*cell.get_or_init(async || 1).await, 1);
    })
    .await;
    let barrier = Barrier::new(1);
    starves_others_unless_cooperative("Barrier", async || {
        assert!(barrier.wait().await.is_leader());
    })
    .await;
}
