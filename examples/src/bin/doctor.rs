//! Says in plain sentences what the kernel lets corering do.

use std::process::ExitCode;

use clap::Parser;

/// Says in plain sentences what the kernel lets corering do.
///
/// Exits with 0 when the ring works, and with 1 when programs fall back to epoll, be it that the kernel
/// refuses io_uring or that CORERING_DRIVER=epoll is set.
#[derive(Parser)]
struct Arguments {}

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    let capabilities = corering::probe();
    println!("{capabilities}");
    if std::env::var_os("CORERING_DRIVER").is_some_and(|driver| driver == "epoll") {
        println!("CORERING_DRIVER=epoll is set: programs that leave the choice open run on epoll.");
        return ExitCode::FAILURE;
    }
    if capabilities.is_uring_available() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
