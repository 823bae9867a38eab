//! Load for any stream server, in the manner of wrk2 and fio: closed loop and open loop, every
//! byte verified, and a verdict on whether the numbers may be believed.
//!
//! Read `plan.rs` for what can be asked for, then `client.rs`: one [`Client`] is one thread with
//! its connections. It waits in epoll and nowhere else, so that the instrument does not depend on
//! what it measures. `work.rs` is what a run gives back.

mod command;
mod target;

mod body;
mod client;
mod connection;
mod exchange;
mod files;
mod http;
mod http2;
mod knee;
mod line;
mod merge;
mod open;
mod plan;
mod progress;
mod report;
mod schedule;
mod settle;
mod steal;
mod team;
mod trouble;
mod verdict;
mod work;

pub use client::Client;
pub use command::{Arguments, run};
pub use files::{interval_log, quantile_distribution};
pub use merge::{Arguments as MergeArguments, run as merge};
pub use plan::{Plan, Protocol};
pub use report::{Knee, Report, Step};
pub use schedule::Pace;
pub use steal::CpuTicks;
pub use target::Target;
pub use verdict::{Fault, Reason, Verdict};
pub use work::{Recorded, Work, quantiles};
