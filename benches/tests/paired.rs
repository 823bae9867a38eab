//! `corering-bench paired`: that every server takes part and its answers are verified, that what
//! is slower is called slower, and that what went wrong is named.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use corering::{Driver, test_support};
use corering_bench::os;
use corering_bench::paired::Document;
use corering_bench::stats::Verdict;
use corering_bench::study::schema::{Metric, Run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_corering-bench");

/// A machine may have no second CPU.
const ONE_CPU: [&str; 2] = ["--server-cpu=0", "--client-cpu=0"];

fn paired(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("paired").args(arguments);
    command.output().expect("cargo built it for this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a run with `--json -` wrote.
fn document(output: &Output) -> Document {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

/// Valid, or invalid since the machine is busy with other tests, which is nobody's fault.
fn is_sound(run: &Run) -> bool {
    let weather = ["steal", "retransmits", "client saturated"];
    run.invalid.as_ref().is_none_or(|reason| weather.iter().any(|one| reason.starts_with(one)))
}

/// The servers that can run on the drivers that this test run is about.
fn servers() -> Vec<&'static str> {
    let drivers = test_support::drivers();
    let mut servers = vec!["tokio", "raw-epoll"];
    if drivers.contains(&Driver::Epoll) {
        servers.push("epoll");
    }
    if drivers.contains(&Driver::Uring) {
        servers.extend(["uring", "raw-uring", "uring/notification", "raw-uring/completion"]);
    }
    servers
}

/// Runs one short round with `servers`; the client verifies every byte.
fn all_serve(servers: &[&str], options: &[&str]) {
    let list = servers.join(",");
    let mut arguments = vec!["--servers", &list, "--rounds=1", "--slice-ms=10", "--json=-"];
    arguments.extend(ONE_CPU);
    arguments.extend(options);
    let output = paired(&arguments);
    let runs = &document(&output).cells[0].runs;
    for server in servers {
        let run = runs.iter().find(|run| run.server == *server).expect("each has a run");
        assert!(is_sound(run), "{options:?}: {server}: {:?}", run.invalid);
        assert!(run.slices[0].count > 0 && run.slices[0].latency_ns.is_some(), "{server}");
    }
}

#[test]
fn every_server_echoes_small_messages() {
    all_serve(&servers(), &["--cells=8x1"]);
}

#[test]
fn every_server_echoes_several_messages_at_once() {
    all_serve(&servers(), &["--cells=8x100", "--depth=16", "--order=abba"]);
}

#[test]
fn every_server_echoes_messages_larger_than_any_buffer() {
    all_serve(&servers(), &["--cells=4x600000"]);
}

#[test]
fn every_server_echoes_on_more_connections_than_it_has_buffers() {
    all_serve(&servers(), &["--cells=400x20000"]);
}

#[test]
fn every_server_echoes_over_unix_sockets() {
    all_serve(&servers(), &["--cells=8x5000", "--unix"]);
}

#[test]
fn every_server_echoes_from_its_own_buffers() {
    all_serve(&servers(), &["--cells=8x20000", "--read=owned"]);
}

#[test]
fn servers_get_the_way_of_reading_that_was_asked_for() {
    let own = if test_support::drivers().contains(&Driver::Epoll) { "epoll" } else { "uring" };
    for (options, is_given) in [(&["--read=owned"][..], true), (&[], false)] {
        let running = Running::start(own, &[&["--rounds=1000000"], options].concat());
        let server = running.busy_server(own);
        let line = fs::read_to_string(format!("/proc/{server}/cmdline")).expect("it is alive");
        assert_eq!(line.contains("--read=owned\0"), is_given, "{line}");
        os::send_signal(running.0.id(), libc::SIGINT).expect("it is our child");
        let document = document(&running.finish());
        let title = &document.cells[0].title;
        assert_eq!(title.ends_with(", by read(buf)"), is_given, "{title}");
        assert_eq!(document.cells[0].id.ends_with("/read-owned"), is_given);
    }
}

#[test]
fn every_server_answers_http_from_memory() {
    all_serve(&servers(), &["--cells=8x5000", "--workload=http"]);
}

#[test]
fn proxies_pass_messages_on_and_back() {
    let servers: Vec<_> = servers().into_iter().filter(|name| !name.contains("raw")).collect();
    all_serve(&servers, &["--cells=8x20000", "--workload=proxy"]);
}

#[test]
fn every_server_answers_by_hyper() {
    all_serve(&servers(), &["--cells=8x13", "--workload=hyper"]);
}

#[test]
fn every_server_answers_http_from_a_file() {
    all_serve(&servers(), &["--cells=8x100000", "--workload=file"]);
}

#[test]
fn every_server_keeps_a_log() {
    all_serve(&servers(), &["--cells=8x100", "--workload=log", "--serve-option=--group=4"]);
}

#[test]
fn every_server_that_can_reads_the_disk_beside() {
    let all = servers();
    let able: Vec<&str> = all.into_iter().filter(|server| !server.starts_with("raw")).collect();
    all_serve(&able, &["--cells=8x64", "--workload=mixed", "--serve-option=--disk-depth=2"]);
}

#[test]
fn every_server_takes_connections_that_come_and_go() {
    all_serve(&servers(), &["--cells=8x64", "--workload=churn"]);
}

#[test]
fn every_server_echoes_beside_idle_connections() {
    all_serve(&servers(), &["--cells=4x64", "--workload=idle", "--idle-connections=300"]);
}

#[test]
fn the_data_holds_every_slice_and_the_noise_floor() {
    let options = ["--servers=tokio,raw-epoll", "--against=raw-epoll", "--rounds=3"];
    let output = paired(&[&options[..], &ONE_CPU, &["--slice-ms=5", "--json=-"]].concat());
    let document = document(&output);
    let cell = &document.cells[0];
    assert_eq!(cell.id, "echo/64x64/depth-1");
    let names: Vec<&str> = cell.runs.iter().map(|run| run.server.as_str()).collect();
    assert_eq!(names, ["tokio", "tokio again", "raw-epoll"]);
    for run in &cell.runs {
        assert_eq!(run.slices.len(), 3);
        let counted: u64 = run.slices.iter().map(|slice| slice.count).sum();
        assert!(counted > 0 && run.whole.count > counted, "the warm-up belongs to the whole");
        assert!(run.slices.iter().all(|slice| slice.server_cpu_ns > 0));
        assert!(run.whole.context_switches.is_some() && run.whole.system_cpu_ns.is_some());
    }
    let own = cell.runs[2].whole.counters["requests"];
    assert_eq!(own, cell.runs[2].whole.count, "server and client have counted the same requests");
    let invalid = document.invalid.len();
    assert_eq!(output.status.code(), Some(i32::from(invalid > 0)));
    // With the data on the standard output, the table is on the standard error.
    let table = text(&output.stderr);
    assert!(table.lines().any(|line| line.starts_with("tokio again ")), "{table}");
    // An invalid run is in no comparison, and in no noise.
    if invalid == 0 {
        assert!(table.contains("A/A: tokio again / tokio"), "{table}");
        let metrics = [Metric::CpuNsPerUnit, Metric::UnitsPerSecond, Metric::P99Ns];
        assert_eq!(document.noise.iter().map(|one| one.metric).collect::<Vec<_>>(), metrics);
        let compared = cell.comparisons.iter().map(|one| (one.server.as_str(), one.metric));
        assert_eq!(compared.collect::<Vec<_>>(), metrics.map(|metric| ("tokio", metric)));
    }
}

#[test]
fn if_none_to_compare_with_takes_part_it_is_the_first_server() {
    let mut arguments = vec!["--servers=raw-epoll,tokio", "--against=uring"];
    arguments.extend(["--rounds=1", "--slice-ms=5"]);
    arguments.extend(ONE_CPU);
    let table = text(&paired(&arguments).stdout);
    assert!(table.contains("/ raw-epoll") && !table.contains("/ uring"), "{table}");
}

/// The verdict on the CPU time of tokio against raw-epoll, one of them held back. Nothing that a
/// busy machine does adds half a millisecond of CPU time to each request of one of two processes.
fn verdict_with(handicap: &str) -> Verdict {
    let options = ["--servers=tokio,raw-epoll", "--against=raw-epoll", "--cells=4x64"];
    let rest = ["--rounds=5", "--slice-ms=10", "--json=-", handicap];
    // Retransmits and steal make a run invalid, which says nothing about the handicap.
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let document = document(&paired(&[&options[..], &ONE_CPU, &rest].concat()));
        let mut comparisons = document.cells[0].comparisons.iter();
        if let Some(one) = comparisons.find(|one| one.metric == Metric::CpuNsPerUnit) {
            return one.verdict;
        }
        assert!(document.cells[0].runs.iter().all(is_sound), "{:?}", document.invalid);
        assert!(Instant::now() < deadline, "{:?}", document.invalid);
    }
}

#[test]
fn a_server_that_is_held_back_is_the_one_that_costs_more() {
    assert_eq!(verdict_with("--handicap=tokio=500us"), Verdict::More);
    assert_eq!(verdict_with("--handicap=raw-epoll=500us"), Verdict::Less);
}

#[test]
fn server_that_was_slower_before_is_better_now() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let before = folder.path().join("before");
    fs::write(&before, format!("#!/bin/sh\nexec {PROGRAM} \"$@\" --handicap=500us\n"))
        .expect("the folder is ours");
    fs::set_permissions(&before, PermissionsExt::from_mode(0o755)).expect("the file is ours");
    let before = format!("--before={}", before.display());
    let options = ["--servers=tokio,raw-epoll", "--cells=4x64", "--rounds=5", "--slice-ms=10"];
    let output = paired(&[&options[..], &ONE_CPU, &[&before, "--json=-"]].concat());
    let document = document(&output);
    let cell = &document.cells[0];
    let names: Vec<&str> = cell.runs.iter().map(|run| run.server.as_str()).collect();
    let servers = ["tokio", "tokio again", "tokio before", "raw-epoll", "raw-epoll before"];
    assert_eq!(names, servers);
    assert!(cell.runs.iter().all(is_sound), "{:?}", document.invalid);
    for server in ["tokio", "raw-epoll"] {
        let against = format!("{server} before");
        let mut own = cell.comparisons.iter().filter(|one| one.server == server);
        let cpu = own.find(|one| one.against == against && one.metric == Metric::CpuNsPerUnit);
        // A run that other tests have spoiled is in no comparison.
        assert!(cpu.is_none_or(|one| one.verdict == Verdict::Less), "{cpu:?}");
        assert!(cpu.is_some() || !document.invalid.is_empty(), "{server} was not compared");
    }
}

#[test]
fn latency_at_a_rate_has_a_row_and_two_files_for_each_server() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let histograms = format!("--histograms={}", folder.path().display());
    let options = ["--servers=tokio,raw-epoll", "--rate=500", "--rounds=2", "--slice-ms=50"];
    let output = paired(&[&options[..], &ONE_CPU, &[&histograms]].concat());
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("p99.9"), "{table}");
    for (server, stem) in [("tokio ", "tokio"), ("tokio again ", "tokio-again")] {
        assert!(table.lines().any(|line| line.starts_with(server)), "no {server}in\n{table}");
        let read = |ending| {
            let path = folder.path().join(format!("echo-64x64-depth-1-{stem}.{ending}"));
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        // 500 a second, for two slices of 50 ms.
        assert!(read("hgrm").contains("Total count    =           50]"), "{}", read("hgrm"));
        let slices = |log: &str| log.lines().filter(|line| line.contains(",HIST")).count();
        assert_eq!(slices(&read("hlog")), 2, "{}", read("hlog"));
    }
}

