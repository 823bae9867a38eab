//! Clients that take and do not give: each costs its own connection and nobody else's.

use std::fs;
use std::io::Read;
use std::process::Command;

use crate::common::DEADLINE;
use crate::on_both_drivers;
use crate::support::{Server, command, pattern, write_sparse};

on_both_drivers! {
    clients_that_stop_reading_do_not_hold_up_the_next,
    a_client_that_stops_reading_is_cut_off,
    a_client_that_resets_in_the_middle_is_forgotten,
    connections_beyond_the_cap_wait_for_a_place,
    many_clients_are_served_with_few_descriptors,
}

const GIB: u64 = 1 << 30;

fn clients_that_stop_reading_do_not_hold_up_the_next(driver: &str) {
    let server = Server::start(driver, &[], |root| {
        write_sparse(&root.join("large"), GIB);
        fs::write(root.join("f"), pattern(1000)).unwrap();
    });
    let mut stalled: Vec<_> = (0..300).map(|_| server.connect()).collect();
    for client in &mut stalled {
        client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    // The first byte of each says that its answer is under way; then nobody reads on.
    for client in &mut stalled {
        client.stream.read_exact(&mut [0]).expect("the answer begins");
    }
    for _ in 0..20 {
        assert!(server.get("/f").content == pattern(1000));
    }
    let mut part = server.connect();
    part.send("GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9999999\r\n\r\n");
    assert_eq!(part.response().content.len(), 10_000_000);
}

fn a_client_that_stops_reading_is_cut_off(driver: &str) {
    let flags = ["--write-timeout", "0.2", "--max-connections", "1"];
    let server = Server::start(driver, &flags, |root| {
        write_sparse(&root.join("large"), GIB);
        fs::write(root.join("f"), "here").unwrap();
    });
    let mut stalled = server.connect();
    stalled.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    stalled.stream.read_exact(&mut [0]).expect("the answer begins");
    // Only one connection is served at a time: this answer needs the place of the other.
    assert_eq!(server.get("/f").text(), "here");
}

fn a_client_that_resets_in_the_middle_is_forgotten(driver: &str) {
    let server = Server::start(driver, &["--max-connections", "1"], |root| {
        write_sparse(&root.join("large"), GIB);
        fs::write(root.join("f"), "here").unwrap();
    });
    for _ in 0..5 {
        let mut client = server.connect();
        client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
        client.stream.read_exact(&mut [0; 100_000]).expect("the answer begins");
        // Closing with bytes unread sends a reset.
        drop(client);
        assert_eq!(server.get("/f").text(), "here");
    }
}

fn connections_beyond_the_cap_wait_for_a_place(driver: &str) {
    let server = Server::start(driver, &["--max-connections", "2"], |root| {
        fs::write(root.join("f"), "here").unwrap();
    });
    const GET: &str = "GET /f HTTP/1.1\r\nHost: x\r\n\r\n";
    let (mut first, mut second) = (server.connect(), server.connect());
    for client in [&mut first, &mut second] {
        client.send(GET);
        assert_eq!(client.response().text(), "here");
    }
    let mut third = server.connect();
    third.send(GET);
    // Both that have a place go on while it waits, and it has got nothing when they are done.
    for client in [&mut first, &mut second] {
        for _ in 0..10 {
            client.send(GET);
            assert_eq!(client.response().text(), "here");
        }
    }
    third.stream.set_nonblocking(true).unwrap();
    let early = third.stream.read(&mut [0]).expect_err("nothing was sent").kind();
    assert_eq!(early, std::io::ErrorKind::WouldBlock);
    third.stream.set_nonblocking(false).unwrap();
    third.stream.set_read_timeout(Some(DEADLINE)).unwrap();
    drop(first);
    assert_eq!(third.response().text(), "here");
}

fn many_clients_are_served_with_few_descriptors(driver: &str) {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("f"), pattern(100_000)).unwrap();
    let server = command();
    // The shell sets the limit and becomes the server.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 32 && exec \"$0\" \"$@\""]).arg(server.get_program());
    limited.args(["--addr", "127.0.0.1:0", "--driver", driver]).arg("--root").arg(root.path());
    limited.env_remove("CORERING_DRIVER");
    let server = Server::of(limited, driver, root);

    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }
    for mut client in clients {
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(response.content == pattern(100_000));
    }
}
