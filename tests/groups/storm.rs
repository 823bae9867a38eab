//! Many small groups that end at random points, and what they leave: nothing.
//!
//! The bodies run here on both drivers, and in `tests/sim` on many seeds.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use corering::net::{ByteStream, Family};
use corering::task::{CancelToken, GroupScope, TaskGroup, local_group, spawn};
use corering::time::{Duration, sleep, timeout};
use corering::yield_now;

use crate::net::{Random, poll_once};

type Group = TaskGroup<&'static str>;
type Scope = GroupScope<&'static str>;
type Child = Pin<Box<dyn Future<Output = Result<(), &'static str>>>>;
type Streams<F> = (ByteStream<F>, ByteStream<F>);

/// Ends `count` groups, ten at a time. The streams are those of a connection.
pub(crate) async fn storm<F: Family>(
    seed: u64,
    count: usize,
    pair: impl AsyncFn() -> io::Result<Streams<F>>,
) {
    let mut random = Random(seed);
    for _ in 0..count.div_ceil(10) {
        let mut groups = Vec::new();
        for _ in 0..10 {
            let streams =
                if random.below(2) == 0 { Some(pair().await.expect("sockets")) } else { None };
            groups.push(spawn(one_group(fork(&mut random), streams)));
        }
        for group in groups {
            group.await.expect("it does not panic");
        }
    }
}

fn fork(random: &mut Random) -> Random {
    Random(random.next())
}

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(300) as u64)
}

async fn turns(random: &mut Random, most: usize) {
    for _ in 0..random.below(most) {
        yield_now().await;
    }
}

/// A child that is not gone.
struct Alive(Rc<Cell<u32>>);

impl Alive {
    fn new(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn one_group<F: Family>(mut random: Random, streams: Option<Streams<F>>) {
    let (living, stop) = (Rc::new(Cell::new(0)), CancelToken::new());
    let group = Group::under(&stop);
    let grace = [Duration::ZERO, Duration::from_micros(200)][random.below(2)];
    let group = group.with_grace(grace);
    for _ in 0..1 + random.below(3) {
        let (random, alive) = (fork(&mut random), Alive::new(&living));
        group.spawn(|scope| child(scope, random, alive, 2));
    }
    if let Some((one, other)) = streams {
        for stream in [one, other] {
            let (random, alive) = (fork(&mut random), Alive::new(&living));
            group.spawn(|_| talk(stream, random, alive));
        }
    }
    turns(&mut random, 6).await;
    end(group, &stop, &mut random).await;
    // Children of a group that was dropped are gone when their turn has come, and then those of the
    // groups that were theirs.
    for _ in 0..8 {
        yield_now().await;
    }
    assert_eq!(living.get(), 0, "children that are not gone");
}

/// Ends a group in one of many ways. How it has ended is by chance.
async fn end(group: Group, stop: &CancelToken, random: &mut Random) {
    match random.below(7) {
        0 => drop(group),
        1 => {
            group.cancel();
            _ = group.join().await;
        }
        2 => _ = timeout(moment(random), group.join()).await,
        3 => {
            let (token, mut joined) = (group.token().clone(), pin!(group.join()));
            for _ in 0..random.below(5) {
                if poll_fn(|cx| Poll::Ready(joined.as_mut().poll(cx))).await.is_ready() {
                    return;
                }
                yield_now().await;
            }
            token.cancel();
            _ = joined.await;
        }
        4 => {
            let joined = spawn(async move { _ = group.join().await });
            turns(random, 5).await;
            joined.abort();
            _ = joined.await;
        }
        5 => {
            let (stop, after) = (stop.clone(), moment(random));
            let cancels = spawn(async move {
                sleep(after).await;
                stop.cancel();
            });
            _ = group.join().await;
            cancels.await.expect("it does not panic");
        }
        _ => {
            let (handle, joined) = (stop.handle(), spawn(async move { _ = group.join().await }));
            turns(random, 5).await;
            handle.cancel();
            joined.await.expect("it does not panic");
        }
    }
}

fn child(scope: Scope, mut random: Random, alive: Alive, depth: u32) -> Child {
    Box::pin(async move {
        turns(&mut random, 3).await;
        let more = |random: &mut Random| (fork(random), Alive::new(&alive.0), depth - 1);
        match random.below(if depth == 0 { 8 } else { 10 }) {
            0 => sleep(moment(&mut random)).await,
            1 => sleep(Duration::MAX).await,
            2 => {
                let mut held = [sleep(Duration::MAX), sleep(moment(&mut random))];
                for timer in &mut held {
                    _ = poll_once(timer).await;
                }
                _ = timeout(moment(&mut random), sleep(Duration::MAX)).await;
            }
            3 | 4 => {
                if scope.token().run(sleep(Duration::MAX)).await.is_err() {
                    turns(&mut random, 4).await;
                    sleep(moment(&mut random)).await;
                }
            }
            5 => {
                turns(&mut random, 8).await;
                return Err("by chance");
            }
            // Without a line on standard error.
            6 if random.below(3) == 0 => resume_unwind(Box::new("by chance")),
            6 => scope.cancel(),
            7 => borrow(&mut random, &alive).await?,
            8 => {
                for _ in 0..random.below(3) {
                    let (random, alive, depth) = more(&mut random);
                    scope.spawn(|scope| child(scope, random, alive, depth));
                }
            }
            _ => {
                let group = Group::under(scope.token()).with_grace(moment(&mut random));
                for _ in 0..random.below(3) {
                    let (random, alive, depth) = more(&mut random);
                    group.spawn(|scope| child(scope, random, alive, depth));
                }
                group.join().await.map_err(|_| "nested")?;
            }
        }
        Ok(())
    })
}

/// Children of the child's own future, which borrow.
async fn borrow(random: &mut Random, alive: &Alive) -> Result<(), &'static str> {
    let ended = Cell::new(0);
    let ended = &ended;
    let joined = local_group(async |group| {
        for _ in 0..random.below(4) {
            let (mut random, siblings) = (fork(random), group.clone());
            group.spawn(async move {
                let alive = Alive::new(&alive.0);
                sleep(moment(&mut random)).await;
                siblings.spawn(async move {
                    yield_now().await;
                    ended.set(ended.get() + 1);
                    drop(alive);
                    Ok(())
                });
                match random.below(8) {
                    0 => Err("by chance"),
                    1 => resume_unwind(Box::new("by chance")),
                    _ => Ok(()),
                }
            });
        }
        turns(random, 4).await;
        Ok(())
    });
    joined.await.map_err(|_| "local")
}

/// Sends and receives, whatever comes.
async fn talk<F: Family>(
    mut stream: ByteStream<F>,
    mut random: Random,
    _alive: Alive,
) -> Result<(), &'static str> {
    for _ in 0..1 + random.below(4) {
        let sent = stream.write_all(vec![1; 1 + random.below(2_000)]).await;
        if sent.is_err() || stream.recv().await.is_ok_and(|bytes| bytes.is_empty()) {
            break;
        }
    }
    Ok(())
}
