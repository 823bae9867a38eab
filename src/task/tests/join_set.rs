//! Sets of tasks.

use super::*;

#[test]
fn a_join_set_gives_outputs_in_the_order_of_completion() {
    let shard = Shard::new();
    shard.block_on(async {
        let mut set = JoinSet::new();
        for yields in [3, 1, 2] {
            set.spawn(async move {
                for _ in 0..yields {
                    yield_now().await;
                }
                yields
            });
        }
        assert_eq!(set.len(), 3);
        for yields in 1..=3 {
            assert_eq!(set.join_next().await.unwrap().unwrap(), yields);
        }
        assert!(set.is_empty());
        assert!(set.join_next().await.is_none());
    });
}

#[test]
fn a_join_set_reports_aborted_and_panicked_tasks() {
    let shard = Shard::new();
    shard.block_on(async {
        let mut set = JoinSet::<()>::new();
        set.spawn(pending());
        set.spawn(pending()).abort();
        set.spawn(async { panic!("of a set") });
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert!(set.join_next().await.unwrap().unwrap_err().is_panic());
        set.abort_all();
        assert_eq!(set.len(), 1);
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert!(set.is_empty());
    });
}

#[test]
fn a_dropped_join_set_aborts_its_tasks() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    shard.block_on(async {
        let mut set = JoinSet::new();
        for _ in 0..3 {
            let held = Tracked::new(&drops);
            set.spawn(async move {
                let _held = held;
                pending::<()>().await;
            });
        }
        yield_now().await;
        drop(set);
    });
    shard.run_all();
    assert_eq!(drops.get(), 3);
    assert_eq!(shard.scheduler.live_tasks(), 0);
}

#[test]
fn a_join_next_that_is_given_up_loses_nothing() {
    let shard = Shard::new();
    shard.block_on(async {
        let mut set = JoinSet::new();
        set.spawn(async {
            yield_now().await;
            7
        });
        let mut given_up = Box::pin(set.join_next());
        let first = poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context).is_pending()));
        assert!(first.await);
        drop(given_up);
        assert_eq!(set.join_next().await.unwrap().unwrap(), 7);
    });
}
