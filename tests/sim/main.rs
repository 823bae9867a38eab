//! The runtime on the simulated kernel: what a kernel does rarely, here on purpose.
//!
//! Every test runs on several seeds, and at the end of each run nothing may be left: see
//! `simulated::run`.

#[path = "../common/echo.rs"]
mod echo;
#[allow(dead_code)] // Each test file uses a part.
#[path = "../common/net.rs"]
mod net;
#[path = "../common/simulated.rs"]
mod simulated;

mod pairs;

// The bodies of `tests/dropping`.
#[path = "../dropping/copies.rs"]
mod copies;
#[path = "../dropping/ends.rs"]
mod ends;
#[path = "../dropping/moments.rs"]
mod moments;
#[path = "../dropping/queue_storm.rs"]
mod queue_storm;
#[path = "../dropping/queues.rs"]
mod queues;
#[path = "../dropping/receives.rs"]
mod receives;
#[path = "../dropping/writes.rs"]
mod writes;

// The body of `tests/groups`.
#[path = "../groups/storm.rs"]
mod group_storm;

mod accepting;
mod cancelling;
mod dropping;
mod endings;
mod enter;
mod group;
mod groups;
mod lent;
mod limits;
mod processes;
mod receiving;
mod serving;
mod storms;
mod user_code;
mod wall_clock;
mod writing;
