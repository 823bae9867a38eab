//! tokio's current-thread runtime, doing the same.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use tokio::runtime::{Builder, Runtime};
use tokio::spawn;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinHandle, spawn_blocking, yield_now};
use tokio::time::{sleep, sleep_until};

use crate::shared::{self, DEPTH, READ_SIZE};
use crate::work::{self, ARMED, CROWD, FAR, FIRING, Turn};

pub(crate) struct Tokio {
    runtime: Runtime,
}

impl Tokio {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Tokio { runtime: runtime.expect("epoll is always there") }
    }

    pub(crate) fn measure(&self, criterion: &mut Criterion) {
        self.tasks(criterion);
        self.messages(criterion);
        self.timers(criterion);
        self.reads(criterion);
        for is_awake in [false, true] {
            let name = if is_awake { "cross_awake" } else { "cross_parked" };
            shared::figure(criterion, name, "tokio", 1, |rounds| cross_threads(is_awake, rounds));
        }
    }

    fn figure<F: Future<Output = Duration>>(
        &self,
        criterion: &mut Criterion,
        name: &str,
        units: usize,
        body: impl Fn(u64) -> F,
    ) {
        shared::figure(criterion, name, "tokio", units, |rounds| {
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
            let turn = Arc::new(Turn::default());
            let play = |side| {
                let turn = turn.clone();
                spawn(async move { turn.play(side, rounds).await })
            };
            let start = Instant::now();
            join(vec![play(0), play(1)]).await;
            start.elapsed()
        });
        self.figure(criterion, "channel", 1, async |rounds| {
            let (sender, mut receiver) = mpsc::channel(64);
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
        let until = |due: Instant| sleep_until(due.into());
        let armed = self.runtime.block_on(work::arm(ARMED, far));
        self.figure(criterion, "timer_insert", FIRING, |rounds| work::insert_timers(rounds, far));
        self.figure(criterion, "timer_cancel", FIRING, |rounds| work::cancel_timers(rounds, far));
        self.figure(criterion, "timer_fire", FIRING, |rounds| work::fire_timers(rounds, until));
        drop(armed);
    }

    fn reads(&self, criterion: &mut Criterion) {
        for depth in [1, DEPTH] {
            self.figure(criterion, &format!("read_{depth}"), depth, async |rounds| {
                let zero = Arc::new(File::open("/dev/zero").expect("every Linux has it"));
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

/// As `tokio::fs` reads, on a thread of the pool, but at a given place and into one buffer.
async fn reads(zero: Arc<File>, rounds: u64) {
    let mut buffer = vec![0; READ_SIZE];
    for _ in 0..rounds {
        let zero = zero.clone();
        let read = spawn_blocking(move || zero.read_exact_at(&mut buffer, 0).map(|()| buffer));
        buffer = read.await.expect("the closure does not panic").expect("it can be read");
    }
}

async fn join(handles: Vec<JoinHandle<()>>) {
    for handle in handles {
        handle.await.expect("the task does not panic");
    }
}

type Ends = (UnboundedSender<u64>, UnboundedReceiver<u64>);

/// Messages to a runtime on another thread and back. The runtimes live as long as this call.
fn cross_threads(is_awake: bool, rounds: u64) -> Duration {
    let (to_second, from_first) = mpsc::unbounded_channel();
    let (to_first, from_second) = mpsc::unbounded_channel();
    thread::scope(|scope| {
        scope.spawn(move || on_cpu(1, is_awake, answer((to_first, from_first))));
        let caller =
            scope.spawn(move || on_cpu(0, is_awake, call((to_second, from_second), rounds)));
        caller.join().expect("the thread does not panic")
    })
}

fn on_cpu<F: Future>(cpu: usize, is_awake: bool, body: F) -> F::Output {
    shared::pin(cpu);
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("epoll is always there");
    runtime.block_on(async {
        if is_awake {
            // The end of the runtime is its end.
            spawn(async {
                loop {
                    yield_now().await;
                }
            });
        }
        body.await
    })
}

async fn call((sender, mut receiver): Ends, rounds: u64) -> Duration {
    let start = Instant::now();
    for number in 0..rounds {
        sender.send(number).expect("the other thread answers until we end");
        assert_eq!(receiver.recv().await, Some(number));
    }
    start.elapsed()
}

async fn answer((sender, mut receiver): Ends) {
    while let Some(number) = receiver.recv().await {
        sender.send(number).expect("the other thread waits for it");
    }
}
