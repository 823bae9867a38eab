//! The client by hyper, on both drivers, against Python's server.

mod common;
#[path = "../../benches/tests/common/programs.rs"]
mod programs;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Example, run_to_end};
use programs::is_left_out;
use rustix::process::Signal;

on_both_drivers! {
    files_come_in_the_order_asked_for,
    redirect_leads_to_where_it_points,
    server_that_is_not_there_is_named,
    http2_is_spoken_to_whom_it_is_known_of,
}

fn command(driver: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_http_client"));
    command.args(["--driver", driver]).env_remove("CORERING_DRIVER");
    command
}

/// Python's server of a folder, and its URL.
fn serve(folder: &Path) -> (Example, String) {
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"]);
    command.arg("--directory").arg(folder).stderr(Stdio::null());
    let server = Example::start(command);
    let line = server.line();
    let (_, url) = line.split_once('(').expect("the line has the URL");
    let (url, _) = url.split_once("/)").expect("the URL ends");
    (server, url.to_owned())
}

fn files_come_in_the_order_asked_for(driver: &str) {
    if is_left_out("python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_server, url) = serve(folder.path());
    let mut command = command(driver);
    command.args(["--parallel", "5"]);
    for number in 0..30 {
        fs::write(folder.path().join(number.to_string()), vec![b'x'; number * 10_000]).unwrap();
        command.arg(format!("{url}/{number}"));
    }
    command.arg(format!("{url}/none"));
    let mut client = Example::start(command);
    for number in 0..30 {
        assert_eq!(client.line(), format!("200 {} {url}/{number}", number * 10_000));
    }
    assert!(client.line().starts_with("404 "));
    assert_eq!(client.wait().code(), Some(0));
}

fn redirect_leads_to_where_it_points(driver: &str) {
    if is_left_out("python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::write(folder.path().join("folder/index.html"), "here").unwrap();
    let (_server, url) = serve(folder.path());
    let mut command = command(driver);
    command.arg(format!("{url}/folder"));
    let mut client = Example::start(command);
    assert_eq!(client.line(), format!("200 4 {url}/folder/"));
    assert_eq!(client.wait().code(), Some(0));
}

fn server_that_is_not_there_is_named(driver: &str) {
    // A port that was free a moment ago: connecting to it is refused.
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("http://{address}/");
    let mut refused = command(driver);
    refused.arg(&url);
    let mut client = Example::start(refused);
    let line = client.line();
    assert!(line.starts_with(&url) && line.contains("refused"), "{line}");
    assert_eq!(client.wait().code(), Some(1));

    for flags in [&["https://a/"][..], &["a"], &["--parallel", "0", "http://a/"], &[]] {
        let mut wrong = command(driver);
        wrong.args(flags);
        assert_eq!(run_to_end(wrong).0, Some(2), "{flags:?}");
    }
}

fn http2_is_spoken_to_whom_it_is_known_of(driver: &str) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_hyper_hello"));
    server.args(["--driver", driver, "--addr", "127.0.0.1:0"]);
    let mut server = Example::start(server);
    let url = format!("http://{}/", server.address());
    let mut command = command(driver);
    command.args(["--http2", &url, &url]);
    let mut client = Example::start(command);
    for _ in 0..2 {
        assert_eq!(client.line(), format!("200 13 {url}"));
    }
    assert_eq!(client.wait().code(), Some(0));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}
