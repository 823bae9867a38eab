//! The kernel's own count of a process's system calls: the tracepoint `raw_syscalls:sys_enter`,
//! counted by perf for that process alone.
//!
//! While it counts, every system call of the machine takes a slower path into the kernel, so it is
//! to be used beside a measurement of time and never within one.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::check;

/// Counts the system calls of one process, those of threads that it starts later included.
#[derive(Debug)]
pub struct SystemCallCounter {
    /// One for each thread that was there at the beginning.
    events: Vec<fs::File>,
}

impl SystemCallCounter {
    /// Prepares to count for the process `pid`. Says why not, where that is refused.
    pub fn open(pid: u32) -> Result<Self, String> {
        let id = tracepoint_id()?;
        let refused = |error: io::Error| {
            format!(
                "perf_event_open: {error}; it takes CAP_PERFMON or kernel.perf_event_paranoid=-1"
            )
        };
        let threads =
            fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
        let mut events = Vec::new();
        for thread in threads {
            let name = thread.map_err(|error| error.to_string())?.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            events.push(open_event(id, thread).map_err(refused)?);
        }
        Ok(SystemCallCounter { events })
    }

    /// Counts from here on.
    pub fn start(&self) -> io::Result<()> {
        self.control(PERF_EVENT_IOC_ENABLE)
    }

    /// Counts no further, and says how many there were since the beginning.
    pub fn stop(&mut self) -> io::Result<u64> {
        self.control(PERF_EVENT_IOC_DISABLE)?;
        let mut sum = 0;
        for event in &mut self.events {
            let mut count = [0; 8];
            event.read_exact(&mut count)?;
            sum += u64::from_ne_bytes(count);
        }
        Ok(sum)
    }

    fn control(&self, request: libc::c_ulong) -> io::Result<()> {
        for event in &self.events {
            // SAFETY: the descriptor is a perf event's, whose requests of this kind take a number.
            check(unsafe { libc::ioctl(event.as_raw_fd(), request as libc::Ioctl, 0) })?;
        }
        Ok(())
    }
}

// From <linux/perf_event.h>: _IO('$', 0) and _IO('$', 1).
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_DISABLE: libc::c_ulong = 0x2401;
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
/// `disabled`, and `inherit`: threads started later are counted, too.
const DISABLED_AND_INHERITED: u64 = 0b11;

/// The first version of `struct perf_event_attr` in <linux/perf_event.h>, which all kernels take.
#[repr(C)]
#[derive(Debug, Default)]
struct EventAttributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

fn open_event(tracepoint_id: u64, thread: libc::pid_t) -> io::Result<fs::File> {
    let attributes = EventAttributes {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<EventAttributes>() as u32,
        config: tracepoint_id,
        flags: DISABLED_AND_INHERITED,
        ..EventAttributes::default()
    };
    let (any_cpu, no_group) = (-1, -1);
    let start = &raw const attributes;
    // SAFETY: the pointer is to attributes of this function, whose size they name themselves.
    let fd = unsafe {
        let call = libc::SYS_perf_event_open;
        libc::syscall(call, start, thread, any_cpu, no_group, PERF_FLAG_FD_CLOEXEC)
    };
    let fd = check(fd as i32)?;
    // SAFETY: the descriptor was just opened and nothing else owns it.
    Ok(fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// The kernel's number of the tracepoint, from wherever tracefs is, mounted or not.
fn tracepoint_id() -> Result<u64, String> {
    const PATH: &str = "events/raw_syscalls/sys_enter/id";
    let mounted = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .into_iter()
        .find_map(|root| fs::read_to_string(format!("{root}/{PATH}")).ok());
    let text = match mounted {
        Some(text) => text,
        None => read_unmounted(PATH).map_err(|error| {
            format!("tracefs: {error}; it takes root, and `mount -t tracefs tracefs /sys/kernel/tracing`")
        })?,
    };
    text.trim().parse().map_err(|_| format!("the id of the tracepoint reads `{}`", text.trim()))
}

/// Reads a file of tracefs through a mount that has no place in the tree and ends with this call.
fn read_unmounted(path: &str) -> io::Result<String> {
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    fs::read_to_string(format!("/proc/self/fd/{}/{path}", mount.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::SystemCallCounter;

    #[test]
    fn calls_are_counted_or_the_reason_is_told() {
        // A process that is alone: this one has the threads of other tests.
        match SystemCallCounter::open(std::process::id()) {
            Ok(mut counter) => {
                counter.start().expect("the events are open");
                for _ in 0..100 {
                    fs::metadata("/").expect("there is a root");
                }
                assert!(counter.stop().expect("the events are open") >= 100);
            }
            Err(reason) => assert!(reason.contains("takes"), "{reason}"),
        }
    }
}
