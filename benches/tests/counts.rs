//! The parts of `scripts/counts.sh`: what is read from the profiles of callgrind and the summaries
//! of strace, and when the client has a tracer told.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;

/// Runs an awk program of `scripts/` on texts, which are given to it as files.
fn awk(program: &str, variables: &[&str], texts: &[&str]) -> Output {
    static NAMES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let mut command = Command::new("awk");
    command.arg("-f").arg(scripts.join(program));
    for variable in variables {
        command.args(["-v", variable]);
    }
    for text in texts {
        let name = NAMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("counts-{name}"));
        fs::write(&path, text).expect("cargo's directory for tests is there");
        command.arg(path);
    }
    command.output().expect("every Linux has awk")
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<String> =
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// `work` spends 70 instructions of its own, 20 of them inlined from `core`, and calls the allocator
/// three times; `realloc` itself calls `malloc`, which is the same request for memory.
const PROFILE: &str = "\
version: 1
positions: line
events: Ir
summary: 170

fl=/project/src/work.rs
fn=work
10 40
fi=/rustc/1234/library/core/src/option.rs
7 20
fe=/project/src/work.rs
11 10
cfn=malloc
calls=2 0
11 50
cfi=./malloc/./malloc/malloc.c
cfn=realloc
calls=1 0
12 50

fl=./malloc/./malloc/malloc.c
fn=malloc
1 75

fn=realloc
2 25
cfn=malloc
calls=1 0
2 25
";

#[test]
fn a_profile_gives_instructions_and_allocations_per_request() {
    let totals = awk("profile.awk", &["requests=2", "what=totals"], &[PROFILE]);
    assert_eq!(lines(&totals), ["85.0 1.5000"]);
}

#[test]
fn a_profile_gives_what_each_function_spends_itself() {
    let functions = awk("profile.awk", &["requests=10", "what=functions"], &[PROFILE]);
    assert_eq!(lines(&functions), ["      2.5  realloc", "      7.0  work", "      7.5  malloc"]);
}

#[test]
fn a_profile_gives_what_inlined_code_spends_to_its_own_file() {
    let variables = ["requests=10", "what=files", "root=/project"];
    let files = awk("profile.awk", &variables, &[PROFILE]);
    let expected = [
        "      2.0  core/src/option.rs",
        "      5.0  src/work.rs",
        "     10.0  ./malloc/./malloc/malloc.c",
    ];
    let mut found = lines(&files);
    found.sort_by_key(|line| line.len());
    assert_eq!(found.len(), 3);
    for line in expected {
        assert!(found.iter().any(|one| one == line), "no `{line}` in {found:?}");
    }
}

#[test]
fn an_empty_profile_is_an_error() {
    let output = awk("profile.awk", &["requests=10", "what=totals"], &["version: 1\n"]);
    assert_eq!(output.status.code(), Some(1));
}

/// A summary as strace writes it; some rows have a column of errors.
fn summary(waits: u64, receives: u64) -> String {
    format!(
        "% time     seconds  usecs/call     calls    errors syscall\n\
         ------ ----------- ----------- --------- --------- ----------------\n \
         90.00    0.084000           3  {receives:>8}        64 recvfrom\n  \
         9.00    0.008400           3  {waits:>8}           epoll_wait\n  \
         1.00    0.000840           3         7           mmap\n\
         ------ ----------- ----------- --------- --------- ----------------\n\
         100.00    0.093240           3       999        64 total\n"
    )
}

fn calls(name: &str, allocations: &str, long: &str) -> Output {
    calls_with(name, allocations, long, &[])
}

fn calls_with(name: &str, allocations: &str, long: &str, further: &[&str]) -> Output {
    let allocations = format!("allocations={allocations}");
    let name = format!("name={name}");
    let variables = [&[&*name, "instructions=123.4", &allocations, "requests=1000"], further];
    awk("calls.awk", &variables.concat(), &[&summary(30, 100), long])
}

#[test]
fn calls_per_request_are_the_difference_of_two_runs() {
    let output = calls("epoll", "0", &summary(80, 1100));
    let found = lines(&output);
    let columns: Vec<&str> = found[0].split_whitespace().collect();
    let zero = "0.0000";
    let expected = ["epoll", "123.4", zero, zero, "0.0500", zero, "1.0000", zero, zero];
    assert_eq!(columns, expected);
}

#[test]
fn calls_for_a_static_file_are_bounded_together() {
    for (name, receives, broken) in [
        ("static-epoll-1k", 2130, None),
        ("static-epoll-1k", 2160, Some("static-epoll-1k: 2.1100 calls per request")),
        ("static-uring-1k", 190, None),
        ("static-uring-1k", 210, Some("static-uring-1k: 0.1100 calls beside io_uring_enter")),
        ("static-epoll-64k", 3150, None),
        ("static-epoll-64k", 3250, Some("static-epoll-64k: 3.1500 calls beside those that wait")),
        ("static-uring-64k", 3150, None),
        ("static-uring-64k", 3250, Some("static-uring-64k: 3.1500 calls beside those that wait")),
    ] {
        let output = calls(name, "9", &summary(80, receives));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), broken.is_none(), "{name}: {text}");
        assert!(text.contains(broken.unwrap_or_default()), "{name}: {text}");
    }
}