#[test]
fn a_shared_cpu_is_told() {
    let options = ["--servers=tokio", "--rounds=1", "--slice-ms=5"];
    let output = paired(&[&options[..], &ONE_CPU].concat());
    assert!(text(&output.stdout).contains("servers and client share CPU 0"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (options, complaint) in [
        (["--servers=tokio,tokio", "--rounds=1"], "named twice"),
        (["--servers=tokio/notification", "--rounds=1"], "one way only"),
        (["--servers=tokio", "--handicap=epoll=20us"], "does not take part"),
        (["--servers=nginx", "--rounds=1"], "raw-epoll"),
        (["--workload=churn", "--depth=2"], "depth of 1"),
        (["--servers=monoio,tokio", "--rounds=1"], "add --with-peers"),
        (["--with-peers", "--unix"], "over TCP only"),
        (["--before=corering-bench", "--against=tokio"], "cannot be used with"),
        (["--read=owned", "--workload=http"], "for echo, churn and idle"),
        (["--read=owned", "--servers=tokio"], "for uring and epoll"),
        (["--workload=hyper", "--unix"], "hyper is served over TCP only"),
        (["--workload=hyper", "--read=owned"], "for echo, churn and idle"),
    ] {
        let output = paired(&options);
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        let message = text(&output.stderr);
        assert!(message.contains(complaint), "{options:?}: {message}");
    }
}

#[test]
fn a_server_that_cannot_start_is_named() {
    let output = paired(&["--servers=tokio", "--rounds=1", "--server-cpu=1000000"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("tokio: the server did not start to listen"));
}

#[test]
fn more_connections_than_descriptors_are_refused() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 200 && exec \"$@\"", "sh", PROGRAM, "paired"]);
    let output = command.args(["--servers=tokio", "--cells=100x64"]).output().expect("a shell");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("RLIMIT_NOFILE"), "{}", text(&output.stderr));
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_measurement() {
    let output = paired(&["--servers=tokio", "--json=/nonexistent/paired.json"]);
    assert_eq!(output.status.code(), Some(3));
    let message = text(&output.stderr);
    assert!(message.contains("/nonexistent/paired.json cannot be written"), "{message}");
}

