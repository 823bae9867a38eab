//! Running one test again in a process of its own, with other limits, rights or system calls.
//!
//! A test that changes its process first asks [`is_child`]. In the child it does its work; in the harness
//! it describes the child and lets it run:
//!
//! ```ignore
//! #[test]
//! fn probe_names_seccomp() {
//!     if !child::is_child() {
//!         return Child::of("probe_names_seccomp").deny_io_uring(libc::EPERM).passes();
//!     }
//!     assert!(corering::probe().refusal().is_some());
//! }
//! ```

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Set in the child, with the name of its test.
const CHILD: &str = "CORERING_TEST_CHILD";

/// Whether this process was started by [`Child`].
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// A process that runs one test of this executable.
#[must_use = "a child runs when `output` or `passes` is called"]
pub(crate) struct Child {
    command: Command,
    limits: Vec<(usize, u64)>,
    user: Option<u32>,
    /// Whether mounts of the child are its own.
    mounts: bool,
    /// What answers some system calls with an error number.
    filter: Option<Vec<libc::sock_filter>>,
    /// Limits of the user, by their names in `/proc/sys/user`, in a namespace of users.
    of_user: Vec<(CString, String)>,
}

#[allow(dead_code)] // Each test file uses a part.
impl Child {
    /// Will run the test of this name (with the names of its modules).
    pub(crate) fn of(test: &str) -> Self {
        // By this name a user who may not enter the build's folder can execute it all the same.
        let mut command = Command::new("/proc/self/exe");
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
        command.env(CHILD, test).env_remove("CORERING_DRIVER");
        let (limits, of_user) = (Vec::new(), Vec::new());
        Child { command, limits, user: None, mounts: false, filter: None, of_user }
    }

    /// Sets both the soft and the hard limit of a resource (`libc::RLIMIT_*`).
    pub(crate) fn limit(mut self, resource: impl TryInto<usize>, value: u64) -> Self {
        // The C libraries have different types for a resource.
        let Ok(resource) = resource.try_into() else { panic!("no resource has this number") };
        self.limits.push((resource, value));
        self
    }

    /// Sets a limit of the user (a file in `/proc/sys/user`), in a namespace of users of its own.
    pub(crate) fn limit_of_user(mut self, name: &str, value: u64) -> Self {
        let path = CString::new(format!("/proc/sys/user/{name}")).expect("a name has no NUL");
        self.of_user.push((path, value.to_string()));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives up all capabilities, by becoming a user whom nobody else is: locked memory is counted for
    /// each user, so two tests must not be the same one. Without root the user stays, and has none.
    pub(crate) fn without_capabilities(mut self) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = process::id() * 16 + NEXT.fetch_add(1, Ordering::Relaxed);
        self.user = Some(1_000_000 + number % 1_000_000_000);
        self
    }

    /// Gives the child mounts of its own: what it mounts is seen by nobody else, and gone with it.
    pub(crate) fn with_own_mounts(mut self) -> Self {
        self.mounts = true;
        self
    }

    /// Runs the child as a command of another program, which has these arguments.
    pub(crate) fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        let own = std::env::current_exe().expect("the system knows the executable");
        command.args(arguments).arg(own).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.command = command;
        self
    }

    /// Denies the three system calls of io_uring with an error number, by a seccomp filter.
    pub(crate) fn deny_io_uring(self, errno: i32) -> Self {
        let calls =
            [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
        self.refuse(&calls, errno)
    }

    /// Refuses system calls (`libc::SYS_*`) with an error number, by a seccomp filter.
    pub(crate) fn refuse(mut self, calls: &[libc::c_long], errno: i32) -> Self {
        self.filter = Some(filter_of(calls, errno));
        self
    }

    /// Refuses to open files with a flag (`libc::O_*`) by `openat(2)`, as a file system may.
    pub(crate) fn refuse_to_open(mut self, flag: i32, errno: i32) -> Self {
        self.filter = Some(filter_of_flag(flag, errno));
        self
    }

    /// Runs the child and returns what it printed, whether or not it succeeded.
    pub(crate) fn output(self) -> Output {
        let needs_mounts = self.mounts;
        let mut command = self.prepared();
        command.output().unwrap_or_else(|error| match needs_mounts {
            true => panic!(
                "no mounts of its own for a process: {error}. Run the test as root, or allow user \
                 namespaces"
            ),
            false => panic!("{command:?} does not run: {error}"),
        })
    }

    /// Starts the child, with pipes for what it prints.
    pub(crate) fn spawn(self) -> process::Child {
        let mut command = self.prepared();
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the test's own executable runs again")
    }

    fn prepared(mut self) -> Command {
        let filter = self.filter;
        let (limits, user, of_user) = (self.limits, self.user, self.of_user);
        let maps = self.mounts.then(maps);
        // SAFETY: between fork and exec the closure only makes system calls; its memory was allocated
        // before the fork.
        unsafe {
            self.command.pre_exec(move || {
                maps.as_deref().map_or(Ok(()), leave_mounts)?;
                limits.iter().try_for_each(|&(resource, value)| set_limit(resource, value))?;
                limit_user(&of_user)?;
                user.map_or(Ok(()), become_user)?;
                filter.as_deref().map_or(Ok(()), install_filter)
            });
        }
        self.command
    }

    /// Runs the child and fails unless it passed.
    pub(crate) fn passes(self) {
        let output = self.output();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        // A misspelt name would run no test and succeed.
        let ran = out.contains("1 passed");
        assert!(output.status.success() && ran, "{}\n{out}\n{err}", output.status);
    }
}

