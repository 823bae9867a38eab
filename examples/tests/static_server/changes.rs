//! Files that change while they are sent, and afterwards.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::Example;
use crate::on_both_drivers;
use crate::support::{Client, Server, command, pattern};

on_both_drivers! {
    deleted_file_arrives_whole,
    replaced_file_arrives_whole_and_then_the_new_one,
    grown_file_arrives_as_it_was_announced,
    overwritten_file_arrives_in_its_length,
    truncated_file_ends_the_connection,
    files_of_an_age_arrive_as_they_are,
    file_that_is_kept_is_watched_until_it_is_replaced,
}

/// More than the sockets hold.
const BYTES: usize = 32 << 20;

/// Asks for a file, and changes it when its first bytes have come.
fn changed_amid_answer(driver: &str, change: impl FnOnce(&Path)) -> (Server, Vec<u8>) {
    let server =
        Server::start(driver, &[], |root| fs::write(root.join("f"), pattern(BYTES)).unwrap());
    let mut client = server.connect();
    client.send("GET /f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut received = vec![0; 1000];
    client.stream.read_exact(&mut received).expect("the answer begins");
    change(&server.root.path().join("f"));
    client.stream.read_to_end(&mut received).expect("the server closes");
    let head_end = received.windows(4).position(|window| window == b"\r\n\r\n");
    let content = received.split_off(head_end.expect("the head is whole") + 4);
    let head = String::from_utf8(received).expect("heads are text");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {BYTES}\r\n")), "{head}");
    (server, content)
}

fn deleted_file_arrives_whole(driver: &str) {
    let (server, content) = changed_amid_answer(driver, |path| fs::remove_file(path).unwrap());
    assert!(content == pattern(BYTES));
    eventually(|| server.get("/f").status == 404);
}

fn replaced_file_arrives_whole_and_then_the_new_one(driver: &str) {
    let (server, content) = changed_amid_answer(driver, |path| {
        let new = path.with_extension("new");
        fs::write(&new, "new").unwrap();
        fs::rename(new, path).unwrap();
    });
    assert!(content == pattern(BYTES));
    eventually(|| server.get("/f").content == b"new");
}

fn file_that_is_kept_is_watched_until_it_is_replaced(driver: &str) {
    let server = Server::start(driver, &["--shards", "1"], |root| {
        fs::write(root.join("f"), "old").unwrap();
    });
    let watches = || {
        let infos = fs::read_dir(format!("/proc/{}/fdinfo", server.example.id())).unwrap();
        // A file may be closed meanwhile.
        let infos = infos.map(|info| fs::read_to_string(info.unwrap().path()).unwrap_or_default());
        infos.map(|info| info.matches("inotify ").count()).sum::<usize>()
    };
    // A file that was just changed is asked about each time instead.
    eventually(|| server.get("/f").content == b"old" && watches() == 1);
    let (new, path) = (server.root.path().join("new"), server.root.path().join("f"));
    fs::write(&new, "new").unwrap();
    fs::rename(new, path).unwrap();
    eventually(|| watches() == 0);
    assert_eq!(server.get("/f").content, b"new");
}

fn grown_file_arrives_as_it_was_announced(driver: &str) {
    let (server, content) = changed_amid_answer(driver, |path| {
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
    });
    assert!(content == pattern(BYTES));
    eventually(|| server.get("/f").content.len() == BYTES + 4);
}

fn overwritten_file_arrives_in_its_length(driver: &str) {
    let (_server, content) = changed_amid_answer(driver, |path| {
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all(&pattern(BYTES).iter().map(|byte| !byte).collect::<Vec<_>>()).unwrap();
    });
    let was = pattern(BYTES);
    assert_eq!(content.len(), was.len());
    let mut both = content.iter().zip(&was);
    assert!(both.all(|(now, was)| now == was || *now == !was), "each byte is the old or the new");
}

fn truncated_file_ends_the_connection(driver: &str) {
    let (server, content) = changed_amid_answer(driver, |path| {
        OpenOptions::new().write(true).open(path).unwrap().set_len(1000).unwrap();
    });
    assert!(content.len() < BYTES, "nothing stands in for what is missing");
    eventually(|| server.get("/f").content == pattern(BYTES)[..1000]);
}

/// Files that have not changed for a while are kept: the small one in memory, and the large one open.
fn files_of_an_age_arrive_as_they_are(driver: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this is a member");
    let mut command = command();
    command.args(["--addr", "127.0.0.1:0", "--driver", driver]).arg("--root").arg(root);
    let example = Example::start(command);
    let mut client = Client::to(example.address());
    for name in ["rustfmt.toml", "CONTRIBUTING.md", "Cargo.lock"] {
        let content = fs::read(root.join(name)).unwrap();
        let middle = content.len() / 2;
        for _ in 0..3 {
            client.send(&format!("GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert!(client.response().content == content, "{name}");
            let range = format!("Range: bytes={middle}-\r\n");
            client.send(&format!("GET /{name} HTTP/1.1\r\nHost: x\r\n{range}\r\n"));
            assert!(client.response().content == content[middle..], "{name}");
        }
    }
}

/// Waits until something is so that may take a second.
fn eventually(mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not come to be so");
    }
}
