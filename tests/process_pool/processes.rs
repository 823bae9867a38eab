//! What is left in `/proc`, waits that end with a condition, and gates by which a test knows that a
//! function has begun.

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs, io, process};

use corering::net::{UnixListener, UnixStream};
use corering::test_support::{TestOutput, run};
use corering::time::sleep;

/// Long enough for anything on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a body on both drivers; it leaves neither processes nor threads nor descriptors.
pub(crate) fn on_both_drivers<B, F>(name: &str, body: B)
where
    B: Fn() -> F,
    F: Future<Output: TestOutput>,
{
    let before = Left::now();
    run(name, None, body);
    let ends = Instant::now() + LIMIT;
    while Left::now() != before && Instant::now() < ends {
        // Threads end in their own time.
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(Left::now(), before, "left behind");
}

#[derive(Debug, PartialEq)]
struct Left {
    children: Vec<u32>,
    threads: usize,
    descriptors: usize,
}

impl Left {
    fn now() -> Left {
        Left { children: children(), threads: threads(), descriptors: entries("/proc/self/fd") }
    }
}

pub(crate) fn threads() -> usize {
    entries("/proc/self/task")
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).expect("it is there").count()
}

/// The children of this process, those that have ended and were not reaped among them.
pub(crate) fn children() -> Vec<u32> {
    let folders = fs::read_dir("/proc").expect("it is there").filter_map(Result::ok);
    let pids = folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok());
    pids.filter(|pid| state_of(*pid).is_some_and(|(_, parent)| parent == process::id())).collect()
}

/// Whether a process runs: neither gone nor a zombie.
pub(crate) fn runs(pid: u32) -> bool {
    state_of(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// The state of a process, and its parent.
fn state_of(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have anything in it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

pub(crate) fn kill(pid: u32, signal: i32) {
    // SAFETY: kill takes numbers.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Looks again and again until it holds.
#[track_caller]
pub(crate) fn until(what: &'static str, holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let ends = Instant::now() + LIMIT;
        while !holds() {
            assert!(Instant::now() < ends, "{what}, at {caller}");
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// As [`until`], without a runtime.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let ends = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < ends, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) async fn no_child_is_left() {
    until("children are left", || children().is_empty()).await;
}

/// A socket to which functions say that they have begun.
pub(crate) struct Gate {
    listener: UnixListener,
    path: PathBuf,
}

impl Gate {
    pub(crate) async fn new() -> io::Result<Gate> {
        let path = env::temp_dir().join(format!("corering-gate-{}", process::id()));
        let _ = fs::remove_file(&path);
        Ok(Gate { listener: UnixListener::bind(&path).await?, path })
    }

    pub(crate) fn path(&self) -> String {
        self.path.to_str().expect("the folder's name is text").to_owned()
    }

    /// Waits until a function has begun. The stream, dropped, lets it go on; the number is its worker's.
    pub(crate) async fn begun(&mut self) -> io::Result<(UnixStream, u32)> {
        let mut stream = self.listener.accept().await?;
        let pid = stream.read_exact(Vec::with_capacity(4), 4).await?;
        Ok((stream, u32::from_le_bytes(pid.try_into().expect("four bytes"))))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
