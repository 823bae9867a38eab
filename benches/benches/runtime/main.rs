//! What the executor, the timers and the ring cost, on both drivers and beside others.
//!
//! Each figure is the time of one unit of work, whatever the number of units in flight. All of it
//! runs inside one runtime that is already warm: starting one is not measured. `tokio` is its
//! current-thread runtime, `raw` what a person would write by hand without one.
//!
//! | group | one unit | tokio | raw |
//! |---|---|---|---|
//! | `spawn_1`, `spawn_1000` | spawn a task that ends at once, and await it, so many at a time | the same | |
//! | `group_1000` | spawn such a task in a group, and join the group | none | |
//! | `yield_1`, `yield_100` | give way to so many tasks, that do the same | `yield_now` | |
//! | `ping_pong` | a task takes its turn and wakes the other | the same code | |
//! | `channel` | a message from task to task, 64 at most on the way | `mpsc`, which is `Send` | |
//! | `timer_insert` | make, box and arm a timer beside a million that are armed | `sleep` | |
//! | `timer_cancel` | drop such a timer | the same | |
//! | `timer_fire` | arm and await one of 10,000 that fire at once, beside that million | `sleep_until` | |
//! | `nop_1`, `nop_128` | an operation that does nothing, so many in flight; on epoll it is no system call | none | a ring |
//! | `read_1`, `read_128` | 4 KiB of /dev/zero, so many in flight | its pool, as `tokio::fs` does | a ring |
//! | `cross_parked` | a message to another thread, on another CPU, and back; both sleep while they wait | two runtimes and `mpsc` | `park`, `unpark` |
//! | `cross_awake` | the same, where both threads have a task that gives way for ever | the same | a spin on an atomic |
//!
//! ```console
//! $ cargo bench -p corering-bench                  # all, in about two minutes
//! $ cargo bench -p corering-bench -- yield         # those whose name holds `yield`
//! $ cargo bench -p corering-bench --bench runtime -- --with-peers spawn
//! ```
//!
//! `--with-peers` builds the programs in `benches/peers` and adds monoio, compio and glommio, each in a
//! process of its own: tasks, yields, the turn that two tasks hand over, timers of monoio and compio, and
//! glommio's channel. monoio and compio have no channel, and a task of glommio's waits for 32,767 timers at most.

mod corering_side;
mod peers_side;
mod raw_side;
mod shared;
mod tokio_side;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use corering::Driver;
use criterion::Criterion;

use corering_side::Corering;
use tokio_side::Tokio;

fn main() -> ExitCode {
    let with_peers = match peers_side::asked_for() {
        Ok(with_peers) => with_peers,
        Err(failure) => {
            eprintln!("{failure}");
            return ExitCode::FAILURE;
        }
    };
    // Interleaving would serve a comparison better; criterion runs one after the other. A claim
    // about two figures that are near each other needs a paired run.
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000))
        .without_plots()
        .configure_from_args();
    for driver in [Driver::Uring, Driver::Epoll] {
        match Corering::new(driver) {
            Ok(side) => side.measure(&mut criterion),
            Err(error) => eprintln!("{driver} is not measured: {error}"),
        }
    }
    Tokio::new().measure(&mut criterion);
    raw_side::measure(&mut criterion);
    for peer in with_peers {
        peer.measure(&mut criterion);
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}
