//! Kills a program that takes too long.

use std::io;
use std::os::unix::process::ExitStatusExt;

use corering::process::Command;
use corering::time::{self, Duration};

#[corering::main]
pub(crate) async fn main() -> io::Result<()> {
    let mut child = Command::new("sleep").arg("1000").spawn().await?;
    if time::timeout(Duration::from_millis(10), child.wait()).await.is_err() {
        println!("the program takes too long");
        child.kill().await?;
    }
    println!("it was ended by signal {}", child.wait().await?.signal().unwrap_or_default());
    Ok(())
}
