//! The end of a runtime, with operations in flight, and what its handles do afterwards.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use corering::ReceivePolicy;
use corering::buf::IoBuf;
use corering::net::{TcpListener, TcpStream, WriteAbandoned};
use corering::sim::Simulation;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::pairs::{pair, pair_with, pattern, receive_all};
use crate::simulated::{Seed, assert_world_is_empty, defaults, pause, run, settled};

const POLICIES: [ReceivePolicy; 2] = [ReceivePolicy::Completion, ReceivePolicy::Notification];

/// Polls a future once, with a waker that does nothing.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn runtime_that_ends_with_operations_in_flight_waits_for_them_and_leaks_nothing() {
    for seed in 0..200 {
        let _seed = Seed(seed);
        let sim = Simulation::new(seed);
        let builder = defaults().receive_policy(POLICIES[seed as usize % 2]);
        let run = sim.run_with(builder, async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            for n in 0..10 {
                let (mut left, mut right) = pair_with(&listener).await;
                corering::spawn(async move {
                    match n % 3 {
                        0 => drop(left.recv().await),
                        1 => drop(left.read(vec![0; 100]).await),
                        _ => drop(left.read_exact(vec![0; 100], 100).await),
                    }
                });
                corering::spawn(async move {
                    // More than the buffers take: it stays in flight.
                    while n % 2 == 0 && right.write_all(vec![0; 1 << 20]).await.is_ok() {}
                    drop(right.recv().await);
                });
            }
            corering::spawn(async move { drop(listener.accept().await) });
            pause(Duration::from_micros(seed * 5)).await;
        });
        let run = run.unwrap();
        assert!(run.report.cancelled_tasks > 0);
        assert_eq!(run.report.leaked_operations, 0);
        assert_world_is_empty(&sim);
    }
}

#[test]
fn future_that_was_forgotten_in_flight_only_leaks() {
    for seed in 0..100 {
        let _seed = Seed(seed);
        let sim = Simulation::new(seed);
        let builder = defaults().receive_policy(POLICIES[seed as usize % 2]);
        let run = sim.run_with(builder, async move {
            let (mut left, mut right) = pair().await;
            let (more_left, more_right) = pair().await;
            {
                let mut read = Box::pin(left.read(vec![0; 64]));
                assert!(poll_once(read.as_mut()).is_pending());
                std::mem::forget(read);
            }
            {
                let mut recv = Box::pin(right.recv());
                assert!(poll_once(recv.as_mut()).is_pending());
                std::mem::forget(recv);
            }
            // A whole stream, with what is armed in it, and its handle in a task.
            std::mem::forget(right);
            let waiting = corering::spawn(async move {
                let (mut left, _right) = (more_left, more_right);
                left.recv().await.map(|bytes| bytes.len())
            });
            pause(Duration::from_micros(seed)).await;
            std::mem::forget(waiting);
            left.write_all("nobody reads this").await.unwrap();
        });
        assert_eq!(run.unwrap().report.leaked_operations, 0);
        assert_eq!(sim.operations_in_flight(), 0);
        assert!(sim.open_descriptors() <= 2, "only what was forgotten is left");
    }
}

#[test]
fn buffer_that_the_kernel_still_holds_at_the_deadline_is_never_freed() {
    let mut leaked = 0;
    for seed in 0..100 {
        let _seed = Seed(seed);
        let sim = Simulation::new(seed);
        let dropped = Rc::new(Cell::new(0));
        let buffer = Watched { bytes: vec![0; 1 << 20], dropped: dropped.clone() };
        let builder = defaults().shutdown_timeout(Duration::ZERO);
        let run = sim.run_with(builder, async move {
            let (mut left, _right) = pair().await;
            // The accept that made it has ended.
            pause(Duration::from_millis(1)).await;
            corering::spawn(async move { drop(left.write_all(buffer).await) });
            corering::yield_now().await;
        });
        let report = run.unwrap().report;
        assert_eq!(dropped.get() + report.leaked_operations, 1, "neither freed nor leaked twice");
        leaked += report.leaked_operations;
        assert_eq!(sim.operations_in_flight(), 0, "they ended with the ring");
    }
    assert!(leaked > 0, "the kernel never held a buffer at the deadline");
}

/// A buffer that counts its drops.
struct Watched {
    bytes: Vec<u8>,
    dropped: Rc<Cell<usize>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
    }
}

