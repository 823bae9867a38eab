//! Runtimes in processes that may hold little: each test runs in a child with its own limits.

#[path = "common/child.rs"]
mod child;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use child::Child;
use corering::{Driver, Runtime, net::TcpListener};

#[test]
fn five_hundred_runtimes_in_sequence_fit_into_64_kib_of_locked_memory() {
    const TEST: &str = "five_hundred_runtimes_in_sequence_fit_into_64_kib_of_locked_memory";
    if !uring_is_tested() {
        return;
    }
    if !child::is_child() {
        return Child::of(TEST)
            .limit(libc::RLIMIT_MEMLOCK, 64 << 10)
            .without_capabilities()
            .passes();
    }
    for number in 0..500 {
        let runtime = match Runtime::builder().driver(Driver::Uring).build() {
            Ok(runtime) => runtime,
            Err(error) => panic!("runtime {number}: {error}"),
        };
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            listener.local_addr().expect("a bound socket has an address");
        });
    }
}

#[test]
fn two_hundred_clients_are_served_with_32_descriptors_on_epoll() {
    serve_with_32_descriptors(
        "two_hundred_clients_are_served_with_32_descriptors_on_epoll",
        Driver::Epoll,
    );
}

#[test]
fn two_hundred_clients_are_served_with_32_descriptors_on_uring() {
    if uring_is_tested() {
        serve_with_32_descriptors(
            "two_hundred_clients_are_served_with_32_descriptors_on_uring",
            Driver::Uring,
        );
    }
}

const CLIENTS: usize = 200;

/// All clients are connected and have sent before the first reads and goes, so the server stands at its
/// limit until then, and again for each that follows.
fn serve_with_32_descriptors(test: &str, driver: Driver) {
    if child::is_child() {
        return serve(driver);
    }
    let mut server = Child::of(test).limit(libc::RLIMIT_NOFILE, 32).spawn();
    let mut told = server.stderr.take().expect("its output is a pipe");
    let told = std::thread::spawn(move || {
        let mut text = String::new();
        told.read_to_string(&mut text).map(|_| text)
    });
    let mut lines = BufReader::new(server.stdout.take().expect("its output is a pipe")).lines();
    let address = lines
        .by_ref()
        .map(|line| line.expect("the output is text"))
        .find_map(|line| line.split_once("listening on ").map(|(_, address)| address.to_owned()))
        .expect("the server says where it listens");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = TcpStream::connect(&address).expect("the backlog has room");
            client.write_all(&[number as u8]).expect("the socket takes a byte");
            client
        })
        .collect();
    // In the order in which they came, since the server cannot accept the later before the earlier go.
    for (number, mut client) in clients.into_iter().enumerate() {
        let mut answer = [0];
        client.read_exact(&mut answer).expect("the server answers every client");
        assert_eq!(answer, [number as u8]);
    }
    let rest: Vec<_> = lines.map(|line| line.expect("the output is text")).collect();
    let status = server.wait().expect("the child is waited for once");
    let told = told.join().expect("it does not panic").expect("the output is text");
    assert!(status.success(), "{rest:#?}\n{told}");
    // Once, however often it had to wait.
    let warnings = told.lines().filter(|line| line.contains("accept has to wait")).count();
    assert_eq!(warnings, 1, "{told}");
    assert!(told.contains("ulimit -n"), "{told}");
}

fn serve(driver: Driver) {
    let runtime = Runtime::builder().driver(driver).build().expect("32 descriptors are enough");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        println!("listening on {}", listener.local_addr().expect("it is bound"));
        let mut served = corering::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let mut stream =
                listener.accept().await.expect("a full table of descriptors is no end");
            served.spawn(async move {
                while let Ok(received) = stream.recv().await {
                    if received.is_empty() {
                        break;
                    }
                    stream.write_all(received).await.expect("the client reads");
                }
            });
        }
        while served.join_next().await.is_some() {}
    });
    // 200 clients cost some thousand rounds at most. A loop that spins on EMFILE runs far more while
    // the clients take their time.
    let rounds = runtime.metrics().rounds;
    assert!(rounds < 20_000, "{rounds} rounds");
}

/// False where the suite was told to run without io_uring, as under a filter that denies it.
fn uring_is_tested() -> bool {
    std::env::var("CORERING_TEST_DRIVERS").map_or(true, |drivers| drivers.contains("uring"))
}
