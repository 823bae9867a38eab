//! The runtime on the simulated kernel: what a kernel does rarely, here on purpose.
//!
//! Every test runs on several seeds, and at the end of each run nothing may be left: see
//! `simulated::run`.

#[path = "../common/simulated.rs"]
mod simulated;

mod group;
mod pairs;
