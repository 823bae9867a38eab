//! A server that has run out of descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use corering::test_support::drivers;
use corering::{Driver, Runtime, compat};
use tokio::sync::Semaphore;

use crate::child::{self, Child};

const CLIENTS: usize = 100;

#[test]
fn clients_beyond_descriptors_are_served_later_on_uring() {
    serve_with_40_descriptors(
        "limits::clients_beyond_descriptors_are_served_later_on_uring",
        Driver::Uring,
    );
}

#[test]
fn clients_beyond_descriptors_are_served_later_on_epoll() {
    serve_with_40_descriptors(
        "limits::clients_beyond_descriptors_are_served_later_on_epoll",
        Driver::Epoll,
    );
}

/// All clients are connected before the first asks, so the server stands at its limit until that one
/// has gone, and again for each that follows.
fn serve_with_40_descriptors(test: &str, driver: Driver) {
    if !drivers().contains(&driver) {
        return;
    }
    if child::is_child() {
        return serve(driver);
    }
    let mut server = Child::of(test).limit(libc::RLIMIT_NOFILE, 40).spawn();
    let mut lines = BufReader::new(server.stdout.take().expect("its output is a pipe")).lines();
    let address = lines
        .by_ref()
        .map(|line| line.expect("the output is text"))
        .find_map(|line| line.split_once("listening on ").map(|(_, address)| address.to_owned()))
        .expect("the server says where it listens");
    let connect = |_| TcpStream::connect(&address).expect("the backlog has room");
    let clients: Vec<_> = (0..CLIENTS).map(connect).collect();
    for mut client in clients {
        let request = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        client.write_all(request).expect("the socket takes a request");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("the server answers every client");
        assert!(answer.ends_with("answered"), "{answer}");
    }
    let rest: Vec<_> = lines.map(|line| line.expect("the output is text")).collect();
    let ended = server.wait_with_output().expect("the child is waited for once");
    assert!(ended.status.success(), "{rest:#?}\n{}", String::from_utf8_lossy(&ended.stderr));
}

fn serve(driver: Driver) {
    let runtime = Runtime::builder().driver(driver).build().expect("40 descriptors are enough");
    runtime.block_on(async {
        let answered = Arc::new(Semaphore::new(0));
        let all = answered.clone();
        let answer = || async move {
            answered.add_permits(1);
            "answered"
        };
        let listener = corering::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("listening on {}", listener.local_addr().expect("it is bound"));
        let server = compat::serve(listener, Router::new().route("/", get(answer)));
        let end = async move { all.acquire_many(CLIENTS as u32).await.is_ok() };
        server.with_graceful_shutdown(end).await.expect("too few descriptors are no end");
    });
    let metrics = runtime.metrics();
    assert!(metrics.accept_pauses > 0, "the server never stood at its limit");
    // A loop that spins on EMFILE runs far more rounds while the clients take their time.
    assert!(metrics.rounds < 20_000, "{} rounds", metrics.rounds);
}
