//! Gives a program its input and collects its output.

use std::io;

use corering::process::{Command, Stdio};

#[corering::main]
pub(crate) async fn main() -> io::Result<()> {
    let mut command = Command::new("tr");
    command.args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let output = command.spawn().await?.communicate("shout").await?;
    let (stdout, code) = (String::from_utf8_lossy(&output.stdout), output.status.code());
    println!("the program printed {stdout} and returned {}", code.unwrap_or_default());
    Ok(())
}
