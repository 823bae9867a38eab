//! The end of a scheduler: every future is dropped, on its shard, whatever its Drop does.

use super::*;

#[test]
fn the_end_of_the_scheduler_drops_every_future() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let handles: Vec<_> = (0..100)
        .map(|_| {
            let held = Tracked::new(&drops);
            shard.scheduler.spawn(async move {
                let _held = held;
                pending::<()>().await
            })
        })
        .collect();
    // Some idle, some queued again, some never polled.
    assert_eq!(shard.scheduler.run(&mut Allowance::of_polls(50)), 50);
    assert_eq!(shard.scheduler.live_tasks(), 100);
    drop(shard);
    assert_eq!(drops.get(), 100);
    assert!(handles.iter().all(JoinHandle::is_finished));

    let other = Shard::new();
    for handle in handles {
        assert!(other.block_on(handle).unwrap_err().is_cancelled());
    }
}

#[test]
fn cancel_all_leaves_a_scheduler_that_works() {
    let shard = Shard::new();
    let queued = shard.scheduler.spawn(async {});
    let idle = shard.scheduler.spawn(pending::<()>());
    shard.scheduler.run(&mut Allowance::of_polls(1));
    shard.scheduler.cancel_all();
    assert!(!shard.scheduler.has_ready());
    assert_eq!(shard.scheduler.live_tasks(), 0);
    assert!(queued.is_finished() && idle.is_finished());
    assert!(shard.block_on(async { spawn(async {}).await }).is_ok());
}

#[test]
fn tasks_are_dropped_in_the_order_of_spawning() {
    struct Named(usize, Rc<RefCell<Vec<usize>>>);
    impl Drop for Named {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }
    let shard = Shard::new();
    let order: Rc<RefCell<Vec<usize>>> = Rc::default();
    for name in 0..4 {
        let named = Named(name, Rc::clone(&order));
        drop(shard.scheduler.spawn(async move {
            let _named = named;
            pending::<()>().await
        }));
    }
    drop(shard);
    assert_eq!(*order.borrow(), [0, 1, 2, 3]);
}

/// Spawns, when it is dropped, a task that holds one with a generation less.
struct Respawns {
    generation: usize,
    _held: Tracked,
    drops: Rc<Cell<usize>>,
}

impl Respawns {
    fn new(generation: usize, drops: &Rc<Cell<usize>>) -> Self {
        Respawns { generation, _held: Tracked::new(drops), drops: Rc::clone(drops) }
    }
}

impl Drop for Respawns {
    fn drop(&mut self) {
        if self.generation == 0 {
            return;
        }
        let next = Respawns::new(self.generation - 1, &self.drops);
        drop(spawn(async move {
            let _next = next;
            pending::<()>().await
        }));
    }
}

#[test]
fn cancel_all_also_drops_tasks_that_are_spawned_by_a_drop() {
    let shard = Shard::new();
    let _entered = shard.scheduler.enter();
    let drops = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let respawns = Respawns::new(4, &drops);
        drop(spawn(async move {
            let _respawns = respawns;
            pending::<()>().await
        }));
    }
    shard.run_all();
    shard.scheduler.cancel_all();
    assert_eq!(drops.get(), 3 * 5);
    assert_eq!(shard.scheduler.live_tasks(), 0);
    assert!(!shard.scheduler.has_ready());
}

#[test]
fn a_drop_that_wakes_and_aborts_other_tasks_is_harmless() {
    struct Meddles(Rc<RefCell<Vec<(AbortHandle, Waker)>>>);
    impl Drop for Meddles {
        fn drop(&mut self) {
            for (abort, waker) in self.0.borrow().iter() {
                abort.abort();
                waker.wake_by_ref();
            }
        }
    }
    let shard = Shard::new();
    let _entered = shard.scheduler.enter();
    let others: Rc<RefCell<Vec<_>>> = Rc::default();
    for _ in 0..4 {
        let meddles = Meddles(Rc::clone(&others));
        let slot = Rc::default();
        let waits = publish_waker(&slot);
        let handle = spawn(async move {
            let _meddles = meddles;
            waits.await
        });
        shard.run_all();
        let waker = slot.borrow_mut().take().unwrap();
        others.borrow_mut().push((handle.abort_handle(), waker));
    }
    shard.scheduler.cancel_all();
    assert_eq!(shard.scheduler.live_tasks(), 0);
    assert!(!shard.scheduler.has_ready());
    others.borrow_mut().clear();
}

#[test]
fn a_task_that_calls_cancel_all_ends_after_its_poll() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let (held, idle) = (Tracked::new(&drops), Tracked::new(&drops));
    let caller = shard.scheduler.spawn(async move {
        let held = held;
        yield_now().await;
        Scheduler::current().unwrap().cancel_all();
        assert_eq!(held.drops.get(), 1, "the other task is gone, this one is not");
        pending::<()>().await
    });
    drop(shard.scheduler.spawn(async move {
        let _idle = idle;
        pending::<()>().await
    }));
    assert!(shard.block_on(caller).unwrap_err().is_cancelled());
    assert_eq!(drops.get(), 2);
}

#[test]
fn an_awaiter_that_is_cancelled_with_its_task_is_not_woken_into_nothing() {
    let shard = Shard::new();
    let awaited = shard.scheduler.spawn(pending::<()>());
    let awaiter = shard.scheduler.spawn(async move { awaited.await.unwrap_err() });
    shard.run_all();
    drop(shard);
    assert!(awaiter.is_finished());
}

#[test]
fn use_of_handles_and_wakers_after_the_end_does_nothing() {
    let shard = Shard::new();
    let slot = Rc::default();
    let handle = shard.scheduler.spawn(publish_waker(&slot));
    shard.run_all();
    let root = shard.scheduler.root_waker();
    drop(shard);
    let waker = slot.borrow_mut().take().unwrap();
    waker.wake_by_ref();
    waker.clone().wake();
    root.wake();
    handle.abort();
    assert!(handle.is_finished());
    drop(waker);
    drop(handle);
}

#[test]
fn a_shard_that_ends_with_its_thread_drops_in_thread_locals_too() {
    thread_local! {
        static LATE: RefCell<Option<(JoinHandle<()>, Waker)>> = const { RefCell::new(None) };
    }
    thread::spawn(|| {
        let shard = Shard::new();
        let slot = Rc::default();
        let handle = shard.scheduler.spawn(publish_waker(&slot));
        shard.run_all();
        let waker = slot.borrow_mut().take().unwrap();
        LATE.set(Some((handle, waker)));
    })
    .join()
    .unwrap();
}
