//! `corering-bench serve`: every workload on every server, by a plain client that looks at each
//! byte.

mod faults;
mod peers;
#[path = "../common/programs.rs"]
mod programs;
mod refusals;
mod support;
mod workloads;
