//! Forty tasks that connect, accept, receive and send, under limits that pass, drops, aborts and cancels
//! from another thread: every byte is accounted for.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use corering::net::{ByteStream, Family, TcpListener, TcpStream, UnixStream, WriteAbandoned};
use corering::sync::Mutex;
use corering::task::{CancelHandle, CancelToken};
use corering::time::{timeout, within};
use corering::{spawn, yield_now};

use crate::net::{Random, pattern};

pub(crate) const TASKS: u64 = 40;
/// Bytes of a connection.
const BYTES: usize = 60_000;

/// What a task has: its numbers, and who cancels for it.
struct Storm {
    random: RefCell<Random>,
    canceller: mpsc::Sender<CancelHandle>,
    /// Operations of all tasks that did not end.
    dropped: Rc<Cell<u64>>,
}

impl Storm {
    fn below(&self, end: usize) -> usize {
        self.random.borrow_mut().below(end)
    }

    fn limit(&self) -> Duration {
        Duration::from_micros(self.below(300) as u64)
    }

    /// Runs an operation until it ends, or is dropped in one of the ways.
    async fn run<T: 'static>(&self, operation: impl Future<Output = T> + 'static) -> Option<T> {
        let ended = self.run_in_a_way(operation).await;
        self.dropped.set(self.dropped.get() + u64::from(ended.is_none()));
        ended
    }

    async fn run_in_a_way<T: 'static>(
        &self,
        operation: impl Future<Output = T> + 'static,
    ) -> Option<T> {
        match self.below(6) {
            0 => timeout(self.limit(), operation).await.ok(),
            1 => {
                let mut operation = pin!(operation);
                for _ in 0..self.below(4) {
                    let polled = poll_fn(|cx| Poll::Ready(operation.as_mut().poll(cx))).await;
                    if let Poll::Ready(output) = polled {
                        return Some(output);
                    }
                    yield_now().await;
                }
                None
            }
            2 => {
                let token = CancelToken::new();
                self.canceller.send(token.handle()).expect("the thread is there");
                token.run(operation).await.ok()
            }
            3 => {
                let ended = Rc::new(Cell::new(None));
                let task = {
                    let ended = ended.clone();
                    spawn(async move { ended.set(Some(operation.await)) })
                };
                for _ in 0..self.below(4) {
                    yield_now().await;
                }
                task.abort();
                let _ = task.await;
                ended.take()
            }
            _ => timeout(Duration::from_millis(20), operation).await.ok(),
        }
    }
}

type Shared<F> = Rc<Mutex<ByteStream<F>>>;

/// Sends the pattern. What the next write tells of a dropped one counts.
async fn send<F: Family>(storm: Rc<Storm>, stream: ByteStream<F>) -> io::Result<()> {
    let stream = Rc::new(Mutex::new(stream));
    let bytes = Rc::new(pattern(BYTES));
    let mut sent = 0;
    while sent < BYTES {
        let most = [10, 500, 6_000][storm.below(3)];
        let part = bytes[sent..(sent + 1 + storm.below(most)).min(BYTES)].to_vec();
        let (way, limit) = (storm.below(4), storm.limit());
        let shared: Shared<F> = stream.clone();
        let write = async move {
            let mut stream = shared.lock().await;
            match way {
                0 => stream.write(part).await.map(|(count, _)| count),
                1 => stream.write_all(part).await.map(|part| part.len()),
                2 => {
                    let halves = part.chunks(part.len() / 2 + 1).map(<[u8]>::to_vec).collect();
                    let sent = stream.send_all(halves).await;
                    return sent.map(|halves| halves.concat().len()).map_err(io::Error::from);
                }
                _ => within(limit, stream.write_all(part)).await.map(|part| part.len()),
            }
            .map_err(io::Error::from)
        };
        match storm.run(write).await {
            None => {}
            Some(Ok(count)) => sent += count,
            Some(Err(error)) => match WriteAbandoned::of(&error) {
                Some(told) => sent += told.written,
                None => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
            },
        }
    }
    // What was dropped last is told before the end.
    let mut stream = Rc::into_inner(stream).expect("all that had it are gone").into_inner();
    if let Err(failed) = stream.write_all("").await {
        sent += WriteAbandoned::of(&failed.error).map_or(0, |told| told.written);
    }
    assert_eq!(sent, BYTES, "more was sent than there is");
    stream.close().await
}

