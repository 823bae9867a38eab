//! The echo server on the simulated kernel.
use corering::net::{TcpListener, TcpStream};
use corering::sim::Simulation;

async fn echo_some(clients: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = corering::spawn(async move {
        for _ in 0..clients {
            let mut stream = listener.accept().await.unwrap();
            drop(corering::spawn(async move {
                loop {
                    let bytes = stream.recv().await.unwrap();
                    if bytes.is_empty() {
                        break;
                    }
                    stream.write_all(bytes).await.unwrap();
                }
            }));
        }
    });
    let tasks: Vec<_> = (0..clients)
        .map(|n| {
            corering::spawn(async move {
                let stream = TcpStream::connect(addr).await.unwrap();
                let message: Vec<u8> = (0..n * 3000 + 10).map(|i| (i * 7 + n) as u8).collect();
                let mut got = Vec::new();
                let sent = message.clone();
                let (mut stream, mut sender) = stream.into_split();
                let sending = corering::spawn(async move {
                    sender.write_all(sent).await.unwrap();
                    sender
                });
                while got.len() < message.len() {
                    let bytes = stream.recv().await.unwrap();
                    assert!(!bytes.is_empty());
                    got.extend_from_slice(&bytes);
                }
                drop(sending.await.unwrap());
                assert_eq!(got, message);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    server.await.unwrap();
}

#[test]
fn quick() {
    for seed in 0..200 {
        let sim = Simulation::new(seed);
        let run = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            sim.run(echo_some(5))
        })) {
            Ok(run) => run,
            Err(_) => {
                for l in sim.trace() {
                    println!("{l}");
                }
                panic!("seed {seed}")
            }
        };
        assert_eq!(run.report.leaked_operations, 0, "seed {seed}");
        assert_eq!(sim.open_descriptors(), 0, "seed {seed}");
        assert_eq!(sim.operations_in_flight(), 0, "seed {seed}");
    }
}
