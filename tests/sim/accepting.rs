//! Accepting when connections break, descriptors run out, or nobody accepts.

use std::io::ErrorKind;
use std::time::Duration;

use corering::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use corering::sim::Simulation;
use io_uring::opcode;

use crate::pairs::receive_all;
use crate::simulated::{defaults, drop_after, pause, run, run_in};

/// Answers every connection with its first byte.
async fn answer_all(listener: TcpListener, connections: usize) {
    for _ in 0..connections {
        let mut stream = listener.accept().await.unwrap();
        corering::spawn(async move {
            let bytes = stream.recv().await.unwrap();
            stream.write_all(bytes).await.unwrap();
        });
    }
}

async fn ask(address: std::net::SocketAddr, byte: u8) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(vec![byte]).await?;
    let answer = stream.recv().await?;
    match answer.first() {
        Some(answer) => assert_eq!(*answer, byte),
        None => return Err(ErrorKind::ConnectionReset.into()),
    }
    Ok(())
}

#[test]
fn connection_that_broke_before_it_was_accepted_is_passed_over() {
    for seed in 0..100 {
        let sim = Simulation::new(seed);
        sim.fail(opcode::Accept::CODE, 1, libc::ECONNABORTED);
        sim.fail(opcode::Accept::CODE, 3, libc::ECONNABORTED);
        run_in(&sim, seed, defaults(), async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = corering::spawn(answer_all(listener, 8));
            let clients: Vec<_> = (0..10).map(|n| corering::spawn(ask(address, n))).collect();
            let mut broken = 0;
            for client in clients {
                broken += usize::from(client.await.unwrap().is_err());
            }
            assert_eq!(broken, 2, "two connections broke, the others were answered");
            server.await.unwrap();
        });
    }
}

#[test]
fn accept_waits_without_spinning_while_descriptors_have_run_out() {
    for seed in 0..5 {
        let sim = Simulation::new(seed);
        for nth in 1..=5 {
            sim.fail(opcode::Accept::CODE, nth, libc::EMFILE);
        }
        let run = run_in(&sim, seed, defaults(), async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = corering::spawn(answer_all(listener, 10));
            let clients: Vec<_> = (0..10).map(|n| corering::spawn(ask(address, n))).collect();
            for client in clients {
                client.await.unwrap().unwrap();
            }
            server.await.unwrap();
        });
        assert_eq!(run.metrics.accept_pauses, 5);
        assert!(run.metrics.rounds < 1_000, "{} rounds", run.metrics.rounds);
    }
}

#[test]
fn error_of_the_listener_itself_is_reported_and_does_not_stop_the_next_accept() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        sim.fail(opcode::Accept::CODE, 1, libc::EPERM);
        run_in(&sim, seed, defaults(), async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let client = corering::spawn(ask(address, 7));
            let error = listener.accept().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            answer_all(listener, 1).await;
            client.await.unwrap().unwrap();
        });
    }
}

#[test]
fn accepts_dropped_at_any_moment_lose_no_connection() {
    for step in 0..60 {
        for seed in 0..5 {
            run(seed * 100 + step, defaults(), async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let clients: Vec<_> = (0..5).map(|n| corering::spawn(ask(address, n))).collect();
                let mut accepted = 0;
                while accepted < 5 {
                    let limit = Duration::from_micros(step);
                    let Some(stream) = drop_after(limit, listener.accept()).await else { continue };
                    let mut stream = stream.unwrap();
                    accepted += 1;
                    corering::spawn(async move {
                        let byte = receive_all(&mut stream, 1).await;
                        stream.write_all(byte).await.unwrap();
                    });
                }
                for client in clients {
                    client.await.unwrap().unwrap();
                }
            });
        }
    }
}

#[test]
fn waiting_accepts_are_served_in_the_order_of_their_coming() {
    for seed in 0..50 {
        run(seed, defaults(), async {
            let listener = std::rc::Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
            let address = listener.local_addr().unwrap();
            let order = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
            let accepting: Vec<_> = (0..6)
                .map(|n| {
                    let (listener, order) = (listener.clone(), order.clone());
                    corering::spawn(async move {
                        // Every third one gives up before anything comes.
                        if n % 3 == 0 {
                            let limit = Duration::from_micros(1);
                            assert!(drop_after(limit, listener.accept()).await.is_none());
                        } else {
                            drop(listener.accept().await.unwrap());
                            order.borrow_mut().push(n);
                        }
                    })
                })
                .collect();
            pause(Duration::from_millis(1)).await;
            for _ in 0..4 {
                drop(TcpStream::connect(address).await.unwrap());
            }
            for task in accepting {
                task.await.unwrap();
            }
            assert_eq!(*order.borrow(), [1, 2, 4, 5]);
        });
    }
}