/// Receives the pattern, and the end behind it.
async fn receive<F: Family>(storm: Rc<Storm>, stream: ByteStream<F>) -> io::Result<()> {
    let stream = Rc::new(Mutex::new(stream));
    let received = Rc::new(RefCell::new(Vec::new()));
    loop {
        let room = [2, 100, 9_000][storm.below(3)];
        let (way, limit) = (storm.below(5), storm.limit());
        let (shared, all): (Shared<F>, _) = (stream.clone(), received.clone());
        let receive = async move {
            let mut stream = shared.lock().await;
            let buf = Vec::with_capacity(room);
            let bytes = match way {
                0 => stream.recv().await?.to_vec(),
                1 => stream.read(buf).await?.1,
                2 => match stream.read_exact(buf, room).await {
                    // The end has come, with what was before it.
                    Err(failed) if failed.kind() == ErrorKind::UnexpectedEof => {
                        let (_, buf) = failed.into_parts();
                        all.borrow_mut().extend(buf);
                        return Ok(true);
                    }
                    bytes => bytes?,
                },
                3 => within(limit, stream.recv()).await?.to_vec(),
                _ => match within(limit, stream.read_exact(buf, room)).await {
                    Err(failed) if failed.kind() == ErrorKind::TimedOut => {
                        let count = failed.transferred();
                        all.borrow_mut().extend(&failed.into_parts().1[..count]);
                        return Ok(false);
                    }
                    Err(failed) if failed.kind() == ErrorKind::UnexpectedEof => {
                        all.borrow_mut().extend(failed.into_parts().1);
                        return Ok(true);
                    }
                    bytes => bytes?,
                },
            };
            all.borrow_mut().extend_from_slice(&bytes);
            io::Result::Ok(bytes.is_empty())
        };
        match storm.run(receive).await {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => break,
            Some(Err(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
        }
    }
    assert!(*received.borrow() == pattern(BYTES), "other bytes came");
    Ok(())
}

/// A connection that is made and accepted under limits.
async fn connect(storm: &Storm) -> io::Result<(TcpStream, TcpStream)> {
    let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
    let address = listener.local_addr()?;
    let client = loop {
        if let Some(client) = storm.run(TcpStream::connect(address)).await {
            break client?;
        }
    };
    loop {
        let accepting = listener.clone();
        let accepted = storm.run(async move { accepting.accept().await }).await;
        let Some(accepted) = accepted.transpose()? else { continue };
        // Those before it are of connects that were dropped.
        if accepted.peer_addr().is_ok_and(|peer| client.local_addr().is_ok_and(|it| it == peer)) {
            return Ok((client, accepted));
        }
    }
}

async fn exchange<F: Family>(
    storm: Rc<Storm>,
    (one, other): (ByteStream<F>, ByteStream<F>),
) -> io::Result<()> {
    let (sending, receiving) = (spawn(send(storm.clone(), one)), spawn(receive(storm, other)));
    sending.await.expect("it does not panic")?;
    receiving.await.expect("it does not panic")
}

/// One round of forty tasks.
pub(crate) async fn round(number: u64) -> io::Result<()> {
    let (canceller, to_cancel) = mpsc::channel::<CancelHandle>();
    let thread = std::thread::spawn(move || {
        for (number, handle) in to_cancel.into_iter().enumerate() {
            if number % 4 == 0 {
                std::thread::yield_now();
            }
            handle.cancel();
        }
    });
    let dropped = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let random = RefCell::new(Random(number * TASKS + task));
            let storm =
                Rc::new(Storm { random, canceller: canceller.clone(), dropped: dropped.clone() });
            spawn(async move {
                match task % 2 {
                    0 => exchange(storm.clone(), connect(&storm).await?).await,
                    _ => exchange(storm, UnixStream::pair()?).await,
                }
            })
        })
        .collect();
    drop(canceller);
    for task in tasks {
        task.await.expect("it does not panic")?;
    }
    thread.join().expect("it does not panic");
    assert!(dropped.get() > 5 * TASKS, "only {} operations were dropped", dropped.get());
    Ok(())
}
