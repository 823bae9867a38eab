//! The site by axum, on both drivers, by curl and by the WebSocket client of Debian's python3-websocket.

mod common;
#[path = "../../benches/tests/common/programs.rs"]
mod programs;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use common::Example;
use programs::is_left_out;
use rustix::process::Signal;

on_both_drivers! {
    json_is_answered_and_taken,
    file_is_stored_and_fetched_by_both_versions_of_http,
    name_outside_folder_is_refused,
    events_that_have_begun_are_sent_before_it_ends,
    messages_of_a_web_socket_come_back,
}

fn start(driver: &str, folder: &Path) -> (Example, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_axum_app"));
    command.args(["--driver", driver, "--addr", "127.0.0.1:0", "--folder"]).arg(folder);
    let example = Example::start(command);
    let address = example.address();
    (example, address)
}

/// Runs curl on a path: what it prints, after the status if it is not 200.
fn curl(address: SocketAddr, path: &str, options: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "-w", "%{stderr}%{http_code}"]).args(options);
    let output = command.arg(format!("http://{address}{path}")).output().expect("curl runs");
    let (body, status) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    let body = String::from_utf8(body).expect("the answer is text");
    if status == "200" { body } else { format!("{status} {body}") }
}

fn json_is_answered_and_taken(driver: &str) {
    if is_left_out("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_example, address) = start(driver, folder.path());
    assert_eq!(curl(address, "/greet/you", &[]), r#"{"hello":"you"}"#);
    let json = ["-H", "content-type: application/json", "-d"];
    let sum = [&json[..], &[r#"{"numbers": [1, 2, 3.5]}"#]].concat();
    assert_eq!(curl(address, "/sum", &sum), r#"{"sum":6.5}"#);
    let wrong = [&json[..], &[r#"{"numbers": "none"}"#]].concat();
    assert!(curl(address, "/sum", &wrong).starts_with("422 "));
}

fn file_is_stored_and_fetched_by_both_versions_of_http(driver: &str) {
    if is_left_out("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_example, address) = start(driver, folder.path());
    let text: String = (0..200_000).map(|line| format!("line {line}\n")).collect();
    let source = folder.path().join("source");
    std::fs::write(&source, &text).unwrap();
    let source = source.to_str().unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let path = format!("/files/stored{version}");
        assert_eq!(curl(address, &path, &[version]), "404 ");
        assert_eq!(curl(address, &path, &[version, "-T", source]), "201 ");
        let stored = std::fs::read_to_string(folder.path().join(&path["/files/".len()..])).unwrap();
        assert!(stored == text, "what was stored differs");
        assert!(curl(address, &path, &[version]) == text, "what was fetched differs");
    }
}

fn name_outside_folder_is_refused(driver: &str) {
    if is_left_out("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    let (_example, address) = start(driver, &inside);
    for name in ["..%2fsecret", "%2e%2e", "a%2f..%2f..%2fsecret", "%2fetc%2fpasswd"] {
        assert_eq!(curl(address, &format!("/files/{name}"), &["--path-as-is"]), "400 ", "{name}");
    }
}

/// A client that runs beside the test, and the lines that it prints.
struct Client {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the client is installed");
        let stdout = child.stdout.take().expect("the output is piped");
        Client { child, lines: BufReader::new(stdout).lines() }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("there is another line").expect("it is text")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already; then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn events_that_have_begun_are_sent_before_it_ends(driver: &str) {
    if is_left_out("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut example, address) = start(driver, folder.path());
    let mut curl = Command::new("curl");
    let url = format!("http://{address}/ticks?count=20&millis=20");
    let mut curl = Client::start(curl.args(["-sSN", "--max-time", "60", &url]));
    assert_eq!(curl.line(), "data: 1");
    example.signal(Signal::TERM);
    for tick in 2..=20 {
        assert_eq!(curl.line(), "");
        assert_eq!(curl.line(), format!("data: {tick}"));
    }
    assert_eq!(example.wait().code(), Some(0));
}

fn messages_of_a_web_socket_come_back(driver: &str) {
    if is_left_out("wsdump") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_example, address) = start(driver, folder.path());
    let mut command = Command::new("wsdump");
    let url = format!("ws://{address}/ws");
    // It takes what is typed, and sends a line as a message.
    let mut client = Client::start(command.args(["-r", &url]).stdin(Stdio::piped()));
    let mut typed = client.child.stdin.take().expect("the input is piped");
    for message in ["hello".to_owned(), "x".repeat(100_000)] {
        std::io::Write::write_all(&mut typed, format!("{message}\n").as_bytes()).unwrap();
        assert!(client.line() == message, "another message came back");
    }
}
