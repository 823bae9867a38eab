//! epoll(7): readiness of descriptors, edge-triggered.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::call::SysCall;
use super::refusal::needs_call;
use super::ring::Wait;

/// An epoll instance and room for what it reports.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// Waits are told in nanoseconds, unless that was refused once.
    nanoseconds: bool,
}

/// One report: what the descriptor was added with, and `EPOLL*` bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) data: u64,
    pub(crate) events: u32,
}

/// So many events come with one call.
const EVENTS_MAX: usize = 256;

impl Epoll {
    /// # Errors
    /// No descriptor is left; or a call is refused that nothing can be done without.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1 takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(needs_call("epoll_create1", io::Error::last_os_error()));
        }
        // SAFETY: the descriptor was just opened and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let events = Vec::with_capacity(EVENTS_MAX);
        let mut epoll = Epoll { fd, events, nanoseconds: true };
        // A filter may let the first call pass and refuse this one. There is nothing to wait for.
        match epoll.call(Wait::No) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(needs_call("epoll_pwait", error))
            }
            _ => Ok(epoll),
        }
    }

    /// Watches both directions of a descriptor from now on, and for urgent marks; `data` comes with
    /// each event.
    pub(crate) fn add(&self, fd: RawFd, data: u64) -> io::Result<()> {
        let directions = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP;
        let events = directions | libc::EPOLLPRI | libc::EPOLLET;
        let mut event = libc::epoll_event { events: events as u32, u64: data };
        // SAFETY: the event is read during the call only.
        let result =
            unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Watches a descriptor no longer. Without this, events of an open file that lives on in a
    /// duplicate would come under a number that may belong to another file by then.
    pub(crate) fn remove(&self, fd: RawFd) {
        // SAFETY: EPOLL_CTL_DEL reads no event. It can fail only if the descriptor was not added.
        unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut())
        };
    }

    /// Waits as told and appends what is reported. EINTR is an error that the caller handles.
    // Inlined: see `SysCall::enter_kernel`.
    #[inline(always)]
    pub(crate) fn wait(&mut self, wait: Wait, into: &mut Vec<Event>) -> io::Result<()> {
        let count = self.call(wait)?;
        // SAFETY: the kernel has written so many events, at most the capacity.
        unsafe { self.events.set_len(count) };
        into.extend(
            self.events.iter().map(|event| Event { data: event.u64, events: event.events }),
        );
        self.events.clear();
        Ok(())
    }

    #[inline(always)]
    fn call(&mut self, wait: Wait) -> io::Result<usize> {
        let room: &mut [MaybeUninit<libc::epoll_event>] = self.events.spare_capacity_mut();
        let (events, room) = (room.as_mut_ptr() as usize, room.len());
        let fd = self.fd.as_raw_fd() as usize;
        let in_ms = |ms: i32| {
            let call = SysCall::new(libc::SYS_epoll_pwait, [fd, events, room, ms as usize, 0, 0]);
            // SAFETY: `events` has room for so many, and no signal mask is given.
            unsafe { call.run_for_real() }
        };
        // A wait that ends too early would be taken up again at once.
        let in_ms_rounded_up = |duration: Duration| {
            in_ms(duration.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32)
        };
        let result = match wait {
            Wait::No => in_ms(0),
            Wait::Forever => in_ms(-1),
            Wait::For(duration) if !self.nanoseconds => in_ms_rounded_up(duration),
            Wait::For(duration) => {
                let timespec = libc::timespec {
                    tv_sec: duration.as_secs().min(SECONDS_MAX) as i64,
                    tv_nsec: duration.subsec_nanos().into(),
                };
                let time = (&raw const timespec) as usize;
                let call = SysCall::new(libc::SYS_epoll_pwait2, [fd, events, room, time, 0, 0]);
                // SAFETY: as above; the timespec outlives the call.
                match unsafe { call.run_for_real() } {
                    result if result >= 0 || result == -libc::EINTR => result,
                    // Before 5.11 there is no such call, and filters that are older refuse it with
                    // any error. What else is wrong the older call will tell.
                    _ => {
                        self.nanoseconds = false;
                        in_ms_rounded_up(duration)
                    }
                }
            }
        };
        usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }
}

/// Longer waits end early and are taken up again.
const SECONDS_MAX: u64 = 365 * 24 * 3600;
