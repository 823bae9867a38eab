//! Abort in every state of a task.

use super::*;

/// A task that holds a tracked value and waits for ever.
fn waiting(shard: &Shard, drops: &Rc<Cell<usize>>) -> JoinHandle<()> {
    let held = Tracked::new(drops);
    shard.scheduler.spawn(async move {
        let _held = held;
        pending().await
    })
}

#[test]
fn abort_of_a_queued_task_drops_it_unpolled() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let polled = Rc::new(Cell::new(false));
    let (held, flag) = (Tracked::new(&drops), Rc::clone(&polled));
    let handle = shard.scheduler.spawn(async move {
        let _held = held;
        flag.set(true);
    });
    handle.abort();
    assert_eq!(drops.get(), 0, "no user code runs within abort");
    assert!(shard.block_on(handle).unwrap_err().is_cancelled());
    assert_eq!((drops.get(), polled.get()), (1, false));
}

#[test]
fn abort_of_an_idle_task_drops_its_future_on_the_next_run() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let handle = waiting(&shard, &drops);
    shard.run_all();
    handle.abort();
    handle.abort();
    assert_eq!((drops.get(), handle.is_finished()), (0, false));
    shard.run_all();
    assert_eq!((drops.get(), handle.is_finished()), (1, true));
    assert!(shard.block_on(handle).unwrap_err().is_cancelled());
}

#[test]
fn abort_of_a_finished_task_keeps_its_output() {
    let shard = Shard::new();
    let handle = shard.scheduler.spawn(async { 1 });
    shard.run_all();
    handle.abort();
    assert_eq!(shard.block_on(handle).unwrap(), 1);
}

/// A task that aborts itself in its first poll, and then goes on as `then` says.
fn self_aborting<F: Future + 'static>(shard: &Shard, then: F) -> JoinHandle<F::Output> {
    let slot: Rc<RefCell<Option<AbortHandle>>> = Rc::default();
    let own = Rc::clone(&slot);
    let handle = shard.scheduler.spawn(async move {
        own.borrow().as_ref().unwrap().abort();
        then.await
    });
    *slot.borrow_mut() = Some(handle.abort_handle());
    handle
}

#[test]
fn a_task_that_aborts_itself_and_waits_is_cancelled() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let held = Tracked::new(&drops);
    let handle = self_aborting(&shard, async move {
        let _held = held;
        pending::<()>().await
    });
    assert!(shard.block_on(handle).unwrap_err().is_cancelled());
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_task_that_aborts_itself_and_completes_keeps_its_output() {
    let shard = Shard::new();
    let handle = self_aborting(&shard, async { 5 });
    assert_eq!(shard.block_on(handle).unwrap(), 5);
}

#[test]
fn a_task_that_aborts_itself_and_yields_is_not_polled_again() {
    let shard = Shard::new();
    let went_on = Rc::new(Cell::new(false));
    let flag = Rc::clone(&went_on);
    let handle = self_aborting(&shard, async move {
        yield_now().await;
        flag.set(true);
    });
    assert!(shard.block_on(handle).unwrap_err().is_cancelled());
    assert!(!went_on.get());
}

#[test]
fn a_future_that_aborts_and_wakes_its_own_task_in_drop_is_dropped_once() {
    struct Meddler {
        own: Rc<RefCell<Option<AbortHandle>>>,
        waker: Rc<RefCell<Option<Waker>>>,
        _held: Tracked,
    }
    impl Future for Meddler {
        type Output = ();
        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        }
    }
    impl Drop for Meddler {
        fn drop(&mut self) {
            self.own.borrow().as_ref().unwrap().abort();
            self.waker.borrow_mut().take().unwrap().wake();
            Scheduler::current().unwrap().cancel_all();
        }
    }
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let own = Rc::default();
    let meddler =
        Meddler { own: Rc::clone(&own), waker: Rc::default(), _held: Tracked::new(&drops) };
    let handle = shard.scheduler.spawn(meddler);
    *own.borrow_mut() = Some(handle.abort_handle());
    shard.run_all();
    handle.abort();
    assert!(shard.block_on(handle).unwrap_err().is_cancelled());
    assert_eq!(drops.get(), 1);
    assert!(!shard.scheduler.has_ready());
}

#[test]
fn a_task_that_holds_its_own_handle_does_not_leak() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let slot: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let (own, held) = (Rc::clone(&slot), Tracked::new(&drops));
    let handle = shard.scheduler.spawn(async move {
        let _held = held;
        let own = own.borrow_mut().take().unwrap();
        own.await.unwrap();
    });
    *slot.borrow_mut() = Some(handle);
    shard.run_all();
    assert_eq!(drops.get(), 0);
    shard.scheduler.cancel_all();
    assert_eq!(drops.get(), 1);
}

#[test]
fn abort_handles_outlive_the_task_and_its_handle() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let handle = waiting(&shard, &drops);
    let abort = handle.abort_handle().clone();
    drop(handle);
    shard.run_all();
    assert!(!abort.is_finished());
    abort.abort();
    shard.run_all();
    assert!(abort.is_finished());
    drop(shard);
    abort.abort();
    assert_eq!(drops.get(), 1);
}

#[test]
fn an_abort_outside_the_runtime_takes_effect_in_the_next_run() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let handle = waiting(&shard, &drops);
    shard.run_all();
    assert!(Scheduler::current().is_none());
    handle.abort();
    assert!(shard.block_on(handle).unwrap_err().is_cancelled());
}

#[test]
fn the_awaiter_of_an_aborted_task_is_woken() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let handle = waiting(&shard, &drops);
    let abort = handle.abort_handle();
    shard.block_on(async {
        let awaiter = spawn(handle);
        yield_now().await;
        abort.abort();
        assert!(awaiter.await.unwrap().unwrap_err().is_cancelled());
    });
}
