//! Talks with a program line by line.

use std::io;

use corering::io::lines;
use corering::process::{Command, Stdio};

#[corering::main]
pub(crate) async fn main() -> io::Result<()> {
    let mut command = Command::new("cat");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut answers = lines(child.stdout.take().expect("it is piped"));
    for word in ["one", "two"] {
        stdin.write_all(format!("{word}\n")).await?;
        println!("the program says {}", answers.next_line().await?.unwrap_or_default());
    }
    drop(stdin);
    println!("the program returned {}", child.wait().await?.code().unwrap_or_default());
    Ok(())
}
