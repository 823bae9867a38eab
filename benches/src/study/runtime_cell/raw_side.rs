//! The no-op on a ring without a runtime: the limit.
//!
//! Tuned as liburing's notes advise for one thread: `SINGLE_ISSUER`, `DEFER_TASKRUN`, and one call
//! that submits and waits.

use std::io;
use std::time::Instant;

use io_uring::IoUring;

use super::work::TRIPS;
use super::{Done, Orders};
use crate::os;

pub(super) fn run(orders: Orders) -> io::Result<()> {
    let tuned = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(ENTRIES);
    // A kernel before 6.1 knows neither flag.
    let mut ring = tuned.or_else(|_| IoUring::new(ENTRIES))?;
    orders.follow(|duration| {
        let start = Instant::now();
        let mut count = 0;
        loop {
            for _ in 0..TRIPS {
                os::do_nothing(&mut ring)?;
            }
            count += TRIPS;
            let elapsed = start.elapsed();
            if elapsed >= duration {
                return Ok(Done { count, elapsed });
            }
        }
    })
}

const ENTRIES: u32 = 8;
