//! Fetches pages of a server by reqwest, on both drivers.

mod common;

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use common::{Example, run_to_end};

on_both_drivers! {
    pages_are_fetched_by_reqwest,
    page_that_is_missing_fails_and_no_other,
    server_that_is_not_there_is_named_with_the_cause,
}

fn command(driver: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guest_reqwest"));
    command.args(["--driver", driver]).env_remove("CORERING_DRIVER");
    // A proxy of this machine's knows nothing of the loopback interface.
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// Serves a folder with the files `0`, `1`, .., of which each has a thousand times its number of bytes.
fn serve(driver: &str, root: &tempfile::TempDir) -> Example {
    for number in 0..20 {
        fs::write(root.path().join(number.to_string()), vec![7; 1_000 * number]).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_static_server"));
    command.args(["--addr", "127.0.0.1:0", "--driver", driver]).arg("--root").arg(root.path());
    command.env_remove("CORERING_DRIVER");
    Example::start(command)
}

fn pages_are_fetched_by_reqwest(driver: &str) {
    let root = tempfile::tempdir().unwrap();
    let server = serve(driver, &root);
    let address = server.address();
    let mut command = command(driver);
    command.args((0..20).map(|number| format!("http://{address}/{number}")));
    let mut example = Example::start(command);
    let mut lines: Vec<String> = (0..20).map(|_| example.line()).collect();
    lines.sort();
    let mut expected: Vec<String> = (0..20)
        .map(|number| format!("http://{address}/{number}: {} bytes", 1_000 * number))
        .collect();
    expected.sort();
    assert_eq!(lines, expected);
    assert_eq!(example.wait().code(), Some(0));
}

fn page_that_is_missing_fails_and_no_other(driver: &str) {
    let root = tempfile::tempdir().unwrap();
    let server = serve(driver, &root);
    let address = server.address();
    let mut command = command(driver);
    command.args(["--parallel", "1"]);
    command.args(["1", "missing", "2"].map(|name| format!("http://{address}/{name}")));
    let (status, error) = run_to_end(command);
    assert_eq!(status, Some(1));
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with(&format!("http://{address}/missing: ")), "{error}");
    assert!(error.contains("404 Not Found"), "{error}");
}

fn server_that_is_not_there_is_named_with_the_cause(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut command = command(driver);
    command.arg(format!("http://{address}/"));
    let (status, error) = run_to_end(command);
    assert_eq!(status, Some(1));
    assert!(error.contains(&address.to_string()) && error.contains("refused"), "{error}");
}
