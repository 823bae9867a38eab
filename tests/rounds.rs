//! What makes a round: when the kernel is visited, and when the main future goes on without a visit.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::rc::Rc;

use corering::{metrics, spawn, task, yield_now};

#[corering::test]
async fn spawn_and_join_need_no_visit_to_the_kernel() -> io::Result<()> {
    yield_now().await;
    let before = metrics();
    for _ in 0..20 {
        spawn(async {}).await?;
    }
    let after = metrics();
    assert_eq!((after.rounds, after.enters), (before.rounds, before.enters));
    // A round has its end all the same.
    for _ in 0..200 {
        spawn(async {}).await?;
    }
    assert!(metrics().rounds > before.rounds);
    Ok(())
}

#[corering::test]
async fn each_yield_of_the_main_future_is_a_round() -> io::Result<()> {
    let before = metrics().rounds;
    for _ in 0..20 {
        yield_now().await;
    }
    assert_eq!(metrics().rounds, before + 20);
    Ok(())
}

#[test]
fn task_that_its_runtime_drops_knows_its_number() {
    struct Asks(Rc<Cell<Option<task::Id>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.set(task::try_id());
        }
    }
    let seen = Rc::new(Cell::new(None));
    let runtime = corering::Runtime::builder().build().unwrap();
    let asks = Asks(seen.clone());
    let id = runtime.block_on(async {
        let task = spawn(async move {
            let _asks = asks;
            pending::<()>().await;
        });
        yield_now().await;
        task.id()
    });
    drop(runtime);
    assert_eq!(seen.get(), Some(id));
    assert_eq!(task::try_id(), None);
}
