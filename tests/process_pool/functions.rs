//! What the workers of the tests run.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, exit};

use corering::process::{Functions, Pool, functions};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) const FUNCTIONS: Functions = functions![
    pid,
    echo,
    waits,
    loops,
    panics,
    ends,
    aborts,
    crashes,
    allocates,
    prints,
    tagged,
    repeated,
    unsent,
    descriptors,
    pool,
];

pub(crate) const OTHER_FUNCTIONS: Functions = functions![echo, pid];

pub(crate) fn pid((): ()) -> u32 {
    std::process::id()
}

pub(crate) fn echo(text: String) -> String {
    text
}

/// Says to a socket that it has begun, and waits for its word. Gives the worker's number.
pub(crate) fn waits(path: String) -> u32 {
    let mut gate = UnixStream::connect(path).expect("the test listens");
    gate.write_all(&std::process::id().to_le_bytes()).expect("the test reads");
    let _ = gate.read(&mut [0]);
    std::process::id()
}

/// Says to a socket that it has begun, and never returns.
pub(crate) fn loops(path: String) {
    let mut gate = UnixStream::connect(path).expect("the test listens");
    gate.write_all(&std::process::id().to_le_bytes()).expect("the test reads");
    loop {
        std::hint::spin_loop();
    }
}

pub(crate) fn panics(message: String) {
    panic!("{message}");
}

pub(crate) fn ends(code: i32) {
    exit(code);
}

pub(crate) fn aborts((): ()) {
    std::process::abort();
}

pub(crate) fn crashes(signal: i32) {
    // SAFETY: raise takes a number.
    unsafe { libc::raise(signal) };
}

/// Touches memory, and gives its size.
pub(crate) fn allocates(bytes: usize) -> usize {
    vec![1_u8; bytes].iter().map(|byte| usize::from(*byte)).sum()
}

pub(crate) fn prints(text: String) -> String {
    print!("{text}");
    text
}

/// Computes for a while, and gives the tag.
pub(crate) fn tagged((tag, rounds): (u64, u32)) -> u64 {
    (0..rounds).fold(0_u64, |sum, round| std::hint::black_box(sum ^ u64::from(round)));
    tag
}

pub(crate) fn repeated((text, times): (String, usize)) -> String {
    text.repeat(times)
}

/// Not in the table.
pub(crate) fn unlisted((): ()) {}

/// What serde refuses, at the place of this number.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused(pub(crate) u8);

pub(crate) const IN_REQUEST: u8 = 0;
pub(crate) const BY_WORKER: u8 = 1;
pub(crate) const IN_ANSWER: u8 = 2;
pub(crate) const BY_CALLER: u8 = 3;
pub(crate) const NOWHERE: u8 = 4;

impl Serialize for Refused {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, is_worker()) {
            (IN_REQUEST, false) | (IN_ANSWER, true) => {
                Err(serde::ser::Error::custom("it is not to be sent"))
            }
            _ => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Refused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place = u8::deserialize(deserializer)?;
        match (place, is_worker()) {
            (BY_WORKER, true) | (BY_CALLER, false) => {
                Err(serde::de::Error::custom("it is not to be received"))
            }
            _ => Ok(Refused(place)),
        }
    }
}

fn is_worker() -> bool {
    std::env::args().nth(1).is_some_and(|argument| argument == "--corering-worker")
}

pub(crate) fn unsent(value: Refused) -> Refused {
    value
}

/// The descriptors of this worker, and those of a child of its own.
pub(crate) fn descriptors((): ()) -> (usize, usize) {
    // The folder itself is one of them while it is read.
    let own = fs::read_dir("/proc/self/fd").expect("it is there").count() - 1;
    let listed = Command::new("ls").arg("/proc/self/fd").output().expect("ls runs");
    let childs = String::from_utf8_lossy(&listed.stdout).lines().count() - 1;
    (own, childs)
}

/// Why a worker has no pool.
pub(crate) fn pool((): ()) -> String {
    Pool::new(FUNCTIONS).map_or_else(|error| error.to_string(), |_| "it has".to_owned())
}
