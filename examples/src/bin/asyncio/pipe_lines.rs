//! Reads lines from a pipe, as a program reads its standard input.

use corering::io::{lines, pipe};

#[corering::main]
pub(crate) async fn main() -> std::io::Result<()> {
    let (reader, mut writer) = pipe()?;
    writer.write_all("one\ntwo\n").await?;
    drop(writer);
    // Of standard input they are `lines(corering::io::stdin())`.
    let mut lines = lines(reader);
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
    }
    Ok(())
}
