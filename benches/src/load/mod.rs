//! Load for any stream server, in the manner of wrk2 and fio: closed loop and open loop, every
//! byte verified, and a verdict on whether the numbers may be believed.
//!
//! Read `plan.rs` for what can be asked for, then `client.rs`: one [`Client`] is one thread with
//! its connections. It waits in epoll and nowhere else, so that the instrument does not depend on
//! what it measures. `work.rs` is what a run gives back.

mod client;
mod connection;
mod exchange;
mod http;
mod line;
mod open;
mod plan;
mod schedule;
mod verdict;
mod work;

pub use client::Client;
pub use plan::{Plan, Protocol};
pub use schedule::Pace;
pub use verdict::{Fault, Reason, Verdict};
pub use work::Work;
