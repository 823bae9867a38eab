//! Spawns a thousand tasks that end at once and awaits them, again and again: what `scripts/counts.sh`
//! counts the instructions of.
//!
//! ```console
//! $ spawn_tasks plain 50     # by `spawn`, and their handles
//! $ spawn_tasks group 50     # in a `TaskGroup`
//! ```

use std::process::ExitCode;

use corering::task::{JoinHandle, TaskGroup, spawn};
use corering::{Driver, Runtime};

const TASKS: usize = 1_000;

async fn plain() {
    let handles: Vec<JoinHandle<()>> = (0..TASKS).map(|_| spawn(async {})).collect();
    for handle in handles {
        handle.await.expect("the task does not panic");
    }
}

async fn group() {
    let group = TaskGroup::<()>::new();
    for _ in 0..TASKS {
        group.spawn(|_| async { Ok(()) });
    }
    group.join().await.expect("no task fails");
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next();
    let rounds = arguments.next().and_then(|rounds| rounds.parse::<usize>().ok());
    let (Some(kind @ ("plain" | "group")), Some(rounds)) = (kind.as_deref(), rounds) else {
        eprintln!("usage: spawn_tasks plain|group ROUNDS");
        return ExitCode::from(2);
    };
    let runtime = match Runtime::builder().driver(Driver::Epoll).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(3);
        }
    };
    runtime.block_on(async {
        for _ in 0..rounds {
            if kind == "plain" { plain().await } else { group().await }
        }
    });
    ExitCode::SUCCESS
}
