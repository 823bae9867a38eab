//! How workers start, and what is no worker.

use std::io;
use std::time::Duration;

use corering::process::{CallError, Pool};
use corering::test_support::run_configured;
use corering::time::timeout;

use crate::functions::{FUNCTIONS, descriptors, echo, pid, pool};
use crate::processes::{children, no_child_is_left, on_both_drivers, threads, until};

pub(crate) fn warm_up_starts_all(name: &str) {
    on_both_drivers(name, async || {
        let pool = Pool::builder(FUNCTIONS).workers(3).build()?;
        assert_eq!(children(), [0; 0]);
        pool.warm_up().await?;
        let workers = children();
        assert_eq!(workers.len(), 3);
        pool.warm_up().await?;
        assert!(workers.contains(&pool.call(pid, ()).await?));
        assert_eq!(children(), workers);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn dropped_warm_up_kills(name: &str) {
    on_both_drivers(name, async || {
        let pool = Pool::builder(FUNCTIONS).workers(3).build()?;
        for limit_us in [0, 500, 5_000] {
            let _ = timeout(Duration::from_micros(limit_us), pool.warm_up()).await;
        }
        pool.warm_up().await?;
        until("three are left", || children().len() == 3).await;
        assert_eq!(pool.call(echo, "text".to_owned()).await?, "text");
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn works_after_threads_ended(name: &str) {
    let soon = Duration::from_millis(1);
    run_configured(
        name,
        None,
        |builder| builder.blocking_keep_alive(soon),
        async || {
            let before = threads();
            let pool = Pool::builder(FUNCTIONS).workers(2).build()?;
            pool.warm_up().await?;
            let workers = children();
            until("the threads that started the workers have ended", || threads() == before).await;
            assert_eq!(children(), workers);
            assert!(workers.contains(&pool.call(pid, ()).await?));
            pool.shutdown().await;
            Ok::<(), io::Error>(())
        },
    );
}

pub(crate) fn children_inherit_nothing(name: &str) {
    on_both_drivers(name, async || {
        let pool = Pool::builder(FUNCTIONS).workers(2).build()?;
        pool.warm_up().await?;
        // What any child gets; a worker has its connection and its lifeline, too.
        let (_, plain) = descriptors(());
        assert_eq!(pool.call(descriptors, ()).await?, (plain + 2, plain));
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn no_pool_in_a_worker(name: &str) {
    on_both_drivers(name, async || {
        let of_worker = Pool::builder(FUNCTIONS).workers(1).build()?;
        let answer = of_worker.call(pool, ()).await?;
        assert!(answer.contains("cannot have a pool of its own"), "{answer}");
        Ok::<(), io::Error>(())
    });
}

/// The sentence about a child that was started, and none is left.
async fn refusal(pool: &Pool) -> String {
    let mut sentences = Vec::new();
    for _ in 0..2 {
        match pool.call(pid, ()).await {
            Err(CallError::NotAWorker(sentence)) => sentences.push(sentence),
            outcome => panic!("it is no worker: {outcome:?}"),
        }
    }
    no_child_is_left().await;
    assert_eq!(sentences[0], sentences[1]);
    sentences.swap_remove(0)
}

const WHAT_TO_DO: &str = "has to begin with `corering::process::worker(FUNCTIONS)`";

pub(crate) fn child_ends(name: &str) {
    on_both_drivers(name, async || {
        let sentence = refusal(&Pool::new(FUNCTIONS)?).await;
        assert!(sentence.contains("it ended with exit status: 9"), "{sentence}");
        assert!(sentence.contains(WHAT_TO_DO), "{sentence}");
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn child_is_silent(name: &str) {
    on_both_drivers(name, async || {
        let limit = Duration::from_millis(200);
        let sentence = refusal(&Pool::builder(FUNCTIONS).start_limit(limit).build()?).await;
        assert!(sentence.contains("it said nothing for 200ms"), "{sentence}");
        assert!(sentence.contains(WHAT_TO_DO), "{sentence}");
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn child_makes_a_pool(name: &str) {
    on_both_drivers(name, async || {
        let sentence = refusal(&Pool::new(FUNCTIONS)?).await;
        assert!(sentence.contains("exit status: 11"), "{sentence}");
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn other_functions(name: &str) {
    on_both_drivers(name, async || {
        let sentence = refusal(&Pool::new(FUNCTIONS)?).await;
        assert!(sentence.contains("the worker has other functions than the pool"), "{sentence}");
        Ok::<(), io::Error>(())
    });
}