#[test]
fn listener_that_nobody_asks_stops_accepting_and_its_connections_are_closed_with_it() {
    for seed in 0..50 {
        let run = run(seed, defaults().max_queued_accepts(3), async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let clients: Vec<_> =
                (0..40).map(|_| corering::spawn(TcpStream::connect(address))).collect();
            let first = listener.accept().await.unwrap();
            let mut connected = vec![first];
            for client in clients {
                connected.push(client.await.unwrap().unwrap());
            }
            pause(Duration::from_secs(1)).await;
            drop(listener);
        });
        assert!(run.metrics.paused_multishots > 0 || run.metrics.submitted > 40);
    }
}

#[test]
fn connect_dropped_at_any_moment_leaves_nothing() {
    for step in 0..120 {
        run(step, defaults(), async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let limit = Duration::from_micros(step * step / 4);
            drop(drop_after(limit, TcpStream::connect(address)).await);
            // The listener is in order, whatever the first connect came to.
            let client = corering::spawn(ask(address, 9));
            loop {
                let mut stream = listener.accept().await.unwrap();
                if let Ok(bytes) = stream.recv().await
                    && !bytes.is_empty()
                {
                    stream.write_all(bytes).await.unwrap();
                    break;
                }
            }
            client.await.unwrap().unwrap();
        });
    }
}

#[test]
fn accept_on_a_kernel_that_answers_eagain_does_not_spin() {
    for seed in 0..50 {
        let sim = Simulation::new(seed);
        sim.refuse_to_wait_for_connections();
        let run =
            run_in(&sim, seed, defaults().max_queued_accepts([1, 64][seed as usize % 2]), async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let server = corering::spawn(answer_all(listener, 10));
                for n in 0..10 {
                    pause(Duration::from_secs(1)).await;
                    ask(address, n).await.unwrap();
                }
                server.await.unwrap();
            });
        let completions = run.metrics.completions;
        assert!(completions < 500, "{completions} completions for ten connections");
    }
}

#[test]
fn forgotten_accepts_hold_nobody_up() {
    for seed in 0..50 {
        run(seed, defaults(), async {
            let listener = std::rc::Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
            let address = listener.local_addr().unwrap();
            for _ in 0..1 + seed % 4 {
                let forgetful = listener.clone();
                let forgetting = corering::spawn(async move {
                    let mut accept = forgetful.accept();
                    let waits = std::future::poll_fn(|cx| {
                        std::task::Poll::Ready(
                            std::pin::Pin::new(&mut accept).poll(cx).is_pending(),
                        )
                    });
                    assert!(waits.await);
                    std::mem::forget(accept);
                });
                forgetting.await.unwrap();
            }
            let waiting = listener.clone();
            let serving = corering::spawn(async move {
                for _ in 0..3 {
                    drop(waiting.accept().await.unwrap());
                }
            });
            for _ in 0..3 {
                drop(TcpStream::connect(address).await.unwrap());
            }
            serving.await.unwrap();
        });
    }
}

#[test]
fn unix_connect_waits_until_a_full_backlog_has_room() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        // What Unix sockets answer while the backlog is full, for two minutes.
        let full = 2_000;
        for nth in 1..=full {
            sim.fail(opcode::Connect::CODE, nth, libc::EAGAIN);
        }
        let run = run_in(&sim, seed, defaults(), async {
            // Nothing is made of the path but a name.
            let listener = UnixListener::bind("/simulated").await.unwrap();
            let mut client = UnixStream::connect("/simulated").await.unwrap();
            let mut server = listener.accept().await.unwrap();
            server.write_all("x").await.unwrap();
            assert_eq!(&*client.recv().await.unwrap(), b"x");
        });
        assert!(run.metrics.rounds < 4 * full, "{} rounds", run.metrics.rounds);
    }
}

#[test]
fn address_of_dropped_listener_is_free_at_once() {
    for seed in 0..100 {
        let builder = defaults().max_queued_accepts([1, 64][seed as usize % 2]);
        run(seed, builder, async move {
            let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            for _ in 0..5 {
                drop(drop_after(Duration::from_micros(seed), listener.accept()).await);
                drop(listener);
                listener = TcpListener::bind(address).await.unwrap();
            }
        });
    }
}
