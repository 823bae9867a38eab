//! The memory of this process, as the kernel counts it.

use std::fs;
use std::io;

/// What is in memory now, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All pages (RSS).
    pub(crate) resident: u64,
    /// Of a page that several processes share, only this one's part (PSS).
    pub(crate) proportional: u64,
}

impl Memory {
    pub(crate) fn now() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/self/smaps_rollup")?;
        Ok(Memory { resident: bytes(&text, "Rss:")?, proportional: bytes(&text, "Pss:")? })
    }
}

/// The most that was resident since [`forget_peak`].
pub(crate) fn peak_resident_bytes() -> io::Result<u64> {
    bytes(&fs::read_to_string("/proc/self/status")?, "VmHWM:")
}

/// Lets the peak count from now on.
pub(crate) fn forget_peak() {
    // Where the kernel refuses, the peak counts from the start of the program, which needs little.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn bytes(text: &str, name: &str) -> io::Result<u64> {
    let kib = text.lines().find_map(|line| {
        let number: u64 =
            line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(number * 1024)
    });
    kib.ok_or_else(|| io::Error::other(format!("the kernel says nothing of {name}")))
}
