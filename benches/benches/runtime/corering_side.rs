//! corering, on one driver.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corering::fs::File;
use corering::sync::channel;
use corering::time::{sleep, sleep_until};
use corering::{Driver, JoinHandle, Runtime, spawn, test_support, yield_now};
use criterion::Criterion;

use crate::shared::{self, ARMED, CROWD, DEPTH, FAR, FIRING, READ_SIZE, Turn};

pub(crate) struct Corering {
    runtime: Runtime,
    name: String,
}

impl Corering {
    pub(crate) fn new(driver: Driver) -> io::Result<Self> {
        let runtime = Runtime::builder().driver(driver).build()?;
        Ok(Corering { runtime, name: driver.to_string() })
    }

    pub(crate) fn measure(&self, criterion: &mut Criterion) {
        self.tasks(criterion);
        self.messages(criterion);
        self.timers(criterion);
        self.operations(criterion);
    }

    fn figure<F: Future<Output = Duration>>(
        &self,
        criterion: &mut Criterion,
        name: &str,
        units: usize,
        body: impl Fn(u64) -> F,
    ) {
        shared::figure(criterion, name, &self.name, units, |rounds| {
            self.runtime.block_on(body(rounds))
        });
    }

    fn tasks(&self, criterion: &mut Criterion) {
        for crowd in [1, CROWD] {
            self.figure(criterion, &format!("spawn_{crowd}"), crowd, async |rounds| {
                let start = Instant::now();
                for _ in 0..rounds {
                    join((0..crowd).map(|_| spawn(async {})).collect()).await;
                }
                start.elapsed()
            });
        }
        for tasks in [1, 100] {
            self.figure(criterion, &format!("yield_{tasks}"), tasks, async |rounds| {
                let start = Instant::now();
                join((0..tasks).map(|_| spawn(yields(rounds))).collect()).await;
                start.elapsed()
            });
        }
    }

    fn messages(&self, criterion: &mut Criterion) {
        self.figure(criterion, "ping_pong", 1, async |rounds| {
            let turn = Rc::new(Turn::default());
            let play = |side| {
                let turn = turn.clone();
                spawn(async move { turn.play(side, rounds).await })
            };
            let start = Instant::now();
            join(vec![play(0), play(1)]).await;
            start.elapsed()
        });
        self.figure(criterion, "channel", 1, async |rounds| {
            let (sender, mut receiver) = channel::bounded(64);
            let start = Instant::now();
            let send = spawn(async move {
                for message in 0..rounds {
                    sender.send(message).await.expect("the receiver takes all");
                }
            });
            let receive = spawn(async move { while receiver.recv().await.is_some() {} });
            join(vec![send, receive]).await;
            start.elapsed()
        });
    }

    fn timers(&self, criterion: &mut Criterion) {
        let far = || sleep(FAR);
        self.figure(criterion, "timer_cancel", 1, |rounds| shared::cancel_timers(rounds, far));
        self.figure(criterion, "timer_fire", FIRING, |rounds| {
            shared::fire_timers(rounds, sleep_until)
        });
        let armed = self.runtime.block_on(shared::arm(ARMED, far));
        self.figure(criterion, "timer_cancel_beside_1M", 1, |rounds| {
            shared::cancel_timers(rounds, far)
        });
        self.figure(criterion, "timer_fire_beside_1M", FIRING, |rounds| {
            shared::fire_timers(rounds, sleep_until)
        });
        drop(armed);
    }

    fn operations(&self, criterion: &mut Criterion) {
        for depth in [1, DEPTH] {
            self.figure(criterion, &format!("nop_{depth}"), depth, async |rounds| {
                let start = Instant::now();
                join((0..depth).map(|_| spawn(nops(rounds))).collect()).await;
                start.elapsed()
            });
            self.figure(criterion, &format!("read_{depth}"), depth, async |rounds| {
                let zero = Rc::new(File::open("/dev/zero").await.expect("every Linux has it"));
                let start = Instant::now();
                join((0..depth).map(|_| spawn(reads(zero.clone(), rounds))).collect()).await;
                start.elapsed()
            });
        }
    }
}

async fn yields(rounds: u64) {
    for _ in 0..rounds {
        yield_now().await;
    }
}

async fn nops(rounds: u64) {
    for _ in 0..rounds {
        test_support::nop().await.expect("to do nothing cannot fail");
    }
}

async fn reads(zero: Rc<File>, rounds: u64) {
    let mut buffer = Vec::with_capacity(READ_SIZE);
    for _ in 0..rounds {
        (_, buffer) = zero.read_at(buffer, 0).await.expect("it can be read");
        assert_eq!(buffer.len(), READ_SIZE);
    }
}

async fn join(handles: Vec<JoinHandle<()>>) {
    for handle in handles {
        handle.await.expect("the task does not panic");
    }
}
