//! The system's calls that the measurements need, each wrapped once. For those that `rustix` has no
//! safe function for stands here the only unsafe code of this package outside the hand-written ring
//! loop.

use std::fmt;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::Advice;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::CpuSet;
use rustix::time::{ClockId, Timespec};

pub mod trace;

/// Lets the calling thread run on `cpu` only.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no CPU {cpu}")));
    }
    allow_cpus(&[cpu])
}

/// The CPUs that the calling thread may run on.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// The CPU time that the calling thread has used so far.
pub fn thread_cpu_time() -> Duration {
    duration(rustix::time::clock_gettime(ClockId::ThreadCPUTime))
}

fn duration(time: Timespec) -> Duration {
    time.try_into().expect("no clock of CPU time is before its beginning")
}

/// Lets the calling thread run on any of `cpus`.
pub fn allow_cpus(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU).for_each(|cpu| set.set(*cpu));
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Ends this process when its parent ends, however that happens.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Raises the limit of open descriptors to what this user may have, and says how many that is.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// The clock that counts the CPU time of a process, its ended threads and io-wq workers included.
#[derive(Clone, Copy, Debug)]
pub struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// The clock of the process `pid`.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: the pointer is to a clock id of this function.
        let error = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
        if error == 0 { Ok(CpuClock(clock)) } else { Err(io::Error::from_raw_os_error(error)) }
    }

    /// The CPU time used so far.
    pub fn now(self) -> io::Result<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a `timespec` of this function.
        check(unsafe { libc::clock_gettime(self.0, &raw mut time) })?;
        Ok(Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32))
    }
}

/// What the calling thread has cost so far.
#[derive(Clone, Copy, Debug)]
pub struct ThreadUsage {
    /// Time on a CPU, in the kernel and outside.
    pub cpu: Duration,
    /// Time in which it could have run and had no CPU. Zero where the kernel does not count it.
    pub waited: Duration,
}

impl ThreadUsage {
    /// Reads the calling thread's clocks.
    pub fn now() -> io::Result<Self> {
        // The second number is the time in the run queue (Documentation/scheduler/sched-stats.rst).
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let waited = text.split(' ').nth(1).and_then(|field| field.parse().ok());
        Ok(ThreadUsage {
            cpu: thread_cpu_time(),
            waited: Duration::from_nanos(waited.unwrap_or(0)),
        })
    }
}

/// Lets the calling thread's timed waits end at most this much late, by the kernel's own choice.
pub fn set_timer_slack_ns(slack_ns: u64) -> io::Result<()> {
    Ok(rustix::thread::set_current_timer_slack(NonZeroU64::new(slack_ns))?)
}

/// What the calling process has cost so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time outside the kernel. Sampled by tick on some kernels.
    pub user: Duration,
    /// CPU time in the kernel. Sampled by tick on some kernels.
    pub system: Duration,
    /// Voluntary and involuntary.
    pub context_switches: u64,
}

impl Usage {
    /// Of all threads, also of those that have ended.
    pub fn of_this_process() -> io::Result<Self> {
        // SAFETY: an `rusage` is made of numbers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: the pointer is to an `rusage` of this function.
        check(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) })?;
        let duration = |time: libc::timeval| {
            Duration::new(time.tv_sec.cast_unsigned(), time.tv_usec as u32 * 1_000)
        };
        Ok(Usage {
            user: duration(usage.ru_utime),
            system: duration(usage.ru_stime),
            context_switches: (usage.ru_nvcsw + usage.ru_nivcsw).cast_unsigned(),
        })
    }
}

/// Forgets what the page cache holds of a file whose content is on the disk.
pub fn drop_cache(file: &fs::File) -> io::Result<()> {
    let all = None;
    Ok(rustix::fs::fadvise(file, 0, all, Advice::DontNeed)?)
}

/// The room that this user has left on the file system of `directory`.
pub fn room_bytes(directory: &Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(directory)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Lets `bind` choose an address without a port: the port follows at `connect`, and needs to be
/// free towards that peer only.
pub fn bind_without_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the pointer and the length describe a number of this function.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            length,
        )
    })?;
    Ok(())
}

