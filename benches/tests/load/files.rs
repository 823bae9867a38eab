//! What is written: JSON, histograms, what was measured before Ctrl-C, and joined runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::servers::{echo, echo_to, http, ok, serve};
use crate::{bench, load, text};

/// A directory of one test, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("corering-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary directory");
        Scratch(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a plain name").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is the system's to clean.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn json(path: &str) -> Value {
    let text = fs::read_to_string(path).expect("it was written");
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn the_table_is_beside_the_json() {
    let address = echo().to_string();
    let run = load(&address, &["--connections=2"]).expect_sound();
    assert!(run.errors.contains("per second"), "{}", run.errors);

    let scratch = Scratch::new("table");
    let path = scratch.file("run.json");
    let output = bench(&[
        "load",
        &address,
        "--connections=2",
        "--duration=50ms",
        "--warm-up=50ms",
        "--json",
        &path,
    ]);
    let table = text(&output.stdout);
    for word in ["requests", "per second", "latency", "p99.9", "client", "verified", "verdict"] {
        assert!(table.contains(word), "no {word} in\n{table}");
    }
    assert!(json(&path)["requests"].as_u64().expect("a count") > 0);
}

#[test]
fn the_histograms_hold_every_request() {
    let scratch = Scratch::new("histograms");
    let (hgrm, hlog) = (scratch.file("run.hgrm"), scratch.file("run.hlog"));
    let options = ["--connections=2", "--threads=2", "--rate=400", "--duration=1200ms"];
    let files = ["--hgrm", &hgrm, "--hlog", &hlog];
    let run = load(&echo().to_string(), &[&options[..], &files].concat()).expect_sound();
    assert_eq!(run.requests(), 480);
    let quantiles = fs::read_to_string(&hgrm).expect("it was written");
    assert!(quantiles.contains("Total count    =          480"), "{quantiles}");
    let log = fs::read_to_string(&hlog).expect("it was written");
    let intervals = log.lines().filter(|line| !line.starts_with('#') && !line.starts_with('"'));
    assert_eq!(intervals.count(), 2, "{log}");

    // The log is a run, too.
    let joined = scratch.file("joined.json");
    assert!(bench(&["merge", &hlog, "--json", &joined]).status.success());
    assert_eq!(json(&joined)["requests"], 480);
    assert_eq!(json(&joined)["latency_ns"], run.json["latency_ns"]);
}

#[test]
fn joined_runs_add_up() {
    let scratch = Scratch::new("merge");
    let address = echo().to_string();
    let paths = [scratch.file("a.json"), scratch.file("b.json")];
    for path in &paths {
        bench(&[
            "load",
            &address,
            "--connections=3",
            "--duration=50ms",
            "--warm-up=0s",
            "--json",
            path,
        ]);
    }
    let joined = scratch.file("joined.json");
    let hgrm = scratch.file("joined.hgrm");
    let [first, second] = paths.each_ref().map(|path| json(path));
    let output = bench(&["merge", &paths[0], &paths[1], "--json", &joined, "--hgrm", &hgrm]);
    let all = json(&joined);
    let sum = |name: &str| first[name].as_u64().expect(name) + second[name].as_u64().expect(name);
    for name in ["requests", "connections", "threads", "runs"] {
        assert_eq!(all[name].as_u64(), Some(sum(name)), "{name}");
    }
    let max = |run: &Value| run["latency_ns"]["max"].as_u64();
    assert_eq!(max(&all), max(&first).max(max(&second)));
    let is_valid = first["verdict"] == "valid" && second["verdict"] == "valid";
    assert_eq!(output.status.success(), is_valid, "{}", text(&output.stderr));
    assert_eq!(all["verdict"] == "valid", is_valid);
    let quantiles = fs::read_to_string(&hgrm).expect("it was written");
    assert!(quantiles.contains(&format!("Total count    = {:12}", sum("requests"))));
}

#[test]
fn runs_that_do_not_belong_together_are_not_joined() {
    let scratch = Scratch::new("unlike");
    let paths = [scratch.file("a.json"), scratch.file("b.json"), scratch.file("c.json")];
    let http = format!("http://{}/", http(usize::MAX, |_| ok("", "hello")));
    for (target, path) in [(echo().to_string(), &paths[0]), (http, &paths[1])] {
        bench(&[
            "load",
            &target,
            "--connections=1",
            "--duration=20ms",
            "--warm-up=0s",
            "--json",
            path,
        ]);
    }
    fs::write(&paths[2], "a letter to somebody").expect("a file");
    let unlike = bench(&["merge", &paths[0], &paths[1]]);
    assert_eq!(unlike.status.code(), Some(2));
    assert!(text(&unlike.stderr).contains("different kinds"), "{}", text(&unlike.stderr));
    let no_run = bench(&["merge", &paths[0], &paths[2]]);
    assert_eq!(no_run.status.code(), Some(2));
    assert!(text(&no_run.stderr).contains("c.json is no run"), "{}", text(&no_run.stderr));
    let missing = bench(&["merge", &scratch.file("d.json")]);
    assert_eq!(missing.status.code(), Some(3));
}

#[test]
fn what_cannot_be_written_is_told_before_anything_is_measured() {
    let answered = Arc::new(AtomicUsize::new(0));
    let count = answered.clone();
    let address = serve(move |stream| {
        count.fetch_add(1, Ordering::Relaxed);
        echo_to(stream)
    });
    let scratch = Scratch::new("unwritable");
    let (missing, other) = (scratch.file("no/run"), scratch.file("other"));
    for option in ["--json", "--hgrm", "--hlog"] {
        let output = bench(&["load", &address.to_string(), option, &missing]);
        assert_eq!(output.status.code(), Some(3));
        let errors = text(&output.stderr);
        assert!(errors.contains("cannot write") && errors.contains("no/run"), "{errors}");
    }
    assert_eq!(answered.load(Ordering::Relaxed), 0);
    // No empty file is left by a run that had no result.
    let output = bench(&["load", &address.to_string(), "--json", &other, "--hgrm", &missing]);
    assert_eq!(output.status.code(), Some(3));
    assert!(!fs::exists(&other).expect("a directory"));
}

#[test]
fn a_full_disk_is_told_and_the_table_is_shown() {
    let output = bench(&[
        "load",
        &echo().to_string(),
        "--connections=1",
        "--duration=20ms",
        "--warm-up=0s",
        "--json=/dev/full",
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("cannot write /dev/full"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("verdict"), "{}", text(&output.stdout));
}

#[test]
fn an_interrupted_run_writes_what_was_measured_so_far() {
    let answered = Arc::new(AtomicUsize::new(0));
    let count = answered.clone();
    let address = serve(move |mut stream| {
        let mut message = [0; 64];
        loop {
            std::io::Read::read_exact(&mut stream, &mut message)?;
            std::io::Write::write_all(&mut stream, &message)?;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let scratch = Scratch::new("interrupt");
    for (signal, name) in [(libc::SIGINT, "int.json"), (libc::SIGTERM, "term.json")] {
        answered.store(0, Ordering::Relaxed);
        let path = scratch.file(name);
        let child = Command::new(env!("CARGO_BIN_EXE_corering-bench"))
            .args(["load", &address.to_string(), "--warm-up=0s", "--duration=1h", "--json", &path])
            .args(["--connections=2", "--threads=2"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo built it for this test");
        let deadline = Instant::now() + Duration::from_secs(60);
        while answered.load(Ordering::Relaxed) < 1000 {
            assert!(Instant::now() < deadline, "no load came");
            std::thread::yield_now();
        }
        corering_bench::os::send_signal(child.id(), signal).expect("it is alive");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        let run = json(&path);
        assert_eq!(run["verdict"], "partial: interrupted");
        assert_eq!(run["is_partial"], true);
        assert!(run["requests"].as_u64().expect("a count") > 0);
        assert!(text(&output.stdout).contains("partial: interrupted"));
    }
}
