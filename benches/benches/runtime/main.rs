//! What the executor, the timers and the ring cost, on both drivers and beside tokio.
//!
//! Each figure is the time of one unit of work, whatever the number of units in flight. All of it
//! runs inside one runtime that is already warm: starting one is not measured.
//!
//! ```console
//! $ cargo bench -p corering-bench                  # all, in about two minutes
//! $ cargo bench -p corering-bench -- yield         # those whose name holds `yield`
//! ```

mod corering_side;
mod shared;
mod tokio_side;

use std::time::Duration;

use corering::Driver;
use criterion::Criterion;

use corering_side::Corering;
use tokio_side::Tokio;

fn main() {
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
    criterion.final_summary();
}