/// Sends `signal` to the process `pid`.
pub fn send_signal(pid: u32, signal: i32) -> io::Result<()> {
    let (pid, signal) = (Pid::from_raw(pid.cast_signed()), Signal::from_named_raw(signal));
    let (Some(pid), Some(signal)) = (pid, signal) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// What a child process has used, from its start to its end, ended threads included.
#[derive(Clone, Copy, Debug)]
pub struct ChildUsage {
    /// CPU time outside the kernel. Sampled by tick on some kernels.
    pub user: Duration,
    /// CPU time in the kernel. Sampled by tick on some kernels.
    pub system: Duration,
    /// Voluntary and involuntary.
    pub context_switches: u64,
}

/// Collects the child `pid` if it has ended: how, and what it had used.
pub fn collect_child(pid: u32) -> io::Result<Option<(ExitStatus, ChildUsage)>> {
    let mut status = 0;
    // SAFETY: `rusage` consists of numbers, for which all zeros is a valid value.
    let mut usage: libc::rusage = unsafe { MaybeUninit::zeroed().assume_init() };
    let id = pid.cast_signed();
    // SAFETY: both pointers are to variables of this function.
    let ended = check(unsafe { libc::wait4(id, &raw mut status, libc::WNOHANG, &raw mut usage) })?;
    if ended == 0 {
        return Ok(None);
    }
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.cast_unsigned())
            + Duration::from_micros(time.tv_usec.cast_unsigned())
    };
    let usage = ChildUsage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        context_switches: (usage.ru_nvcsw + usage.ru_nivcsw).cast_unsigned(),
    };
    Ok(Some((ExitStatus::from_raw(status), usage)))
}

/// The size of a memory page in bytes.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Receives what is there, at most a full `buffer`. Zero bytes are the end of the stream.
pub fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(fd, buffer, RecvFlags::DONTWAIT)?.0)
}

/// Sends as much of `bytes` as the socket takes at once.
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_with(fd, bytes, SendFlags::empty())
}

/// As [`send`], when more follows at once that is to leave in the same segment.
pub fn send_more(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_with(fd, bytes, SendFlags::MORE)
}

/// Sends bytes of a file, as many as the socket takes at once, but not more than `length`.
pub fn send_file(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    let mut offset = offset;
    Ok(rustix::fs::sendfile(fd, file, Some(&mut offset), length)?)
}

/// Whether a file lives in memory, where making it durable costs nothing.
pub fn is_in_memory(file: BorrowedFd<'_>) -> io::Result<bool> {
    let system = rustix::fs::fstatfs(file)?;
    // Not of the same type in every C library.
    let (kind, tmpfs): (i64, i64) = (system.f_type as _, libc::TMPFS_MAGIC as _);
    Ok(kind == tmpfs || kind == 0x8584_58f6)
}

fn send_with(fd: BorrowedFd<'_>, bytes: &[u8], flags: SendFlags) -> io::Result<usize> {
    Ok(rustix::net::send(fd, bytes, flags | SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// Accepts one connection of a listener that does not block.
pub fn accept(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept_with(fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
}

/// An epoll instance whose registrations are edge-triggered and made once per descriptor.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// Room for what an [`Epoll`] reports.
#[derive(Default)]
pub struct Events(Vec<epoll::Event>);

impl Events {
    /// Makes room for `count` reports of one wait.
    pub fn with_room(count: usize) -> Self {
        Events(Vec::with_capacity(count))
    }

    /// Whether nothing was reported.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was reported: under which token, and what (`libc::EPOLL*`).
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.0.iter().map(|&epoll::Event { flags, data }| (data.u64(), flags.bits()))
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Epoll {
    /// Opens an instance.
    pub fn new() -> io::Result<Self> {
        Ok(Epoll(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Reports every change of `fd`, readable or writable, under `token`.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.0, fd, EventData::new_u64(token), events)?)
    }

    /// Waits for the first change, and fills `events` with all there are. Leaves it empty if `timeout`,
    /// which is exact to the nanosecond, passes without one, or if a signal interrupts the wait.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let time = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match self.wait_for(events, time.as_ref()) {
            // Linux before 5.11 waits for whole milliseconds.
            Err(Errno::NOSYS) => {
                let whole = time
                    .map(|time| Timespec { tv_nsec: time.tv_nsec / 1_000_000 * 1_000_000, ..time });
                self.wait_for(events, whole.as_ref())
            }
            waited => waited,
        }
        .or_else(|error| if error == Errno::INTR { Ok(()) } else { Err(error.into()) })
    }

    fn wait_for(&self, Events(events): &mut Events, time: Option<&Timespec>) -> Result<(), Errno> {
        events.clear();
        epoll::wait(&self.0, spare_capacity(events), time).map(drop)
    }
}

/// Sends an operation that does nothing through `ring`, which has no other, and waits for it.
pub fn do_nothing(ring: &mut io_uring::IoUring) -> io::Result<()> {
    let entry = io_uring::opcode::Nop::new().build();
    // SAFETY: the operation points at nothing.
    unsafe { ring.submission().push(&entry) }
        .map_err(|_| io::Error::other("the submission queue is full"))?;
    ring.submit_and_wait(1)?;
    let completion = ring.completion().next();
    match completion.map(|completion| completion.result()) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::Error::other("the kernel waited for a completion and gave none")),
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
