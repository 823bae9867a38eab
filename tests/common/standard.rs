//! Standard streams of the test's process, exchanged for others for a while, and what they are made of.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

/// A standard stream that is another one for a while. Only in a process that runs one test.
pub(crate) struct Exchanged {
    number: RawFd,
    before: OwnedFd,
}

impl Exchanged {
    /// Puts `fd` under the number, and closes it under its own.
    pub(crate) fn new(number: RawFd, fd: impl Into<OwnedFd>) -> Self {
        let exchanged = Exchanged { number, before: duplicate(number) };
        replace(number, &fd.into());
        exchanged
    }

    /// Closes the number.
    pub(crate) fn closed(number: RawFd) -> Self {
        let exchanged = Exchanged { number, before: duplicate(number) };
        // SAFETY: the number is a standard stream's, which has no owner.
        assert_eq!(unsafe { libc::close(number) }, 0);
        exchanged
    }
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        replace(self.number, &self.before);
    }
}

/// A duplicate of which no standard stream has the number.
fn duplicate(number: RawFd) -> OwnedFd {
    // SAFETY: F_DUPFD_CLOEXEC takes a number.
    owned(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 10) }).expect("a number is free")
}

fn replace(number: RawFd, with: &OwnedFd) {
    // SAFETY: the call takes numbers, and that of a standard stream has no owner.
    assert_eq!(unsafe { libc::dup2(with.as_raw_fd(), number) }, number);
}

fn owned(result: i32) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// A pseudoterminal: what a person types and sees, and the terminal, which has no process.
pub(crate) fn pty() -> io::Result<(File, OwnedFd)> {
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut::<u8>();
    // SAFETY: both numbers are written during the call; the others may be null.
    let opened = unsafe {
        libc::openpty(&raw mut master, &raw mut slave, null.cast(), null.cast(), null.cast())
    };
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((owned(master)?.into(), owned(slave)?))
}

/// Lets nobody open a terminal again who is not root.
pub(crate) fn forbid(terminal: &OwnedFd) -> io::Result<()> {
    // SAFETY: the call takes numbers.
    match unsafe { libc::fchmod(terminal.as_raw_fd(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A file without a name that has these bytes, at its beginning.
pub(crate) fn scratch(bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the path ends with a NUL.
    let file = unsafe {
        libc::open(c"/tmp".as_ptr(), libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC, 0o600)
    };
    let mut file = File::from(owned(file)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// A FIFO in the folder for temporary files.
pub(crate) struct Fifo(PathBuf);

impl Fifo {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corering-fifo-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let text = CString::new(path.as_os_str().as_bytes()).expect("it has no NUL");
        // SAFETY: the path ends with a NUL and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        Fifo(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A thread that looks at a mode all the time.
pub(crate) struct Watch {
    thread: JoinHandle<u64>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    /// Sets the mode of an open file, and watches whether it stays.
    pub(crate) fn new(fd: OwnedFd, nonblocking: bool) -> Self {
        let flags = |fd: &OwnedFd| {
            // SAFETY: F_GETFL takes no argument.
            let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
            assert!(flags >= 0, "the descriptor is open");
            flags
        };
        let before = flags(&fd) & !libc::O_NONBLOCK;
        let set = before | if nonblocking { libc::O_NONBLOCK } else { 0 };
        // SAFETY: F_SETFL takes a number.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, set) }, 0);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut looks = 0;
            // Once more at the end.
            loop {
                let last = stopped.load(Ordering::SeqCst);
                assert_eq!(flags(&fd), set, "the mode has changed");
                looks += 1;
                if last {
                    return looks;
                }
                thread::yield_now();
            }
        });
        Watch { thread, stop }
    }

    /// Fails if the mode was another one at any time.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        let looks = self.thread.join().expect("the mode stays as it is");
        assert!(looks > 0);
    }
}
