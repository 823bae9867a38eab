//! The runtime on the simulated kernel: what a kernel does rarely, here on purpose.
//!
//! Every test runs on several seeds, and at the end of each run nothing may be left: see
//! `simulated::run`.

#[path = "../common/echo.rs"]
mod echo;
#[path = "../common/simulated.rs"]
mod simulated;

mod pairs;

mod accepting;
mod cancelling;
mod endings;
mod enter;
mod group;
mod limits;
mod receiving;
mod storms;
mod user_code;
mod writing;
