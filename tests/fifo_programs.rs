//! FIFOs and programs that block at them. Not beside the other tests of FIFOs: until a process that is
//! started has executed its program, it has all descriptors, and keeps ends open that others have closed.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/standard.rs"]
mod standard;

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use corering::io::{PipeReader, PipeWriter};
use standard::Fifo;

#[corering::test]
async fn blocking_programs_are_met_from_either_side() -> io::Result<()> {
    let fifo = Fifo::new();
    let mut cat = Command::new("cat").arg(fifo.path()).stdout(Stdio::piped()).spawn()?;
    let mut writer = PipeWriter::open(fifo.path()).await?;
    writer.write_all("to a program").await?;
    writer.close().await?;
    let mut shown = String::new();
    cat.stdout.take().expect("it is piped").read_to_string(&mut shown)?;
    assert!(cat.wait()?.success());
    assert_eq!(shown, "to a program");

    let mut reader = PipeReader::open(fifo.path()).await?;
    let mut cat = Command::new("sh")
        .args(["-c", "cat > \"$0\""])
        .arg(fifo.path())
        .stdin(Stdio::piped())
        .spawn()?;
    cat.stdin.take().expect("it is piped").write_all(b"of a program")?;
    assert_eq!(reader.recv().await?, "of a program");
    assert!(cat.wait()?.success());
    Ok(())
}