// SAFETY: the bytes are a vector's, on the heap.
unsafe impl IoBuf for Watched {
    fn bytes_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn bytes_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A connection of a runtime that has ended, in any state of receiving.
fn streams_of_an_ended_runtime(
    sim: &Simulation,
    seed: u64,
    policy: ReceivePolicy,
) -> (TcpStream, TcpStream) {
    let run = sim.run_with(defaults().receive_policy(policy), async move {
        let (mut left, mut right) = pair().await;
        left.write_all(pattern(400)).await.unwrap();
        match seed % 4 {
            0 => {}
            1 => drop(receive_all(&mut right, 1).await),
            // Armed, and what came is not taken.
            2 => {
                assert!(poll_once(std::pin::pin!(right.recv())).is_pending());
                pause(Duration::from_millis(100)).await;
            }
            _ => assert!(poll_once(std::pin::pin!(right.read(vec![0; 64]))).is_pending()),
        }
        (left, right)
    });
    run.unwrap().output
}

#[test]
fn stream_of_an_ended_runtime_works_in_the_next_one() {
    for seed in 0..100 {
        let _seed = Seed(seed);
        let sim = Simulation::new(seed);
        let (mut left, mut right) =
            streams_of_an_ended_runtime(&sim, seed, POLICIES[seed as usize / 4 % 2]);
        let second = defaults().receive_policy(POLICIES[seed as usize / 8 % 2]);
        let run = sim.run_with(
            second,
            settled(async move {
                // Another connection of this runtime uses its buffers at the same time.
                let (mut other_left, mut other_right) = pair().await;
                let writing = corering::spawn(async move {
                    for round in 0..20 {
                        left.write_all(vec![round; 200]).await.unwrap();
                        other_left.write_all(pattern(200)).await.unwrap();
                        assert!(receive_all(&mut other_right, 200).await == pattern(200));
                    }
                });
                let mut received = Vec::new();
                loop {
                    let bytes = right.recv().await.unwrap();
                    if bytes.is_empty() {
                        break;
                    }
                    received.extend_from_slice(&bytes);
                }
                let rounds = (0..20).flat_map(|round| [round; 200]).collect::<Vec<u8>>();
                assert!(received.ends_with(&rounds), "what was sent in this runtime comes");
                writing.await.unwrap();
            }),
        );
        let run = run.unwrap();
        crate::simulated::assert_nothing_held(&run.metrics);
        assert_world_is_empty(&sim);
    }
}

#[test]
fn stream_without_a_runtime_is_an_error_and_no_hang() {
    for seed in 0..40 {
        let _seed = Seed(seed);
        let sim = Simulation::new(seed);
        let (mut left, mut right) =
            streams_of_an_ended_runtime(&sim, seed, POLICIES[seed as usize / 4 % 2]);
        // What had arrived may be given first; then there is an error.
        let error = loop {
            match poll_once(std::pin::pin!(right.recv())) {
                Poll::Ready(Ok(bytes)) => assert!(!bytes.is_empty()),
                Poll::Ready(Err(error)) => break error,
                Poll::Pending => panic!("nothing will ever wake it"),
            }
        };
        assert!(error.to_string().contains("runtime"), "{error}");
        let Poll::Ready(Err(failed)) = poll_once(std::pin::pin!(left.write_all("x"))) else {
            panic!("a write without a runtime neither succeeds nor waits")
        };
        assert!(failed.error.to_string().contains("runtime"), "{failed}");
        // Dropped where the world is, it closes its descriptor.
        sim.run(async move { drop((left, right)) });
        assert_world_is_empty(&sim);
    }
}

#[test]
fn future_of_an_ended_runtime_ends_in_the_next_one() {
    for seed in 0..40 {
        let _seed = Seed(seed);
        let sim = Simulation::new(seed);
        let (nop, sleep, task) = sim
            .run(async {
                let mut nop = Box::pin(corering::io::nop());
                assert!(poll_once(nop.as_mut()).is_pending());
                let mut sleep = Box::pin(pause(Duration::from_secs(3600)));
                assert!(poll_once(sleep.as_mut()).is_pending());
                (nop, sleep, corering::spawn(std::future::pending::<()>()))
            })
            .output;
        sim.run(async move {
            // Done or cancelled; what counts is that they end.
            drop(nop.await);
            assert!(task.await.unwrap_err().is_cancelled());
            sleep.await;
        });
        assert_world_is_empty(&sim);
    }
}

#[test]
fn listener_of_ended_runtime_accepts_in_next_one() {
    for seed in 0..100 {
        let _seed = Seed(seed);
        let sim = Simulation::new(seed);
        let accepts_max = [1, 64][seed as usize % 2];
        let builder = || defaults().max_queued_accepts(accepts_max);
        let first = sim.run_with(builder(), async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            assert!(poll_once(std::pin::pin!(listener.accept())).is_pending());
            pause(Duration::from_micros(seed)).await;
            let address = listener.local_addr().unwrap();
            let mut client = Box::pin(TcpStream::connect(address));
            let client = match poll_once(client.as_mut()) {
                Poll::Ready(client) => client,
                Poll::Pending => client.await,
            };
            (listener, client.unwrap())
        });
        let (listener, client) = first.unwrap().output;
        let second = sim.run_with(
            builder(),
            settled(async move {
                let accepted = listener.accept().await.unwrap();
                assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
                let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let accepted = listener.accept().await.unwrap();
                assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
            }),
        );
        crate::simulated::assert_nothing_held(&second.unwrap().metrics);
        assert_world_is_empty(&sim);
    }
}

