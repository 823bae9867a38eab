//! rayon beside the shards: its threads divide the work, and a shard awaits what comes of it.

use std::io;

use corering::task::ThreadPool;
use corering::{shard_channel, spawn, yield_now};
use rayon::prelude::*;

fn squares(end: u64) -> u64 {
    (1..=end).into_par_iter().map(|number| number * number).sum()
}

#[corering::test]
async fn shard_goes_on_while_rayon_computes() -> io::Result<()> {
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let (sender, mut receiver) = shard_channel();
    rayon::spawn(move || {
        goes_on.recv().expect("the shard goes on");
        let _ = sender.send(squares(1_000));
    });
    let others = spawn(async move {
        yield_now().await;
        go_on.send(()).expect("rayon waits for it");
    });
    assert_eq!(receiver.recv().await, Some(333_833_500));
    assert_eq!(receiver.recv().await, None, "rayon has dropped the sender");
    others.await?;
    Ok(())
}

#[corering::test]
async fn many_results_of_rayon_come_through_one_channel() -> io::Result<()> {
    let (sender, mut receiver) = shard_channel();
    rayon::spawn(move || {
        (1..=1_000_u64).into_par_iter().for_each(|number| {
            let _ = sender.send(number);
        });
    });
    let mut sum = 0;
    while let Some(number) = receiver.recv().await {
        sum += number;
    }
    assert_eq!(sum, 500_500);
    Ok(())
}

#[corering::test]
async fn dropped_receiver_is_seen_by_rayon() -> io::Result<()> {
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let (sender, receiver) = shard_channel();
    let (told, mut hears) = shard_channel();
    rayon::spawn(move || {
        goes_on.recv().expect("the shard goes on");
        let _ = told.send(sender.send(squares(10)).is_err());
    });
    drop(receiver);
    go_on.send(()).expect("rayon waits for it");
    assert_eq!(hears.recv().await, Some(true));
    Ok(())
}

#[corering::test]
async fn closure_of_thread_pool_uses_rayon() -> io::Result<()> {
    let own = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    let own = own.map_err(io::Error::other)?;
    let pool = ThreadPool::new(1);
    let sum = pool.run(move || own.install(|| squares(1_000)));
    assert_eq!(sum.await?, 333_833_500);
    let panicked =
        pool.run(|| (0..10).into_par_iter().for_each(|number| assert!(number < 5))).await;
    assert!(panicked.expect_err("one of them fails").is_panic());
    Ok(())
}
