//! Which requests are refused, with which status, and whether the connection survives.

use std::fs;

use crate::on_both_drivers;
use crate::support::Server;

on_both_drivers! {
    broken_requests_get_their_status_and_a_closed_connection,
    refused_requests_leave_the_connection_open,
    legal_bodies_are_skipped,
    bodies_over_the_limit_are_413,
    an_expectation_is_answered_without_the_body,
    a_header_of_100_kib_is_431,
    http_1_0_closes_unless_asked,
}

fn start(driver: &str) -> Server {
    Server::start(driver, &[], |root| fs::write(root.join("f"), "here").unwrap())
}

const NEXT: &str = "GET /f HTTP/1.1\r\nHost: x\r\n\r\n";

fn broken_requests_get_their_status_and_a_closed_connection(driver: &str) {
    let server = start(driver);
    for (request, status) in [
        ("GET /f HTTP/1.1\r\n\r\n", 400),
        ("GET /f HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /f HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET f HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /f\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}", 400),
        ("POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (
            "POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400),
        ("POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET /f HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", 417),
        ("GET /f HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    ] {
        let mut client = server.connect();
        // What follows a request that cannot be understood is not taken for the next one.
        client.send(&format!("{request}{NEXT}"));
        let response = client.response();
        assert_eq!(response.status, status, "{request:?}");
        assert_eq!(response.field("Connection"), Some("close"), "{request:?}");
        assert!(client.is_closed(), "{request:?}");
    }
}

fn refused_requests_leave_the_connection_open(driver: &str) {
    let server = start(driver);
    let mut client = server.connect();
    for (request_line, status) in [
        ("GET /missing", 404),
        ("GET /../f", 403),
        ("GET /%00", 400),
        ("POST /f", 405),
        ("PUT /f", 405),
        ("DELETE /f", 405),
        ("OPTIONS *", 405),
        ("CONNECT x:443", 405),
        ("BREW /f", 501),
        ("get /f", 501),
    ] {
        client.send(&format!("{request_line} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, status, "{request_line}");
        assert_eq!(response.field("Allow").is_some(), status == 405, "{request_line}");
    }
    client.send(NEXT);
    assert_eq!(client.response().text(), "here");
}

fn legal_bodies_are_skipped(driver: &str) {
    let server = start(driver);
    let mut client = server.connect();
    let long = "a".repeat(500_000);
    for (fields, body) in [
        ("Content-Length: 0", ""),
        ("Content-Length: 34", "GET /missing HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("Content-Length: 500000", &*long),
        ("Transfer-Encoding: chunked", "5;x=y\r\nhello\r\n0\r\nTrailer: z\r\n\r\n"),
        ("Transfer-Encoding: chunked", "0\r\n\r\n"),
    ] {
        for (method, status) in [("GET", 200), ("POST", 405)] {
            client
                .send(&format!("{method} /f HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}{NEXT}"));
            assert_eq!(client.response().status, status, "{method} with {fields}");
            assert_eq!(client.response().text(), "here", "after {method} with {fields}");
        }
    }
}

fn bodies_over_the_limit_are_413(driver: &str) {
    let server = start(driver);
    for (fields, body) in [
        ("Content-Length: 1048577", String::new()),
        ("Content-Length: 99999999999999999999999", String::new()),
        ("Transfer-Encoding: chunked", format!("400\r\n{}\r\n", "a".repeat(1024)).repeat(1024)),
    ] {
        let mut client = server.connect();
        client.send(&format!("POST /f HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}"));
        let response = client.response();
        assert_eq!((response.status, response.field("Connection")), (413, Some("close")));
        assert!(client.is_closed());
    }
}

fn an_expectation_is_answered_without_the_body(driver: &str) {
    let server = start(driver);
    for (method, status) in [("POST", 405), ("GET", 200)] {
        let mut client = server.connect();
        client.send(&format!(
            "{method} /f HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!((response.status, response.field("Connection")), (status, Some("close")));
        assert!(client.is_closed());
    }
}

fn a_header_of_100_kib_is_431(driver: &str) {
    let server = start(driver);
    let value = "a".repeat(100 * 1024);
    for request in [
        format!("GET /f HTTP/1.1\r\nHost: x\r\nLong: {value}\r\n\r\n"),
        format!("GET /f HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(101)),
    ] {
        let mut client = server.connect();
        client.send(&request);
        assert_eq!(client.response().status, 431);
        assert!(client.is_closed());
    }
    let mut client = server.connect();
    client.send(&format!("GET /{value} HTTP/1.1\r\n"));
    assert_eq!(client.response().status, 414);
}

fn http_1_0_closes_unless_asked(driver: &str) {
    let server = start(driver);
    let mut client = server.connect();
    client.send("GET /f HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (200, Some("keep-alive")));
    client.send("GET /f HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().field("Connection"), Some("close"));
    assert!(client.is_closed());

    let mut client = server.connect();
    client.send("GET /f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().text(), "here");
    assert!(client.is_closed());
}