#[test]
fn pause_of_accept_ends_with_its_runtime() {
    for seed in 0..100 {
        let _seed = Seed(seed);
        let sim = Simulation::new(seed);
        let accepts_max = [1, 64][seed as usize % 2];
        sim.fail(io_uring::opcode::Accept::CODE, 1, libc::EMFILE);
        let builder = || defaults().max_queued_accepts(accepts_max);
        let first = sim.run_with(builder(), async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut accept = Box::pin(listener.accept());
            std::future::poll_fn(|cx| {
                assert!(accept.as_mut().poll(cx).is_pending());
                match corering::metrics().accept_pauses {
                    0 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            })
            .await;
            drop(accept);
            (listener, client)
        });
        let (listener, client) = first.unwrap().output;
        sim.run(async move {
            let accepted = listener.accept().await.unwrap();
            assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
        });
        assert_world_is_empty(&sim);
    }
}

#[test]
fn set_of_waits_hears_that_their_runtime_has_ended() {
    for seed in 0..40 {
        let _seed = Seed(seed);
        let sim = Simulation::new(seed);
        let first = sim.run(async {
            let (stream, peer) = pair().await;
            let (mut reader, writer) = stream.into_split();
            // It polls those alone that were woken.
            let mut set = FuturesUnordered::<Pin<Box<dyn Future<Output = ()>>>>::new();
            set.push(Box::pin(async move { drop(reader.read(vec![0; 8]).await) }));
            set.push(Box::pin(async { pause(Duration::from_secs(10)).await }));
            set.push(Box::pin(async { corering::time::sleep(Duration::from_secs(10)).await }));
            assert!(poll_once(Pin::new(&mut set.next())).is_pending());
            (set, writer, peer)
        });
        let (set, writer, peer) = first.output;
        sim.run(async move {
            // The read goes on here, and meets the end of the stream.
            drop((writer, peer));
            assert_eq!(set.count().await, 3);
        });
        assert_world_is_empty(&sim);
    }
}

#[test]
fn dropped_write_half_ends_the_stream_behind_what_was_sent() {
    for seed in 0..100 {
        let builder = defaults().receive_policy(POLICIES[seed as usize % 2]);
        run(seed, builder, async {
            let (left, mut right) = pair().await;
            let (mut reader, mut writer) = left.into_split();
            writer.write_all(pattern(100)).await.unwrap();
            drop(writer);
            assert!(receive_all(&mut right, 100).await == pattern(100));
            assert!(right.recv().await.unwrap().is_empty());
            right.write_all("answer").await.unwrap();
            let mut answer = Vec::new();
            while answer.len() < 6 {
                answer.extend_from_slice(&reader.recv().await.unwrap());
            }
            assert_eq!(answer, b"answer");
        });
    }
}

#[test]
fn forgotten_write_mixes_with_no_later_one() {
    const TOTAL: usize = 20_000;
    let mut told = 0;
    for seed in 0..100 {
        let sim = Simulation::new(seed);
        let run = sim.run_with(defaults(), async move {
            let (mut writer, mut reader) = pair().await;
            let collecting = corering::spawn(async move {
                pause(Duration::from_millis(3)).await;
                let mut received = Vec::new();
                while !received.ends_with(b"after") {
                    received.extend_from_slice(&reader.recv().await.unwrap());
                }
                received
            });
            let mut write = Box::pin(writer.write_all(pattern(TOTAL)));
            let pending = poll_once(write.as_mut()).is_pending();
            assert!(pending, "no socket holds so much");
            pause(Duration::from_micros(seed * 10)).await;
            std::mem::forget(write);
            let failed = writer.write_all("after").await.expect_err("it is told");
            let told = WriteAbandoned::of(&failed.error).expect("of the write before").written;
            writer.write_all("after").await.unwrap();
            let received = collecting.await.unwrap();
            assert!(received == [&pattern(TOTAL)[..told], b"after"].concat(), "seed {seed}");
            told
        });
        told += usize::from(run.unwrap().output > 0);
    }
    assert!(told > 0, "nothing was sent of any");
}
