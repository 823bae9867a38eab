//! `corering-bench serve`: every workload on every server, by a plain client that looks at each
//! byte.

mod faults;
mod peers;
mod refusals;
mod support;
mod workloads;
