//! Waits until a socket of another library has something to read.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use corering::io::Watched;

#[corering::main]
pub(crate) async fn main() -> io::Result<()> {
    let (mut reader, mut writer) = UnixStream::pair()?;
    let watched = Watched::new(reader.try_clone()?.into());
    let written = corering::spawn(async move { writer.write_all(b"abc") });
    watched.readable().await?;
    let mut data = [0; 100];
    let count = reader.read(&mut data)?;
    println!("received {}", String::from_utf8_lossy(&data[..count]));
    written.await?
}
