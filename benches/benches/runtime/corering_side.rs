//! corering, on one driver.

use std::io;
use std::rc::Rc;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use corering::fs::File;
use corering::sync::channel;
use corering::task::TaskGroup;
use corering::time::{sleep, sleep_until};
use corering::{
    Driver, JoinHandle, Runtime, ShardReceiver, ShardSender, shard_channel, spawn, test_support,
    yield_now,
};
use criterion::Criterion;

use crate::shared::{self, DEPTH, READ_SIZE};
use crate::work::{self, ARMED, CROWD, FAR, FIRING, Turn};

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
        for is_awake in [false, true] {
            let name = if is_awake { "cross_awake" } else { "cross_parked" };
            shared::figure(criterion, name, &self.name, 1, |rounds| {
                cross_shards(self.runtime.driver(), is_awake, rounds)
            });
        }
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
        self.figure(criterion, &format!("group_{CROWD}"), CROWD, async |rounds| {
            let start = Instant::now();
            for _ in 0..rounds {
                let group = TaskGroup::<()>::new();
                for _ in 0..CROWD {
                    group.spawn(|_| async { Ok(()) });
                }
                group.join().await.expect("none fails");
            }
            start.elapsed()
        });
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
        let armed = self.runtime.block_on(work::arm(ARMED, far));
        self.figure(criterion, "timer_insert", FIRING, |rounds| work::insert_timers(rounds, far));
        self.figure(criterion, "timer_cancel", FIRING, |rounds| work::cancel_timers(rounds, far));
        self.figure(criterion, "timer_fire", FIRING, |rounds| {
            work::fire_timers(rounds, sleep_until)
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

type Ends = (ShardSender<u64>, ShardReceiver<u64>);

/// Messages to another shard and back. The shards live as long as this call, on threads of their
/// own, since a shard pins its thread.
fn cross_shards(driver: Driver, is_awake: bool, rounds: u64) -> Duration {
    let (to_second, from_first) = shard_channel();
    let (to_first, from_second) = shard_channel();
    let ends =
        [Mutex::new(Some((to_second, from_second))), Mutex::new(Some((to_first, from_first)))];
    // Where there is one CPU, the shards take turns on it.
    let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
    let run = || {
        builder.run(|shard| {
            let ends = &ends[shard.id()];
            async move {
                let ends = ends.lock().expect("nobody panics with it").take();
                let ends = ends.expect("each shard runs its main future once");
                let busy = is_awake.then(|| {
                    spawn(async {
                        loop {
                            yield_now().await;
                        }
                    })
                });
                let taken =
                    if shard.id() == 0 { call(ends, rounds).await } else { answer(ends).await };
                if let Some(busy) = busy {
                    busy.abort();
                }
                taken
            }
        })
    };
    let taken = thread::scope(|scope| scope.spawn(run).join().expect("no shard panics"));
    taken.expect("one shard has started already")[0]
}

async fn call((sender, mut receiver): Ends, rounds: u64) -> Duration {
    let start = Instant::now();
    for number in 0..rounds {
        sender.send(number).expect("the other shard answers until we end");
        assert_eq!(receiver.recv().await, Some(number));
    }
    start.elapsed()
}

async fn answer((sender, mut receiver): Ends) -> Duration {
    while let Some(number) = receiver.recv().await {
        sender.send(number).expect("the other shard waits for it");
    }
    Duration::ZERO
}
