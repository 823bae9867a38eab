//! Ends at SIGTERM, which the program sends itself.

use std::io;

use corering::signal;
use corering::time::{self, Duration};
use rustix::process::{Signal, getpid, kill_process};

#[corering::main]
pub(crate) async fn main() -> io::Result<()> {
    let stop = signal::terminate();
    println!("running");
    corering::spawn(async {
        time::sleep(Duration::from_millis(10)).await;
        kill_process(getpid(), Signal::TERM)
    });
    stop.await?;
    println!("stopped");
    Ok(())
}
