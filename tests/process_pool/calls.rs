//! What a call gives.

use std::io;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::{cell::RefCell, env};

use corering::Runtime;
use corering::process::{CallError, Pool};
use futures_util::future::{Either, select};

use crate::functions::{
    BY_CALLER, BY_WORKER, FUNCTIONS, IN_ANSWER, IN_REQUEST, NOWHERE, Refused, echo, panics, pid,
    prints, repeated, unlisted, unsent, waits,
};
use crate::processes::{Gate, on_both_drivers};

fn one_worker() -> io::Result<Pool> {
    Pool::builder(FUNCTIONS).workers(1).build()
}

pub(crate) fn run_beside_each_other(name: &str) {
    on_both_drivers(name, async || {
        let pool = Rc::new(Pool::builder(FUNCTIONS).workers(2).build()?);
        let mut gate = Gate::new().await?;
        let begin = || {
            let (pool, path) = (pool.clone(), gate.path());
            corering::spawn(async move { pool.call(waits, path).await })
        };
        let (one, other) = (begin(), begin());
        // Both have begun, and neither ends before it is let.
        let (first, second) = (gate.begun().await?, gate.begun().await?);
        assert_ne!(first.1, second.1);
        assert!(![first.1, second.1].contains(&std::process::id()));
        drop((first, second));
        assert_ne!(one.await??, other.await??);
        assert_eq!(pool.call(echo, "text".to_owned()).await?, "text");
        pool.shutdown().await;
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn have_their_turn_in_order(name: &str) {
    on_both_drivers(name, async || {
        let pool = Rc::new(one_worker()?);
        let mut gate = Gate::new().await?;
        let (first, path) = (pool.clone(), gate.path());
        let first = corering::spawn(async move { first.call(waits, path).await });
        let (stream, _) = gate.begun().await?;
        let ended = Rc::<RefCell<Vec<String>>>::default();
        let calls: Vec<_> = (0..20)
            .map(|number| {
                let (pool, ended) = (pool.clone(), ended.clone());
                corering::spawn(async move {
                    let text = pool.call(echo, format!("{number}")).await?;
                    ended.borrow_mut().push(text);
                    Ok::<(), CallError>(())
                })
            })
            .collect();
        corering::yield_now().await;
        assert!(ended.borrow().is_empty(), "the only worker is busy");
        drop(stream);
        for call in calls {
            call.await??;
        }
        first.await??;
        let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        assert_eq!(*ended.borrow(), expected);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn panic_is_an_error(name: &str) {
    on_both_drivers(name, async || {
        let pool = one_worker()?;
        let worker = pool.call(pid, ()).await?;
        let panicked = pool.call(panics, "no such luck".to_owned()).await;
        assert!(matches!(&panicked, Err(CallError::Panicked(it)) if it == "no such luck"));
        assert_eq!(pool.call(pid, ()).await?, worker);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn unknown_function_is_named(name: &str) {
    on_both_drivers(name, async || {
        let pool = one_worker()?;
        let error = io::Error::from(pool.call(unlisted, ()).await.expect_err("it is not listed"));
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("::unlisted`"), "{error}");
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn unserializable_fails_alone(name: &str) {
    on_both_drivers(name, async || {
        let pool = one_worker()?;
        let worker = pool.call(pid, ()).await?;
        for place in [IN_REQUEST, BY_WORKER, IN_ANSWER, BY_CALLER] {
            let error = pool.call(unsent, Refused(place)).await.expect_err("serde refuses it");
            let is_request = matches!(error, CallError::Request(_));
            assert_eq!(is_request, [IN_REQUEST, BY_WORKER].contains(&place), "{place}: {error}");
            assert!(is_request || matches!(error, CallError::Answer(_)), "{place}: {error}");
        }
        assert_eq!(pool.call(unsent, Refused(NOWHERE)).await?, Refused(NOWHERE));
        assert_eq!(pool.call(pid, ()).await?, worker);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn large_messages_go_both_ways(name: &str) {
    on_both_drivers(name, async || {
        let pool = one_worker()?;
        let text = "0123456789abcdef".repeat(4 << 20);
        assert!(pool.call(echo, text.clone()).await? == text);
        assert_eq!(pool.call(echo, "little".to_owned()).await?, "little");
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn too_large_fails_alone(name: &str) {
    on_both_drivers(name, async || {
        let pool = Pool::builder(FUNCTIONS).workers(1).message_limit(1000).build()?;
        let worker = pool.call(pid, ()).await?;
        let request = pool.call(echo, "x".repeat(1001)).await;
        assert!(matches!(request, Err(CallError::TooLarge(1000))), "{request:?}");
        let answer = pool.call(repeated, ("x".to_owned(), 1001)).await;
        assert!(matches!(answer, Err(CallError::TooLarge(1000))), "{answer:?}");
        // Two bytes are the length of the text.
        let text = "x".repeat(998);
        assert_eq!(pool.call(echo, text.clone()).await?, text);
        assert_eq!(pool.call(pid, ()).await?, worker);
        Ok::<(), io::Error>(())
    });
}

/// Set in the process whose output is read.
const PRINTS: &str = "CORERING_TEST_PRINTS";

pub(crate) fn printed_text_is_the_programs(name: &'static str) {
    // What a frame looks like, and more than a buffer has.
    let text = "\0\0\0\0\u{1}\0\0\0 printed ".repeat(10_000);
    if env::var_os(PRINTS).is_none() {
        let mut command = Command::new("/proc/self/exe");
        command.args(["--one-test", name]).env(PRINTS, "").stderr(Stdio::inherit());
        let output = command.output().expect("the test runs again");
        assert!(output.status.success(), "{}", output.status);
        let printed = String::from_utf8_lossy(&output.stdout);
        let drivers = corering::test_support::drivers().len();
        assert_eq!(printed.matches(text.as_str()).count(), drivers);
        return;
    }
    on_both_drivers(name, async || {
        let pool = one_worker()?;
        assert!(pool.call(prints, text.clone()).await? == text);
        // What has no line's end yet is printed when the worker ends.
        pool.shutdown().await;
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn pool_outlives_runtime(name: &str) {
    on_both_drivers(name, async || ());
    for driver in corering::test_support::drivers() {
        let pool = one_worker().expect("a pool needs no runtime before its first call");
        let mut workers = Vec::new();
        for _ in 0..2 {
            let runtime = Runtime::builder().driver(driver).build().expect("it was asked for");
            workers.push(runtime.block_on(async {
                let worker = pool.call(pid, ()).await.expect("a worker of this runtime");
                assert_eq!(pool.call(pid, ()).await.expect("it is kept"), worker);
                worker
            }));
        }
        assert_ne!(workers[0], workers[1]);

        // The end of its runtime kills a worker, and the call hears of it in the next.
        let runtime = Runtime::builder().driver(driver).build().expect("it was asked for");
        let mut gate = runtime.block_on(Gate::new()).expect("a socket can be had");
        let mut call = Box::pin(pool.call(waits, gate.path()));
        let begun = match runtime.block_on(select(pin!(gate.begun()), &mut call)) {
            Either::Left((begun, _)) => begun.expect("it has begun"),
            Either::Right((answer, _)) => panic!("it does not wait: {answer:?}"),
        };
        drop(runtime);
        let runtime = Runtime::builder().driver(driver).build().expect("it was asked for");
        let lost = runtime.block_on(call);
        assert!(matches!(lost, Err(CallError::Io(_))), "{lost:?}");
        drop((begun, gate));
    }
    crate::processes::wait_until("workers are left", || crate::processes::children().is_empty());
}
