//! Loads pages of its own and of servers that misbehave, on both drivers.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use common::{Example, run_to_end};
use rustix::process::Signal;

on_both_drivers! {
    the_demo_fetches_all_images_twice,
    a_page_of_another_server_is_fetched,
    a_server_that_is_not_there_is_an_error,
    a_server_that_stays_silent_can_be_left_by_a_signal,
}

fn command(driver: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_page_load"));
    command.args(["--driver", driver]).env_remove("CORERING_DRIVER");
    command
}

fn the_demo_fetches_all_images_twice(driver: &str) {
    let mut command = command(driver);
    command.arg("--demo");
    let mut example = Example::start(command);
    assert!(example.line().ends_with("has 12 images"));
    for how in ["one after the other", "all at once"] {
        let line = example.line();
        assert!(line.starts_with(&format!("{how}: 12 images, 120000 bytes, ")), "{line}");
    }
    assert_eq!(example.wait().code(), Some(0));
}

/// Accepts `answers.len()` connections in turn, and gives each the answer to the target it asks for.
fn serve(listener: TcpListener, connections: usize, answer: impl Fn(&str) -> String) {
    for _ in 0..connections {
        let (mut stream, _) = listener.accept().expect("a client comes");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut piece = [0; 1024];
            let count = stream.read(&mut piece).expect("the client sends");
            assert_ne!(count, 0, "the request is whole");
            request.extend_from_slice(&piece[..count]);
        }
        let request = String::from_utf8(request).expect("requests are text");
        let target = request.split(' ').nth(1).expect("the request has a target");
        stream.write_all(answer(target).as_bytes()).expect("the client receives");
    }
}

const PAGE: &str =
    "<img src=b.png><IMG src='/c.png'><img src=\"../d.png?e&amp;f=g\"><img src=\"b.png\">";

fn a_page_of_another_server_is_fetched(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // By name, so that names are resolved too.
    let url = format!("http://localhost:{}/a/page", listener.local_addr().unwrap().port());
    let mut command = command(driver);
    command.args(["--url", &url]);
    let mut example = Example::start(command);
    // The page, then three images twice.
    serve(listener, 7, |target| match target {
        "/a/page" => {
            let (first, second) = PAGE.split_at(50);
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let (length, rest) = (first.len(), second.len());
            format!("{head}{length:x}\r\n{first}\r\n{rest:x}\r\n{second}\r\n0\r\n\r\n")
        }
        "/a/b.png" => "HTTP/1.1 200 OK\r\n\r\nfour".into(),
        "/c.png" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nseven".into(),
        "/d.png?e&f=g" => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!".into(),
        other => panic!("an image that the page does not have is asked for: {other}"),
    });
    assert!(example.line().ends_with("has 3 images"));
    for _ in 0..2 {
        let line = example.line();
        assert!(line.contains(": 3 images, 10 bytes, "), "{line}");
    }
    assert_eq!(example.wait().code(), Some(0));
}

fn a_server_that_is_not_there_is_an_error(driver: &str) {
    // A port that was free a moment ago: connecting to it is refused.
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("http://{address}/");
    let mut refused = command(driver);
    refused.args(["--url", &url]);
    let (status, error) = run_to_end(refused);
    assert_eq!(status, Some(1));
    assert!(error.contains(&url), "{error}");

    for flags in [&["--url", "https://a/"][..], &["--demo", "--url", "http://a/"], &[]] {
        let mut wrong = command(driver);
        wrong.args(flags);
        assert_eq!(run_to_end(wrong).0, Some(2), "{flags:?}");
    }
}

fn a_server_that_stays_silent_can_be_left_by_a_signal(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = command(driver);
    command.args(["--url", &format!("http://{}/", listener.local_addr().unwrap())]);
    let mut example = Example::start(command);
    let connection = listener.accept().expect("the client comes");
    example.signal(Signal::TERM);
    assert_eq!(example.wait().code(), Some(0));
    drop(connection);
}
