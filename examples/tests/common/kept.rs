//! Files that keep what an example writes.

use std::fs::File;
use std::io::Read;

/// A file to write to, and one to [read](read_back) what was written.
pub(crate) fn kept() -> (File, File) {
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    (file.reopen().expect("it was just made"), file.into_file())
}

/// What was written.
pub(crate) fn read_back(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("a file can be read");
    bytes
}
