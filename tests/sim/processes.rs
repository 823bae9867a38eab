//! There are no processes in the simulated world.

use std::io;

use corering::process::Command;

use crate::simulated::{defaults, run_in};
use corering::sim::Simulation;

#[test]
fn start_of_process_is_unsupported_on_simulated_kernel() {
    let world = Simulation::new(1);
    let run = run_in(&world, 1, defaults(), async {
        let error = Command::new("true").spawn().await.expect_err("there are none");
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("simulated kernel"), "{error}");
    });
    run.output
}
