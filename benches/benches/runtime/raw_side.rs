//! What a person would write by hand without a runtime: the limit.
//!
//! A loop on one ring that only its thread uses, whose work is done when the thread enters: one call
//! submits what there is and waits for the first completion, and what completed goes in again at
//! once. The ring's descriptor is not registered, which is within the noise here.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use criterion::Criterion;
use io_uring::{IoUring, opcode, squeue, types};

use crate::shared::{self, DEPTH, READ_SIZE};

pub(crate) fn measure(criterion: &mut Criterion) {
    match Loop::new() {
        Ok(mut ring) => ring.measure(criterion),
        Err(error) => eprintln!("the raw ring is not measured: {error}"),
    }
    let park = |_| thread::park();
    shared::figure(criterion, "cross_parked", "raw", 1, |rounds| {
        cross_threads(rounds, park, Thread::unpark)
    });
    shared::figure(criterion, "cross_awake", "raw", 1, |rounds| {
        cross_threads(rounds, spin, |_| ())
    });
}

/// Also ends where both threads have to share a CPU with others.
fn spin(turns: u32) {
    if turns.is_multiple_of(1024) { thread::yield_now() } else { std::hint::spin_loop() }
}

struct Loop {
    ring: IoUring,
    zero: File,
    /// One for each operation that can be in flight.
    buffers: Vec<[u8; READ_SIZE]>,
}

impl Loop {
    fn new() -> io::Result<Self> {
        let entries = DEPTH as u32;
        let tuned = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(entries);
        // A kernel before 6.1 knows neither flag.
        let ring = tuned.or_else(|_| IoUring::new(entries))?;
        Ok(Loop { ring, zero: File::open("/dev/zero")?, buffers: vec![[0; READ_SIZE]; DEPTH] })
    }

    fn measure(&mut self, criterion: &mut Criterion) {
        for depth in [1, DEPTH] {
            shared::figure(criterion, &format!("nop_{depth}"), "raw", depth, |rounds| {
                self.run(rounds, depth, 0, |_, _| opcode::Nop::new().build())
            });
            let zero = types::Fd(self.zero.as_raw_fd());
            shared::figure(criterion, &format!("read_{depth}"), "raw", depth, |rounds| {
                let length = READ_SIZE as u32;
                self.run(rounds, depth, length, |buffers, place| {
                    opcode::Read::new(zero, buffers[place].as_mut_ptr(), length).build()
                })
            });
        }
    }

    /// Does `rounds` times `depth` operations, with `depth` of them in flight as long as there are
    /// so many left. Each has a place of its own, and is to end with `result`.
    fn run(
        &mut self,
        rounds: u64,
        depth: usize,
        result: u32,
        entry: impl Fn(&mut [[u8; READ_SIZE]], usize) -> squeue::Entry,
    ) -> Duration {
        let total = rounds * depth as u64;
        let start = Instant::now();
        for place in 0..depth {
            push(&mut self.ring, &entry(&mut self.buffers, place), place);
        }
        let (mut started, mut done) = (depth as u64, 0);
        let mut free = Vec::with_capacity(depth);
        while done < total {
            self.ring.submit_and_wait(1).expect("the ring works");
            for completion in self.ring.completion() {
                assert_eq!(u32::try_from(completion.result()), Ok(result));
                free.push(completion.user_data() as usize);
            }
            done += free.len() as u64;
            for place in free.drain(..) {
                if started < total {
                    push(&mut self.ring, &entry(&mut self.buffers, place), place);
                    started += 1;
                }
            }
        }
        start.elapsed()
    }
}

fn push(ring: &mut IoUring, entry: &squeue::Entry, place: usize) {
    let entry = entry.clone().user_data(place as u64);
    // SAFETY: a read has the buffer of its place to itself until its completion, which `run` awaits,
    // and the buffers and the file live as long as the ring.
    unsafe { ring.submission().push(&entry) }.expect("there is an entry for each place");
}

/// Two threads that hand a number to each other: a round is there and back. `wait` is told how often
/// it was called before.
fn cross_threads(rounds: u64, wait: fn(u32), wake: fn(&Thread)) -> Duration {
    let number = AtomicU64::new(0);
    let until = |wanted: u64| {
        let mut turns = 1;
        while number.load(Ordering::Acquire) != wanted {
            wait(turns);
            turns = turns.wrapping_add(1);
        }
    };
    let call = |answering: &Thread| {
        shared::pin(0);
        let start = Instant::now();
        for round in 0..rounds {
            number.store(2 * round + 1, Ordering::Release);
            wake(answering);
            until(2 * round + 2);
        }
        start.elapsed()
    };
    let answer = |caller: &Thread| {
        shared::pin(1);
        for round in 0..rounds {
            until(2 * round + 1);
            number.store(2 * round + 2, Ordering::Release);
            wake(caller);
        }
    };
    thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let caller = thread::current();
            let answering = scope.spawn(move || answer(&caller));
            call(answering.thread())
        });
        calling.join().expect("the threads do not panic")
    })
}
