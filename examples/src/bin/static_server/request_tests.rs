//! Which heads are understood, and with which status the others are refused.

use super::*;

fn parse(head: &str) -> Result<Request<'_>, Refusal> {
    Request::parse(head.as_bytes())
}

/// The request with `lines` between the request line, Host included, and the blank line.
fn with(lines: &str) -> Result<Body, Status> {
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    parse(&head).map(|request| request.body).map_err(|refusal| refusal.status)
}

fn status(head: &str) -> Status {
    parse(head).expect_err("the request is refused").status
}

#[test]
fn a_plain_request_is_understood() {
    let request = parse("GET /a?b HTTP/1.1\r\nhOST: localhost:8080\r\n\r\n").unwrap();
    assert_eq!(request.method, Method::Get);
    assert_eq!(request.target, "/a?b");
    assert_eq!(request.body, Body::Empty);
    assert!(request.keep_alive);
    assert!(!request.expects_continue);
    assert!(!request.is_http_1_0);
}

#[test]
fn methods_are_known_or_not() {
    for (name, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::NotAllowed),
        ("DELETE", Method::NotAllowed),
        ("get", Method::Unknown),
        ("BREW", Method::Unknown),
    ] {
        let head = format!("{name} / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(parse(&head).unwrap().method, method, "{name}");
    }
    assert_eq!(parse("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").unwrap().method, Method::NotAllowed);
    let connect = parse("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").unwrap();
    assert_eq!(connect.method, Method::NotAllowed);
}

#[test]
fn targets_may_be_urls() {
    for (target, path) in [
        ("http://example.com/a?b", "/a?b"),
        ("HTTP://example.com:80/", "/"),
        ("https://example.com", "/"),
        ("http://example.com?/../", "/"),
        ("//example.com/a", "//example.com/a"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(parse(&head).unwrap().target, path, "{target}");
    }
    for target in ["a", "*", "ftp://example.com/a", "http:/a", "/a#b", "..", "\\a"] {
        assert_eq!(
            status(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")),
            Status::BadRequest,
            "{target}"
        );
    }
}

#[test]
fn one_host_is_demanded_of_http_1_1_only() {
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), Status::BadRequest);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), Status::BadRequest);
    assert_eq!(status("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), Status::BadRequest);
    assert!(parse("GET / HTTP/1.0\r\n\r\n").is_ok());
    for host in ["", "a", "a.b:80", "[::1]:80", "%61"] {
        assert!(parse(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok(), "{host}");
    }
    for host in ["a b", "a/b", "user@a", "a,\"b", "a#b"] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(&head), Status::BadRequest, "{host}");
    }
}

#[test]
fn connections_stay_open_by_the_rules_of_their_version() {
    for (version, lines, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Upgrade, Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: x\r\n{lines}\r\n");
        assert_eq!(parse(&head).unwrap().keep_alive, keep_alive, "{version} {lines:?}");
    }
}

#[test]
fn bodies_are_framed_by_length_or_in_chunks() {
    assert_eq!(with("Content-Length: 5\r\n"), Ok(Body::Length(5)));
    assert_eq!(with("Content-Length: 0\r\n"), Ok(Body::Empty));
    assert_eq!(with("Content-Length: 5\r\nContent-Length: 5\r\n"), Ok(Body::Length(5)));
    assert_eq!(with("Content-Length: 99999999999999999999\r\n"), Ok(Body::Length(u64::MAX)));
    assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Body::Chunked));
}

#[test]
fn ambiguous_bodies_are_refused() {
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ] {
        assert_eq!(with(lines), Err(Status::BadRequest), "{lines:?}");
    }
    assert_eq!(with("Transfer-Encoding: gzip, chunked\r\n"), Err(Status::NotImplemented));
    let head = "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(status(head), Status::BadRequest);
}

#[test]
fn the_only_expectation_is_100_continue() {
    let parse_expect = |version: &str, value: &str| {
        let head = format!("GET / HTTP/{version}\r\nHost: x\r\nExpect: {value}\r\n\r\n");
        parse(&head).map(|request| request.expects_continue).map_err(|refusal| refusal.status)
    };
    assert_eq!(parse_expect("1.1", "100-Continue"), Ok(true));
    assert_eq!(parse_expect("1.0", "100-continue"), Ok(false));
    assert_eq!(parse_expect("1.1", "a miracle"), Err(Status::ExpectationFailed));
}

#[test]
fn broken_syntax_is_refused() {
    for head in [
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / a HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost x\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHo st: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
        "G\u{e9}T / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let status = status(head);
        assert!(
            matches!(status, Status::BadRequest | Status::VersionNotSupported),
            "{head:?}: {status}"
        );
    }
}

#[test]
fn other_versions_and_too_many_lines_have_statuses_of_their_own() {
    assert_eq!(status("PRI * HTTP/2.0\r\n\r\n"), Status::VersionNotSupported);
    let lines = "A: b\r\n".repeat(HEADER_LINES_MAX);
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    assert_eq!(status(&head), Status::HeaderFieldsTooLarge);
    let lines = "A: b\r\n".repeat(HEADER_LINES_MAX - 1);
    assert!(parse(&format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n")).is_ok());
}
