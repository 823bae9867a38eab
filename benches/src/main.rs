//! `corering-bench`: servers to measure, a load generator, and the comparison of io_uring with
//! epoll.

use std::process::ExitCode;

fn main() -> ExitCode {
    corering_bench::cli::main()
}
