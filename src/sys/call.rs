//! One system call as plain data: a number and its arguments.
//!
//! An operation describes its call once; the epoll driver then makes it here and now, or hands it
//! to a thread of the pool, which gets the numbers and pointers and nothing that belongs to the
//! shard.

/// `renameat(2)`. The newest architectures have only `renameat2(2)`, which takes flags in one more
/// place: 0 there, as a [`SysCall`] has it, is the same call.
#[cfg(not(any(target_arch = "riscv64", target_arch = "loongarch64")))]
pub(crate) const SYS_RENAMEAT: libc::c_long = libc::SYS_renameat;
#[cfg(any(target_arch = "riscv64", target_arch = "loongarch64"))]
pub(crate) const SYS_RENAMEAT: libc::c_long = libc::SYS_renameat2;

use super::mounts;
use super::signal_mask::without_broken_pipe;

/// A system call that has not been made yet.
///
/// Whoever builds one promises that its pointers stay valid until it has run; see
/// [`Operation`](crate::driver::Operation).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SysCall {
    number: libc::c_long,
    arguments: [usize; 6],
    may_break_pipe: bool,
    teaches: bool,
}

impl SysCall {
    /// Describes the call `number` with up to six arguments, as `syscall(2)` takes them.
    #[inline]
    pub(crate) fn new<const N: usize>(number: libc::c_long, given: [usize; N]) -> Self {
        const { assert!(N <= 6, "a system call has at most six arguments") };
        let mut arguments = [0; 6];
        arguments[..N].copy_from_slice(&given);
        SysCall { number, arguments, may_break_pipe: false, teaches: false }
    }

    /// The call may raise SIGPIPE, and has no flag against it.
    pub(crate) fn that_may_break_pipe(mut self) -> Self {
        self.may_break_pipe = true;
        self
    }

    /// What the call opens, or tells of, is on a mount that is not known: a thread of the pool finds out
    /// what it is of, so that the next such call may be answered from memory.
    pub(crate) fn that_teaches(mut self, teaches: bool) -> Self {
        self.teaches = teaches;
        self
    }

    /// Makes the call. The result is as a completion carries it: a count, or a negated errno.
    ///
    /// # Safety
    ///
    /// The pointers among the arguments must be valid for what the call does with them.
    // Inlined: see `enter_kernel`.
    #[inline(always)]
    pub(crate) unsafe fn run(&self) -> i32 {
        #[cfg(feature = "sim")]
        // SAFETY: the caller vouches for the arguments.
        if let Some(result) = unsafe { self.simulated() } {
            return result;
        }
        if self.may_break_pipe {
            // SAFETY: the caller vouches for the arguments.
            return without_broken_pipe(|| unsafe { self.run_for_real() });
        }
        // SAFETY: the caller vouches for the arguments.
        unsafe { self.run_for_real() }
    }

    /// As [`run`](Self::run); if the call is newer than the kernel, or refused by a filter, then by
    /// an older one that does the same.
    ///
    /// # Safety
    ///
    /// As for [`run`](Self::run).
    pub(crate) unsafe fn run_old_or_new(&self) -> i32 {
        // SAFETY: the caller vouches for the arguments.
        let result = unsafe { self.run() };
        if self.teaches && result >= 0 {
            // SAFETY: as above.
            unsafe { self.teach(result) };
        }
        let may_be_refused = matches!(-result, libc::ENOSYS | libc::EPERM | libc::EINVAL);
        if !may_be_refused || self.number != libc::SYS_statx {
            return result;
        }
        let [folder, path, flags, _, answer, _] = self.arguments;
        // If there is another reason, it is the older call's, too.
        // SAFETY: the caller vouches for the path and for the place of the answer.
        unsafe { super::file::statx_by_stat(folder as _, path as _, flags as _, answer as _) }
    }

    /// Has the mount learned of which the call has told, by opening a file or by `statx(2)`.
    ///
    /// # Safety
    ///
    /// As for [`run`](Self::run).
    #[cold]
    unsafe fn teach(&self, result: i32) {
        let [folder, path, flags, ..] = self.arguments;
        match self.number {
            // SAFETY: the caller vouches for the path.
            libc::SYS_statx => unsafe { mounts::learn_at(folder as _, path as _, flags as _) },
            _ => mounts::learn(result),
        }
    }

    /// As [`run`](Self::run), on the kernel below also where another one is simulated.
    ///
    /// # Safety
    ///
    /// As for [`run`](Self::run).
    #[inline(always)]
    pub(super) unsafe fn run_for_real(&self) -> i32 {
        // SAFETY: the caller vouches for the arguments.
        let result = unsafe { self.enter_kernel() };
        // Counts are below 2^31: the kernel caps one read or write at 0x7ffff000 bytes.
        i32::try_from(result).unwrap_or(i32::MAX)
    }

    /// The call itself, and what the kernel answers: a count, or a negated errno.
    ///
    /// Without a function around it. The kernel's own calls overwrite what the processor remembers
    /// of returns to come, so the returns that follow a system call are mispredicted, one by one.
    /// For the same reason whatever leads to a hot one is `#[inline(always)]`.
    ///
    /// # Safety
    ///
    /// As for [`run`](Self::run).
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn enter_kernel(&self) -> isize {
        let [a, b, c, d, e, f] = self.arguments;
        let result;
        // SAFETY: the caller vouches for the arguments. The kernel's convention: these registers,
        // the answer in rax, rcx and r11 overwritten.
        unsafe {
            std::arch::asm!(
                "syscall",
                inlateout("rax") self.number as isize => result,
                in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
                lateout("rcx") _, lateout("r11") _,
                options(nostack),
            );
        }
        result
    }

    /// The call itself, and what the kernel answers: a count, or a negated errno.
    ///
    /// # Safety
    ///
    /// As for [`run`](Self::run).
    #[cfg(not(target_arch = "x86_64"))]
    unsafe fn enter_kernel(&self) -> isize {
        use std::io::Error;
        let [a, b, c, d, e, f] = self.arguments;
        // SAFETY: the caller vouches for the arguments.
        match unsafe { libc::syscall(self.number, a, b, c, d, e, f) } {
            -1 => -(Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) as isize),
            result => result as isize,
        }
    }

    /// The answer of the simulated world of this thread, if there is one and the call is its own.
    ///
    /// # Safety
    ///
    /// As for [`run`](Self::run).
    #[cfg(feature = "sim")]
    unsafe fn simulated(&self) -> Option<i32> {
        let world = super::sim::World::current()?;
        let [fd, pointer, len, ..] = self.arguments;
        let fd = fd as i32;
        let result = match self.number {
            libc::SYS_socket => {
                let [domain, kind, protocol, ..] = self.arguments.map(|argument| argument as i32);
                let fd = world.socket(domain, kind, protocol);
                fd.map(|fd| std::os::fd::IntoRawFd::into_raw_fd(fd) as usize)
            }
            _ if !world.has(fd) => return None,
            // SAFETY: the caller vouches for the buffer.
            libc::SYS_recvfrom => unsafe { world.recv_now(fd, pointer as *mut u8, len) },
            libc::SYS_sendto => {
                // SAFETY: the caller vouches for the buffer.
                world.send_now(fd, unsafe { std::slice::from_raw_parts(pointer as *const u8, len) })
            }
            // SAFETY: the caller vouches for the message.
            libc::SYS_sendmsg => unsafe { world.send_message_now(fd, pointer as *const _) },
            libc::SYS_shutdown => world.shutdown(fd, pointer as i32).map(|()| 0),
            _ => return None,
        };
        Some(match result {
            Ok(count) => count as i32,
            Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
        })
    }
}