#[test]
fn a_broken_bound_is_named_and_fails() {
    let broken = |output: Output, what: &str| {
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(what), "no `{what}` in: {text}");
    };
    broken(calls("epoll", "0", &summary(80, 1300)), "epoll: 1.2000 recvfrom per request");
    broken(calls("epoll", "0.5", &summary(80, 1100)), "epoll: 0.5000 allocations per request");
    broken(calls("uring", "0", &summary(80, 1100)), "uring: 1.0000 recvfrom per request");
    broken(calls("epoll-unix", "0", &summary(80, 1300)), "epoll-unix: 1.2000 recvfrom");
    broken(calls("uring-unix", "0", &summary(80, 1100)), "uring-unix: 1.0000 recvfrom");
}

#[test]
fn ring_that_is_notified_may_receive_once_per_request() {
    for name in ["uring-notification", "uring-owned"] {
        assert_eq!(calls(name, "0", &summary(30, 1100)).status.code(), Some(0), "{name}");
        assert_eq!(calls(name, "0", &summary(30, 1300)).status.code(), Some(1), "{name}");
    }
}

#[test]
fn hyper_on_corering_may_not_need_more_than_on_tokio() {
    let of_tokio = |instructions_max| {
        let further = [instructions_max, "allocations_max=3"];
        move |name, allocations| calls_with(name, allocations, &summary(80, 1100), &further)
    };
    let (same, less) = (of_tokio("instructions_max=123.4"), of_tokio("instructions_max=123.3"));
    // A tenth more, on a ring.
    let (tenth, more) = (of_tokio("instructions_max=112.2"), of_tokio("instructions_max=112.1"));
    assert!(tenth("hyper-uring", "3").status.success());
    assert!(!more("hyper-uring", "3").status.success());
    assert!(same("hyper-uring", "3.0001").status.success());
    assert!(!same("hyper-uring", "4").status.success());
    assert!(!less("hyper-epoll", "3").status.success());
    // The echo has bounds of its own, and nothing is known before tokio was counted.
    assert!(less("epoll", "0").status.success());
    assert!(calls("hyper-uring", "9", &summary(80, 1100)).status.success());
}

#[test]
fn nothing_is_asked_of_servers_that_are_not_ours() {
    assert!(calls("tokio", "3", &summary(80, 9000)).status.success());
}

#[test]
fn a_summary_without_calls_is_an_error() {
    assert_eq!(calls("tokio", "0", "").status.code(), Some(1));
}

/// Echoes on each connection, and tells how many bytes came on those that have ended.
fn serve(ended: mpsc::Sender<usize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, ended) = (stream.expect("accepting works"), ended.clone());
            thread::spawn(move || {
                let mut buffer = [0; 100];
                let mut total = 0;
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    total += count;
                    stream.write_all(&buffer[..count]).expect("the client reads");
                }
                // The test may have failed and ended before.
                let _ = ended.send(total);
            });
        }
    });
    address
}

fn count_rounds(address: SocketAddr, around: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_echo_load"))
        .args(["rounds", &format!("--addr={address}"), "--connections=2", "--size=10"])
        .args(["--warm-up-rounds=3", "--rounds=5", "--around", around])
        .output()
        .expect("cargo built it for this test")
}

#[test]
fn the_rounds_that_count_have_a_command_before_and_after() {
    let (ended, connections) = mpsc::channel();
    let told = Path::new(env!("CARGO_TARGET_TMPDIR")).join("told");
    let _ = fs::remove_file(&told);
    let output = count_rounds(serve(ended), &format!("echo told >>'{}'", told.display()));
    // The rounds before are done, but not counted.
    assert_eq!(lines(&output), ["10"]);
    assert_eq!(fs::read_to_string(told).expect("the command wrote it"), "told\ntold\n");
    let totals: Vec<usize> = connections.iter().take(2).collect();
    assert_eq!(totals, [80, 80]);
}

#[test]
fn rounds_ask_for_pages_when_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the client connects");
        let heads = BufReader::new(stream.try_clone().expect("descriptors are left"));
        // An empty line ends a request.
        for _ in heads.lines().map_while(Result::ok).filter(String::is_empty) {
            let page = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(page).expect("the client reads");
        }
    });
    let output = Command::new(env!("CARGO_BIN_EXE_echo_load"))
        .args(["rounds", &format!("--addr={address}"), "--connections=1", "--rounds=3", "--http"])
        .output()
        .expect("cargo built it for this test");
    assert_eq!(lines(&output), ["3"]);
}

#[test]
fn a_command_that_fails_is_told_with_what_it_said() {
    let (ended, _connections) = mpsc::channel();
    let output = count_rounds(serve(ended), "echo no tracer here >&2; exit 7");
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("exit status: 7: no tracer here"), "{text}");
}
