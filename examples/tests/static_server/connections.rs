//! Many requests on one connection, and connections that say nothing.

use std::fs;

use crate::on_both_drivers;
use crate::support::{Server, pattern};

on_both_drivers! {
    pipelined_requests_are_answered_in_order,
    a_request_in_single_bytes_is_understood,
    half_a_request_and_silence_is_408,
    half_a_body_and_silence_is_408,
    an_idle_connection_is_closed_without_a_word,
    a_client_that_only_closes_is_forgotten,
    a_client_that_stops_sending_still_gets_its_answers,
}

fn pipelined_requests_are_answered_in_order(driver: &str) {
    let server = Server::start(driver, &[], |root| {
        for n in 0..10 {
            fs::write(root.join(n.to_string()), pattern(n * 50_000)).unwrap();
        }
    });
    let mut client = server.connect();
    let requests: String =
        (0..100).map(|n| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", n % 10)).collect();
    client.send(&requests);
    for n in 0..100 {
        assert!(client.response().content == pattern(n % 10 * 50_000), "answer {n}");
    }
}

fn a_request_in_single_bytes_is_understood(driver: &str) {
    let server = Server::start(driver, &[], |root| fs::write(root.join("f"), "here").unwrap());
    let mut client = server.connect();
    client.stream.set_nodelay(true).unwrap();
    for byte in "GET /f HTTP/1.1\r\nHost: x\r\n\r\n".chars() {
        client.send(&byte.to_string());
    }
    assert_eq!(client.response().text(), "here");
}

fn half_a_request_and_silence_is_408(driver: &str) {
    let server = Server::start(driver, &["--header-timeout", "0.2"], |root| {
        fs::write(root.join("f"), "here").unwrap();
    });
    let mut silent = server.connect();
    silent.send("GET /f HTTP/1.1\r\nHo");
    let response = silent.response();
    assert_eq!((response.status, response.field("Connection")), (408, Some("close")));
    assert!(silent.is_closed());

    // The same for a second request, and for one that never begins, which gets no answer.
    let mut silent = server.connect();
    silent.send("GET /f HTTP/1.1\r\nHost: x\r\n\r\nG");
    assert_eq!(silent.response().text(), "here");
    assert_eq!(silent.response().status, 408);
    assert!(server.connect().is_closed());
}

fn half_a_body_and_silence_is_408(driver: &str) {
    let server = Server::start(driver, &["--header-timeout", "0.2"], |_| {});
    let mut silent = server.connect();
    silent.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(silent.response().status, 408);
    assert!(silent.is_closed());
}

fn an_idle_connection_is_closed_without_a_word(driver: &str) {
    let server = Server::start(driver, &["--idle-timeout", "0.2"], |root| {
        fs::write(root.join("f"), "here").unwrap();
    });
    let mut client = server.connect();
    client.send("GET /f HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().text(), "here");
    assert!(client.is_closed());
}

fn a_client_that_only_closes_is_forgotten(driver: &str) {
    let server = Server::start(driver, &["--max-connections", "1"], |root| {
        fs::write(root.join("f"), "here").unwrap();
    });
    for beginning in ["", "GET /f HT", "POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"]
    {
        let mut client = server.connect();
        client.send(beginning);
        drop(client);
        // Only one connection is served at a time: this answer needs the place of the other.
        assert_eq!(server.get("/f").text(), "here");
    }
}

fn a_client_that_stops_sending_still_gets_its_answers(driver: &str) {
    let server = Server::start(driver, &[], |root| {
        fs::write(root.join("f"), pattern(300_000)).unwrap();
    });
    let mut client = server.connect();
    client.send(&"GET /f HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3));
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..3 {
        assert!(client.response().content == pattern(300_000));
    }
    assert!(client.is_closed());
}
