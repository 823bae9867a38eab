//! What the echo servers on other runtimes have in common with `corering-bench serve`: the command
//! line, the lines that they print, and where they run.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use lexopt::prelude::{Long, ValueExt};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A server that is about to begin.
#[derive(Debug)]
pub struct Peer {
    /// Listens already; what it accepts is without Nagle's delay.
    pub listener: TcpListener,
    /// What a buffer of a connection should hold, so that a whole message fits in.
    pub buffer_bytes: usize,
}

impl Peer {
    /// Listens as the command line says: `--addr ADDRESS --size BYTES --cpu NUMBER`.
    ///
    /// Options of `corering-bench serve` that make no difference to an echo are accepted.
    pub fn open() -> io::Result<Peer> {
        let usage =
            |error: lexopt::Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut size = 64;
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next().map_err(usage)? {
            match argument {
                Long("addr") => {
                    address = parser.value().and_then(|text| text.parse()).map_err(usage)?
                }
                Long("size") => {
                    size = parser.value().and_then(|text| text.parse()).map_err(usage)?
                }
                Long("cpu") => {
                    pin_to_cpu(parser.value().and_then(|text| text.parse()).map_err(usage)?)?;
                }
                Long("workload") => {
                    let workload = parser.value().map_err(usage)?;
                    if !["echo", "churn", "idle"].map(OsString::from).contains(&workload) {
                        let text = format!(
                            "{} is not served: only echo, churn and idle",
                            workload.display()
                        );
                        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
                    }
                }
                other => return Err(usage(other.unexpected())),
            }
        }
        let listener = TcpListener::bind(address).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        prepare(&listener)?;
        Ok(Peer { listener, buffer_bytes: size.clamp(2 * 1024, 128 * 1024) })
    }

    /// Tells whoever started this server that it listens, and ends it at a signal.
    pub fn announce(address: SocketAddr) -> io::Result<()> {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        thread::spawn(move || {
            signals.forever().next();
            // It counts nothing.
            println!("counters {{}}");
            std::process::exit(0);
        });
        let mut output = io::stdout().lock();
        writeln!(output, "listening on {address}")?;
        output.flush()
    }
}

/// Everything that a server of `corering-bench` has from its beginning.
fn prepare(listener: &TcpListener) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let one: libc::c_int = 1;
    let (fd, size) = (listener.as_raw_fd(), size_of_val(&one) as libc::socklen_t);
    // SAFETY: the pointer is to a number of this function, whose size is given.
    let set = unsafe {
        libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const one).cast(), size)
    };
    check(set)?;
    // What `TcpListener::bind` asks for is too few for a thousand connections at once.
    // SAFETY: the call takes two numbers.
    check(unsafe { libc::listen(fd, 4096) })?;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a `rlimit` of this function.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to an initialised `rlimit` of this function.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    // SAFETY: the call takes two numbers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no CPU {cpu}")));
    }
    // SAFETY: a `cpu_set_t` is a bit mask, for which all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is within the set, which was just compared.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is initialised and its size is that of its type.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
