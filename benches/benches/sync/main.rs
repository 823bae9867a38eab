//! What a channel or a lock costs: corering's, which stay on their shard, beside those of other libraries
//! that need no runtime. `docs/synchronisation.md` has the figures.
//!
//! All of it runs in corering's runtime, what is not corering's under `task::cooperative`. A figure is
//! the time of one unit:
//!
//! | group | one unit |
//! |---|---|
//! | `channel` | a message from task to task, 64 at most on the way |
//! | `oneshot` | make one, send, and receive |
//! | `notify` | a notification that is stored, and taken |
//! | `semaphore`, `mutex`, `rwlock_read` | take one that is free, and give it back |
//! | `broadcast`, `watch` | send a value, and receive it by one receiver |
//! | `once_cell` | read one that is set |
//! | `barrier` | two tasks pass |
//! | `cross_channel`, `cross_broadcast`, `cross_watch` | a value to another shard and back |
//! | `cross_barrier` | two shards pass |
//! | `cross_mutex`, `cross_rwlock` | lock what another shard locks all the time, too |
//!
//! Across shards, each has a task besides that gives way for ever: none sleeps.
//!
//! ```console
//! $ cargo bench -p corering-bench --bench sync
//! ```

mod across;
mod within;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .without_plots()
        .configure_from_args();
    within::measure(&mut criterion);
    across::measure(&mut criterion);
    criterion.final_summary();
}
