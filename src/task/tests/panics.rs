//! Panics of the user's code: in a poll, in a Drop, in a waker. The shard lives on.

use std::panic::panic_any;

use super::*;

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in a Drop");
    }
}

/// A value whose Drop panics with a payload whose Drop panics, and so on.
struct PanicsForEver;

impl Drop for PanicsForEver {
    fn drop(&mut self) {
        panic_any(PanicsForEver);
    }
}

fn is_alive(shard: &Shard) -> bool {
    shard.scheduler.live_tasks() == 0 && shard.block_on(async { spawn(async {}).await }).is_ok()
}

#[test]
fn a_panic_in_a_poll_is_reported_with_its_payload() {
    let shard = Shard::new();
    let error = shard.block_on(async { spawn(async { panic_any(42_u8) }).await }).unwrap_err();
    assert!(error.is_panic() && !error.is_cancelled());
    assert_eq!(error.into_panic().downcast_ref(), Some(&42_u8));
    assert!(is_alive(&shard));
}

#[test]
fn a_panicked_future_is_dropped_at_once() {
    struct Panics(#[expect(dead_code, reason = "held for its Drop")] Tracked);
    impl Future for Panics {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            panic!("in a poll");
        }
    }
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let handle = shard.scheduler.spawn(Panics(Tracked::new(&drops)));
    shard.run_all();
    assert_eq!(drops.get(), 1);
    assert!(shard.block_on(handle).unwrap_err().is_panic());
}

#[test]
fn the_error_of_a_panic_says_its_message() {
    let shard = Shard::new();
    let error = |future: Pin<Box<dyn Future<Output = ()>>>| {
        shard.block_on(async { spawn(future).await }).unwrap_err()
    };
    let text = error(Box::pin(async { panic!("plain") }));
    assert_eq!(text.to_string(), "the task panicked: plain");
    assert_eq!(format!("{text:?}"), r#"JoinError::Panicked(Some("plain"))"#);
    let formatted = error(Box::pin(async { panic!("number {}", 1) }));
    assert_eq!(formatted.to_string(), "the task panicked: number 1");
    assert_eq!(error(Box::pin(async { panic_any(1) })).to_string(), "the task panicked");

    let io: std::io::Error = formatted.into();
    assert_eq!(io.to_string(), "the task panicked: number 1");
    let cancelled = JoinError::cancelled(None);
    assert_eq!(cancelled.to_string(), "the task was cancelled");
    let _: Box<dyn std::error::Error + Send + Sync> = cancelled.into();
}

#[test]
fn a_panic_of_a_detached_task_ends_only_that_task() {
    let shard = Shard::new();
    drop(shard.scheduler.spawn(async { panic_any(PanicsForEver) }));
    shard.run_all();
    assert!(is_alive(&shard));
}

#[test]
fn an_output_whose_drop_panics_leaves_the_shard_alive() {
    let shard = Shard::new();
    let abandoned = shard.scheduler.spawn(async { PanicsInDrop });
    drop(shard.scheduler.spawn(async { PanicsInDrop }));
    drop(shard.scheduler.spawn(async { PanicsForEver }));
    shard.run_all();
    drop(abandoned);
    assert!(is_alive(&shard));
}

/// Is ready in its second poll, and panics when it is dropped.
struct Grumpy {
    polls: usize,
    _panics: PanicsInDrop,
}

impl Grumpy {
    fn new() -> Self {
        Grumpy { polls: 0, _panics: PanicsInDrop }
    }
}

impl Future for Grumpy {
    type Output = usize;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        self.polls += 1;
        context.waker().wake_by_ref();
        if self.polls == 2 { Poll::Ready(2) } else { Poll::Pending }
    }
}

#[test]
fn a_ready_future_whose_drop_panics_keeps_its_output() {
    let shard = Shard::new();
    let handle = shard.scheduler.spawn(Grumpy::new());
    assert_eq!(shard.block_on(handle).unwrap(), 2);
    assert!(is_alive(&shard));
}

#[test]
fn an_aborted_future_whose_drop_panics_reports_the_panic() {
    let shard = Shard::new();
    let handle = shard.scheduler.spawn(Grumpy::new());
    handle.abort();
    let error = shard.block_on(handle).unwrap_err();
    assert_eq!(error.to_string(), "the task panicked: in a Drop");
    assert!(is_alive(&shard));
}

#[test]
fn futures_whose_drop_panics_do_not_stop_the_shutdown() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let held = Tracked::new(&drops);
        drop(shard.scheduler.spawn(async move {
            let _held = held;
            Grumpy::new().await;
        }));
        drop(shard.scheduler.spawn(Grumpy::new()));
    }
    assert_eq!(shard.scheduler.run(&mut Allowance::of_polls(4)), 4);
    drop(shard);
    assert_eq!(drops.get(), 3);
}

#[test]
fn a_payload_whose_drop_panics_for_ever_is_given_up() {
    let shard = Shard::new();
    let handle = shard.scheduler.spawn(async { panic_any(PanicsForEver) });
    shard.run_all();
    drop(handle);
    assert!(is_alive(&shard));
}

#[test]
fn a_join_waker_that_panics_leaves_the_shard_alive() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in a wake");
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic!("in a waker's Drop");
            }
        }
    }
    let shard = Shard::new();
    let mut handles: Vec<_> = (0..2).map(|_| shard.scheduler.spawn(async {})).collect();
    for handle in &mut handles {
        let waker = std::mem::ManuallyDrop::new(Waker::from(Arc::new(Panics)));
        assert!(Pin::new(handle).poll(&mut Context::from_waker(&waker)).is_pending());
        // The handle's clone is the last one that is counted.
        // SAFETY: the waker came from an `Arc<Panics>`, whose address is its data; it is not used
        // again.
        unsafe { Arc::decrement_strong_count(waker.data().cast::<Panics>()) };
    }
    // One waker is woken, the other is dropped with its handle.
    drop(handles.pop());
    shard.run_all();
    assert!(handles.pop().unwrap().is_finished());
    assert!(is_alive(&shard));
}

#[test]
fn a_handle_dropped_while_unwinding_does_not_abort_the_process() {
    let shard = Shard::new();
    let error = shard.block_on(async {
        let outer = spawn(async {
            let finished = spawn(async { PanicsInDrop });
            yield_now().await;
            assert!(finished.is_finished());
            let _running = spawn(pending::<()>());
            let _aborts = JoinSet::from_task(pending::<()>());
            panic!("with handles on the stack");
        });
        outer.await.unwrap_err()
    });
    assert_eq!(error.to_string(), "the task panicked: with handles on the stack");
}

impl<T: 'static> JoinSet<T> {
    fn from_task(future: impl Future<Output = T> + 'static) -> Self {
        let mut set = JoinSet::new();
        set.spawn(future);
        set
    }
}

#[test]
#[should_panic(expected = "the task was cancelled, it did not panic")]
fn into_panic_of_a_cancelled_task_panics() {
    drop(JoinError::cancelled(None).into_panic());
}
