//! Three tasks that sleep and print. They share one thread, and the program takes as long as the
//! longest of them.

use std::pin::pin;
use std::time::Duration;

use clap::Parser;
use corering::{Driver, Runtime, signal, time};
use futures_util::future::{join_all, select};

/// Starts three tasks on one thread, which sleep and print. Ctrl-C and SIGTERM end it early.
#[derive(Parser)]
struct Arguments {
    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,
}

fn main() {
    let builder = Runtime::builder().driver(Arguments::parse().driver);
    let runtime = builder.build().unwrap_or_else(|error| {
        eprintln!("hello: {error}");
        std::process::exit(1)
    });
    runtime.block_on(hello());
}

async fn hello() {
    let tasks = [("first", 300), ("second", 200), ("third", 100)].map(|(name, millis)| {
        corering::spawn(async move {
            time::sleep(Duration::from_millis(millis)).await;
            println!("hello from the {name} task, after {millis} ms");
        })
    });
    select(join_all(tasks), pin!(signal::shutdown())).await;
}
