//! What `serve` refuses, with which status, and that it says what to do.

use std::net::TcpListener;
use std::process::Command;

use crate::support::{PROGRAM, refused};

#[test]
fn a_port_in_use_is_the_environment_and_the_text_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    for driver in ["epoll", "tokio", "raw-epoll"] {
        let (status, text) = refused(&["--driver", driver, "--addr", &address]);
        assert_eq!(status, Some(3), "{driver}: {text}");
        assert!(text.contains(&address) && text.contains("choose another port"), "{text}");
    }
}

#[test]
fn a_refused_ring_is_the_environment_and_nobody_is_told_to_connect() {
    for driver in ["uring", "raw-uring"] {
        let output = Command::new(env!("CARGO_BIN_EXE_deny-uring"))
            .args([PROGRAM, "serve", "--driver", driver])
            .output()
            .expect("cargo built it for this test");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{driver}: {text}");
        assert!(text.contains("seccomp"), "{driver}: {text}");
        assert!(output.stdout.is_empty(), "{driver} said that it listens");
    }
}

#[test]
fn flags_that_make_no_sense_are_bad_usage() {
    for arguments in [
        &["--workload=nonsense"][..],
        &["--driver=nonsense"],
        &["--addr=localhost"],
        &["--shards=0"],
        &["--shards=60000", "--driver=tokio"],
        &["--shards=2", "--cpu=0"],
        &["--handicap=20"],
        &["--cpu=1000000"],
        &["--driver=epoll", "--receive=completion"],
        &["--driver=tokio", "--read=owned"],
        &["--workload=http", "--read=owned"],
        &["--read=owned", "--room=0"],
        &["--room=1024"],
        &["--limit=30"],
        &["--limit=30s", "--driver=raw-uring"],
        &["--limit=30s", "--workload=http"],
        &["--limit=30s", "--read=owned"],
        &["--workload=mixed", "--driver=raw-epoll"],
        &["--workload=proxy"],
        &["--workload=proxy", "--to=127.0.0.1:1", "--driver=raw-epoll"],
        &["--to=127.0.0.1:1"],
        &["--workload=mixed", "--addr=unix:/tmp/no-such-socket"],
        &["--workload=http", "--addr=unix:/tmp/no-such-socket"],
    ] {
        let (status, text) = refused(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {text}");
        assert!(!text.trim().is_empty(), "{arguments:?} is refused without a word");
    }
}
