//! The system's calls that the measurements need, each wrapped once: the only unsafe code of this
//! package outside the hand-written ring loop.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

pub mod trace;

/// Lets the calling thread run on `cpu` only.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: a `cpu_set_t` is a bit mask, for which all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no CPU {cpu}")));
    }
    // SAFETY: `cpu` is within the set, which was just compared.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is initialised and its size is that of its type.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })?;
    Ok(())
}

/// The CPUs that the calling thread may run on.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a `cpu_set_t` is a bit mask, for which all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the set's size is that of its type; the kernel writes within it.
    check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
    // SAFETY: each number is within the set.
    Ok((0..libc::CPU_SETSIZE as usize)
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
        .collect())
}

/// The CPU time that the calling thread has used so far.
pub fn thread_cpu_time() -> io::Result<Duration> {
    CpuClock(libc::CLOCK_THREAD_CPUTIME_ID).now()
}

/// Lets the calling thread run on any of `cpus`.
pub fn allow_cpus(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: a `cpu_set_t` is a bit mask, for which all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    for cpu in cpus.iter().filter(|cpu| **cpu < libc::CPU_SETSIZE as usize) {
        // SAFETY: `cpu` is within the set, which was just compared.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    // SAFETY: the set is initialised and its size is that of its type.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })?;
    Ok(())
}

/// Ends this process when its parent ends, however that happens.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: the call takes two numbers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    Ok(())
}

/// Raises the limit of open descriptors to what this user may have, and says how many that is.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a `rlimit` of this function.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to an initialised `rlimit` of this function.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
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
            cpu: CpuClock(libc::CLOCK_THREAD_CPUTIME_ID).now()?,
            waited: Duration::from_nanos(waited.unwrap_or(0)),
        })
    }
}

/// Lets the calling thread's timed waits end at most this much late, by the kernel's own choice.
pub fn set_timer_slack_ns(slack_ns: u64) -> io::Result<()> {
    let slack = libc::c_ulong::try_from(slack_ns).unwrap_or(libc::c_ulong::MAX);
    // SAFETY: the call takes two numbers.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack) })?;
    Ok(())
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
    let all = 0;
    // SAFETY: the call takes numbers.
    let error = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, all, libc::POSIX_FADV_DONTNEED) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// The room that this user has left on the file system of `directory`.
pub fn room_bytes(directory: &Path) -> io::Result<u64> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: a `statvfs` is made of numbers, for which zero is a value.
    let mut system: libc::statvfs = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the path ends with a zero, and the other pointer is to a `statvfs` of this function.
    check(unsafe { libc::statvfs(path.as_ptr(), &raw mut system) })?;
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
    // SAFETY: the call takes two numbers.
    check(unsafe { libc::kill(pid.cast_signed(), signal) })?;
    Ok(())
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
    // SAFETY: the call takes a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).expect("every Linux system has a page size")
}

/// Receives what is there, at most a full `buffer`. Zero bytes are the end of the stream.
pub fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the pointer and the length describe `buffer`, which is borrowed for the call.
    let received = unsafe { libc::recv(fd.as_raw_fd(), start, length, libc::MSG_DONTWAIT) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Sends as much of `bytes` as the socket takes at once.
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_with(fd, bytes, 0)
}

/// As [`send`], when more follows at once that is to leave in the same segment.
pub fn send_more(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_with(fd, bytes, libc::MSG_MORE)
}

/// Sends bytes of a file, as many as the socket takes at once, but not more than `length`.
pub fn send_file(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    let mut offset = offset.cast_signed();
    let (fd, file) = (fd.as_raw_fd(), file.as_raw_fd());
    // SAFETY: the pointer is to an offset of this function.
    let sent = unsafe { libc::sendfile(fd, file, &raw mut offset, length) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Whether a file lives in memory, where making it durable costs nothing.
pub fn is_in_memory(file: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: all fields of a `statfs` are numbers, for which all zeros is a value.
    let mut system: libc::statfs = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the pointer is to a `statfs` of this function.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut system) })?;
    // Not of the same type in every C library.
    let kind: libc::c_long = system.f_type as _;
    Ok(matches!(kind, libc::TMPFS_MAGIC | 0x8584_58f6))
}

fn send_with(fd: BorrowedFd<'_>, bytes: &[u8], flags: i32) -> io::Result<usize> {
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and the length describe `bytes`, which is borrowed for the call.
    let sent = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Accepts one connection of a listener that does not block.
pub fn accept(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let nowhere = std::ptr::null_mut();
    // SAFETY: null pointers say that the peer's address is not wanted.
    let accepted =
        check(unsafe { libc::accept4(fd.as_raw_fd(), nowhere, std::ptr::null_mut(), flags) })?;
    // SAFETY: the descriptor was just opened and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}

/// An epoll instance whose registrations are edge-triggered and made once per descriptor.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// A descriptor about which something is known: what, in `events`, and which, in `u64`.
pub type Event = libc::epoll_event;

impl Epoll {
    /// Opens an instance.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes a flag.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just opened and nothing else owns it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Reports every change of `fd`, readable or writable, under `token`.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = Event { events: events.cast_unsigned(), u64: token };
        let add = libc::EPOLL_CTL_ADD;
        // SAFETY: the pointer is to an event of this function, which the call copies.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), add, fd.as_raw_fd(), &raw mut event) })?;
        Ok(())
    }

    /// Fills `events` with what has changed, after waiting for the first change. Without one
    /// before `timeout_ms` is over (-1: never), it stays empty.
    pub fn wait(&self, events: &mut Vec<Event>, timeout_ms: i32) -> io::Result<()> {
        events.clear();
        let room = i32::try_from(events.capacity()).unwrap_or(i32::MAX);
        // SAFETY: the pointer and the length describe the spare room of `events`.
        let count =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, timeout_ms) };
        // SAFETY: the kernel has written as many events as it says.
        unsafe { fill(events, check(count)) }
    }

    /// As [`Epoll::wait`], to the nanosecond.
    pub fn wait_for(&self, events: &mut Vec<Event>, timeout: Duration) -> io::Result<()> {
        events.clear();
        let room = i32::try_from(events.capacity()).unwrap_or(i32::MAX);
        let time = libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let no_mask = std::ptr::null::<libc::sigset_t>();
        // The C library may be older than the call, which came with Linux 5.11.
        // SAFETY: the pointers and the length describe the spare room of `events` and a `timespec`
        // of this function; without a mask its size is not read.
        let count = unsafe {
            let (epoll, start) = (self.0.as_raw_fd(), events.as_mut_ptr());
            libc::syscall(libc::SYS_epoll_pwait2, epoll, start, room, &raw const time, no_mask, 0)
        };
        match check(count as i32) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                let whole_ms = timeout.as_millis().try_into().unwrap_or(i32::MAX);
                self.wait(events, whole_ms)
            }
            // SAFETY: the kernel has written as many events as it says.
            result => unsafe { fill(events, result) },
        }
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

/// Takes over what the kernel has written. A signal is no error: then nothing was.
///
/// # Safety
///
/// If there is a count, so many events are initialised and within the capacity.
unsafe fn fill(events: &mut Vec<Event>, count: io::Result<i32>) -> io::Result<()> {
    match count {
        Ok(count) => {
            // SAFETY: the caller says so.
            unsafe { events.set_len(count as usize) };
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(error),
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
