//! What the executors of other runtimes cost, for `cargo bench -p corering-bench -- --with-peers`.
//!
//! `executor monoio|compio|glommio` answers each line `WORK ROUNDS` of its standard input with the
//! nanoseconds that these rounds took, and ends with its input.

#[path = "../../../benches/runtime/work.rs"]
mod work;

use std::io::{self, BufRead, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use work::{ARMED, CROWD, FAR, Turn};

/// What a runtime is called here.
trait Executor {
    fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> + 'static;
    fn sleep(duration: Duration) -> impl Future<Output = ()>;
    /// Sends messages from one task to another. `None`: the runtime has no channel.
    async fn channel(_messages: u64) -> Option<Duration> {
        None
    }
}

struct Monoio;

impl Executor for Monoio {
    fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> + 'static {
        monoio::spawn(task)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        monoio::time::sleep(duration)
    }
}

struct Compio;

impl Executor for Compio {
    fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> + 'static {
        let handle = compio::runtime::spawn(task);
        async { handle.await.expect("the task does not panic") }
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        compio::runtime::time::sleep(duration)
    }
}

struct Glommio;

impl Executor for Glommio {
    fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> + 'static {
        glommio::spawn_local(task)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        glommio::timer::sleep(duration)
    }

    async fn channel(messages: u64) -> Option<Duration> {
        let (sender, receiver) = glommio::channels::local_channel::new_bounded(64);
        let start = Instant::now();
        let send = Self::spawn(async move {
            for message in 0..messages {
                sender.send(message).await.expect("the receiver takes all");
            }
        });
        let receive = Self::spawn(async move { while receiver.recv().await.is_some() {} });
        send.await;
        receive.await;
        Some(start.elapsed())
    }
}

/// Does `rounds` rounds of one kind of work. `None`: the runtime cannot do it, or the kind is unknown.
async fn run<E: Executor>(what: &str, rounds: u64) -> Option<Duration> {
    let far = || E::sleep(FAR);
    let start = Instant::now();
    match what {
        "spawn_1" => spawn::<E>(1, rounds).await,
        "spawn_1000" => spawn::<E>(CROWD, rounds).await,
        "yield_1" => join(vec![E::spawn(yields(rounds))]).await,
        "yield_100" => join((0..100).map(|_| E::spawn(yields(rounds))).collect()).await,
        "ping_pong" => {
            let turn = Rc::new(Turn::default());
            let play = |side| {
                let turn = turn.clone();
                E::spawn(async move { turn.play(side, rounds).await })
            };
            join(vec![play(0), play(1)]).await;
        }
        "channel" => return E::channel(rounds).await,
        "timer_insert" => return Some(work::insert_timers(rounds, far).await),
        "timer_cancel" => return Some(work::cancel_timers(rounds, far).await),
        "timer_fire" => {
            let until = |due: Instant| E::sleep(due.saturating_duration_since(Instant::now()));
            return Some(work::fire_timers(rounds, until).await);
        }
        _ => return None,
    }
    Some(start.elapsed())
}

async fn spawn<E: Executor>(crowd: usize, rounds: u64) {
    for _ in 0..rounds {
        join((0..crowd).map(|_| E::spawn(async {})).collect()).await;
    }
}

async fn yields(rounds: u64) {
    for _ in 0..rounds {
        futures_lite::future::yield_now().await;
    }
}

async fn join<H: Future<Output = ()>>(handles: Vec<H>) {
    for handle in handles {
        handle.await;
    }
}

async fn answer<E: Executor>() -> io::Result<()> {
    // Timers are measured beside a million that are armed, and the rest without them.
    let mut armed = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let question = line
            .split_once(' ')
            .and_then(|(what, rounds)| rounds.parse().ok().map(|rounds: u64| (what, rounds)));
        let (what, rounds) = question.ok_or_else(|| invalid(&line))?;
        if armed.is_empty() && what.starts_with("timer") {
            armed = work::arm(ARMED, || E::sleep(FAR)).await;
        }
        let taken = run::<E>(what, rounds).await.ok_or_else(|| invalid(&line))?;
        let mut output = io::stdout().lock();
        writeln!(output, "{}", taken.as_nanos())?;
        output.flush()?;
    }
    // To take a million timers back is of no use to anyone.
    std::process::exit(0)
}

fn invalid(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("not a kind of work and a number: {line}"))
}

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("monoio") => {
            let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new();
            runtime.enable_timer().build()?.block_on(answer::<Monoio>())
        }
        Some("compio") => compio::runtime::Runtime::new()?.block_on(answer::<Compio>()),
        Some("glommio") => glommio::LocalExecutor::default().run(answer::<Glommio>()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "executor monoio|compio|glommio")),
    }
}
