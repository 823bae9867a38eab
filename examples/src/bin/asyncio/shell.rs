//! Runs a line of the shell, with errors where the output is.

use std::io;

use corering::process::shell;

#[corering::main]
pub(crate) async fn main() -> io::Result<()> {
    let mut command = shell("echo output; echo error >&2; exit 3");
    let output = command.stderr_to_stdout().output().await?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    println!("the shell returned {}", output.status.code().unwrap_or_default());
    Ok(())
}
