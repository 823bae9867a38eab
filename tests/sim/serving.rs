//! Servers that end, or are dropped, at any moment of what their clients do.

use std::cell::{Cell, RefCell};
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use corering::net::{ServeReport, TcpListener, TcpStream, serve};
use corering::task::{CancelToken, JoinSet};
use futures_util::FutureExt;

use crate::echo::configuration;
use crate::simulated::{Numbers, drop_after, pause, run};

/// How a connection is served.
#[derive(Clone, Copy)]
enum Kind {
    HeedsTheToken,
    IgnoresTheToken,
    Fails,
    Panics,
    PanicsBefore,
}

/// Counts the futures of connections that are alive.
struct Alive(Rc<Cell<usize>>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn answer(mut stream: TcpStream, stop: CancelToken, kind: Kind) -> io::Result<()> {
    loop {
        let received = match kind {
            Kind::IgnoresTheToken => stream.recv().await?,
            _ => match stop.run(stream.recv()).await {
                Ok(received) => received?,
                Err(_cancelled) => return stream.close().await,
            },
        };
        match kind {
            _ if received.is_empty() => return Ok(()),
            Kind::Fails => return Err(io::Error::other("it fails")),
            Kind::Panics => panic(),
            _ => drop(stream.write_all(received).await?),
        }
    }
}

/// Panics without a word in the log, of which there would be hundreds.
fn panic() -> ! {
    std::panic::resume_unwind(Box::new("it panics"))
}

/// Asks now and then, and leaves. The server may have ended at any moment.
async fn ask(address: SocketAddr, mut numbers: Numbers) -> io::Result<()> {
    pause(numbers.moment()).await;
    let mut stream = TcpStream::connect(address).await?;
    for _ in 0..numbers.within(0..5) {
        stream.write_all(numbers.bytes(100)).await?;
        if stream.recv().await?.is_empty() {
            break;
        }
        pause(numbers.moment()).await;
    }
    Ok(())
}

/// What a server that ended has counted; `None` if it was dropped.
fn end_at_a_moment(seed: u64) -> Option<ServeReport> {
    let mut numbers = Numbers::new(seed);
    let simulated = run(seed, configuration(&mut numbers), async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = JoinSet::new();
        for _ in 0..numbers.within(1..12) {
            clients.spawn(ask(address, numbers.fork()));
        }
        let alive = Rc::new(Cell::new(0));
        let handler = {
            let (alive, numbers) = (alive.clone(), RefCell::new(numbers.fork()));
            move |stream, stop| {
                let kind = numbers.borrow_mut().of(&[
                    Kind::HeedsTheToken,
                    Kind::HeedsTheToken,
                    Kind::IgnoresTheToken,
                    Kind::Fails,
                    Kind::Panics,
                    Kind::PanicsBefore,
                ]);
                if matches!(kind, Kind::PanicsBefore) {
                    panic();
                }
                alive.set(alive.get() + 1);
                let counted = Alive(alive.clone());
                async move {
                    let _counted = counted;
                    answer(stream, stop, kind).await
                }
            }
        };
        let (stop, moment) = (CancelToken::new(), numbers.moment());
        let server = serve(listener, handler)
            .max_connections(numbers.of(&[1, 3, usize::MAX]))
            .grace(numbers.of(&[Duration::ZERO, Duration::from_millis(1), Duration::MAX]));
        let is_dropped = numbers.once_in(4);
        let server = match numbers.once_in(2) || is_dropped {
            true => server.token(stop.clone()),
            false => server.until(pause(moment).map(Ok)),
        };
        let report = if is_dropped {
            drop_after(moment, server.into_future()).await
        } else {
            let stop = stop.clone();
            corering::spawn(async move {
                pause(moment).await;
                stop.cancel();
            });
            Some(server.await)
        };
        if report.is_some() {
            assert_eq!(alive.get(), 0, "connections are left when the server has ended");
        }
        // None hangs. What one was answered is another test's.
        while clients.join_next().await.is_some_and(|ended| ended.is_ok()) {}
        assert!(clients.is_empty(), "a client panicked");
        // Those of a server that was dropped end when they would run next.
        pause(Duration::from_millis(1)).await;
        assert_eq!(alive.get(), 0);
        report.transpose().unwrap()
    });
    simulated.output
}

#[test]
fn servers_end_at_any_moment_and_leave_nothing() {
    let mut sums = [0; 5];
    let mut dropped = 0;
    for seed in 0..1_000 {
        let Some(report) = end_at_a_moment(seed) else {
            dropped += 1;
            continue;
        };
        let ServeReport { accepted, finished, failed, panicked, aborted, .. } = report;
        assert_eq!(accepted, finished + failed + panicked + aborted, "seed {seed}: {report}");
        let counts = [accepted, finished, failed, panicked, aborted];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    // Each end has been met.
    assert!(sums.iter().all(|sum| *sum > 50) && dropped > 50, "{sums:?}, {dropped} dropped");
}