/// What a child printed, as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Refuses system calls on this thread, and on those that it starts, from now on.
#[allow(dead_code)] // Each test file uses a part.
pub(crate) fn refuse_here(calls: &[libc::c_long], errno: i32) -> io::Result<()> {
    install_filter(&filter_of(calls, errno))
}

fn set_limit(resource: usize, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    let nothing = std::ptr::null_mut::<libc::rlimit>();
    // SAFETY: the pointer leads to an rlimit that outlives the call; the former one is not asked for.
    let result =
        unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, nothing) };
    checked(result as libc::c_int)
}

fn limit_user(limits: &[(CString, String)]) -> io::Result<()> {
    if limits.is_empty() {
        return Ok(());
    }
    // SAFETY: unshare takes a number; this process, which was just forked, has one thread.
    checked(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
    write_each(limits)
}

/// Writes files of the kernel.
fn write_each(files: &[(CString, String)]) -> io::Result<()> {
    for (path, value) in files {
        // SAFETY: the path is a string that outlives the call.
        let file = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
        checked(file.min(0))?;
        // SAFETY: the text outlives the call. What is opened is closed by exec.
        let written = unsafe { libc::write(file, value.as_ptr().cast(), value.len()) };
        checked(written.min(0) as libc::c_int)?;
    }
    Ok(())
}

/// The files that say who is who in a namespace of users, and what is written to each: this user is the
/// only one, and root there.
fn maps() -> Vec<(CString, String)> {
    // SAFETY: neither call takes a pointer.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let file = |name: &str, text| {
        (CString::new(format!("/proc/self/{name}")).expect("a name has no NUL"), text)
    };
    vec![
        file("setgroups", "deny".to_owned()),
        file("uid_map", format!("0 {user} 1")),
        file("gid_map", format!("0 {group} 1")),
    ]
}

/// Moves to mounts that are this process's own; without the right to that, in a namespace of users.
fn leave_mounts(maps: &[(CString, String)]) -> io::Result<()> {
    // SAFETY: unshare takes a number.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        // SAFETY: as above; this process, which was just forked, has one thread.
        checked(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) })?;
        write_each(maps)?;
    }
    let (none, all) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
    // SAFETY: the one path is a string; this kind of mount has neither a source nor data.
    checked(unsafe { libc::mount(none, c"/".as_ptr(), none, all, none.cast()) })
}

fn become_user(user: u32) -> io::Result<()> {
    // SAFETY: geteuid takes no pointer.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    // SAFETY: a count of 0 means that the pointer is not read.
    checked(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: setresgid takes no pointer.
    checked(unsafe { libc::setresgid(user, user, user) })?;
    // SAFETY: setresuid takes no pointer.
    checked(unsafe { libc::setresuid(user, user, user) })
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

fn statement(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap(), jt, jf, k }
}

/// `openat(2)` has its flags in the third argument, which begins at byte 32 of what a filter sees.
fn filter_of_flag(flag: i32, errno: i32) -> Vec<libc::sock_filter> {
    let low_half = if cfg!(target_endian = "little") { 32 } else { 36 };
    vec![
        statement(LOAD, 0, 0, 0),
        statement(IF_EQUAL, u32::try_from(libc::SYS_openat).unwrap(), 0, 3),
        statement(LOAD, low_half, 0, 0),
        statement(IF_ANY_BIT, flag as u32, 0, 1),
        statement(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0),
        statement(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ]
}

fn filter_of(calls: &[libc::c_long], errno: i32) -> Vec<libc::sock_filter> {
    let mut filter = vec![statement(LOAD, 0, 0, 0)];
    for &call in calls {
        filter.push(statement(IF_EQUAL, u32::try_from(call).unwrap(), 0, 1));
        filter.push(statement(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0));
    }
    filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    filter
}

fn install_filter(filter: &[libc::sock_filter]) -> io::Result<()> {
    // SAFETY: this option takes numbers only. Without it the filter would need a capability.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program leads to a filter of that length; the kernel copies and checks it.
    checked(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