#[test]
fn a_full_disk_is_told() {
    let options = ["--servers=tokio", "--rounds=1", "--slice-ms=5", "--json=/dev/full"];
    let output = paired(&[&options[..], &ONE_CPU].concat());
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("/dev/full cannot be written"));
}

/// A measurement that is under way.
struct Running(Child);

impl Running {
    fn start(servers: &str, options: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["paired", "--servers", servers, "--cells=2x64", "--slice-ms=5"]);
        command.args(ONE_CPU).args(options).arg("--json=-");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(command.spawn().expect("cargo built it for this test"))
    }

    /// The process of a server, once it has worked for several slices.
    fn busy_server(&self, driver: &str) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let found = children(self.0.id()).into_iter().find(|pid| {
                let path = format!("/proc/{pid}/cmdline");
                let arguments = fs::read_to_string(path).unwrap_or_default();
                arguments.contains(&format!("--driver={driver}\0")) && cpu_time_ms(*pid) > 30
            });
            if let Some(pid) = found {
                return pid;
            }
            assert!(Instant::now() < deadline, "{driver} had no work for a minute");
            thread::yield_now();
        }
    }

    fn finish(mut self) -> Output {
        let mut stdout = Vec::new();
        let pipe = self.0.stdout.as_mut().expect("it was asked for");
        pipe.read_to_end(&mut stdout).expect("a pipe can be read");
        let output = self.0.wait_with_output().expect("it is our child");
        Output { stdout, ..output }
    }
}

fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.split_whitespace().eq(["PPid:", &parent.to_string()]))
    };
    let entries = fs::read_dir(Path::new("/proc")).expect("Linux has it");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    names.filter(is_child).collect()
}

fn cpu_time_ms(pid: u32) -> u128 {
    let clock = os::CpuClock::of(pid).and_then(os::CpuClock::now);
    clock.map_or(0, |time| time.as_millis())
}

#[test]
fn a_server_that_goes_away_is_named_and_the_others_go_on() {
    let running = Running::start("tokio,raw-epoll", &["--rounds=150"]);
    let victim = running.busy_server("raw-epoll");
    os::send_signal(victim, libc::SIGKILL).expect("it is a child of our child");
    let output = running.finish();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let runs = &document(&output).cells[0].runs;
    let reason = runs[2].invalid.as_ref().expect("it is gone");
    assert!(reason.contains("the server went away (signal: 9"), "{reason}");
    assert!(runs[2].slices.len() < 150);
    assert!(runs[..2].iter().all(|run| is_sound(run) && run.slices.len() == 150));
}

#[test]
fn an_interrupt_leaves_what_was_measured() {
    let running = Running::start("tokio,raw-epoll", &["--rounds=1000000"]);
    running.busy_server("tokio");
    os::send_signal(running.0.id(), libc::SIGINT).expect("it is our child");
    let output = running.finish();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let document = document(&output);
    assert!(document.is_partial);
    let rounds: Vec<usize> = document.cells[0].runs.iter().map(|run| run.slices.len()).collect();
    assert!(rounds[0] > 0 && rounds.iter().all(|count| *count == rounds[0]), "{rounds:?}");
    assert!(text(&output.stderr).contains("partial: interrupted after"));
}
