//! The study as a person runs it: what it writes, how it ends, and what it survives.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{self, Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use corering::{Driver, test_support};
use corering_bench::os;
use corering_bench::study::analysis::validity;
use corering_bench::study::schema::{Finding, Metric, Study};
use corering_bench::study::store::Finished;

/// The shortest study that compares anything: one cell, without sockets.
const SMALL: [&str; 4] = ["study", "--quick", "--cells=runtime", "--seconds=2"];

/// Several cells, so that it can be stopped between them.
const SEVERAL: [&str; 4] = ["study", "--quick", "--cells=echo,churn,http,runtime", "--seconds=6"];

/// A study whose folder is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Folder(env::temp_dir().join(format!("corering-bench-study-{name}-{}", process::id())))
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corering-bench"));
        command.args(options).arg("--out").arg(&self.0);
        command
    }

    fn run(&self, options: &[&str]) -> Output {
        self.command(options).output().expect("cargo built it for this test")
    }

    fn start(&self, options: &[&str]) -> Running {
        let mut command = self.command(options);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Running(command.spawn().expect("cargo built it for this test"))
    }

    fn study(&self) -> Study {
        let text = fs::read(self.0.join("study.json")).expect("the study was written");
        serde_json::from_slice(&text).expect("it is of this version")
    }

    /// The files of finished cells.
    fn cells(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.join("cells")).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
        paths.sort();
        paths
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A study that is going on, ended when this is dropped.
struct Running(Child);

impl Running {
    fn signal(&self, signal: i32) {
        os::send_signal(self.0.id(), signal).expect("it has not been waited for");
    }

    /// Waits until it ends and returns its status and what it said on standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let errors = BufReader::new(self.0.stderr.take().expect("it was asked for as a pipe"));
        let lines: Vec<String> = errors.lines().map_while(Result::ok).collect();
        (self.0.wait().expect("it is our child").code(), lines.join("\n"))
    }

    /// The ids of its processes that have `word` on their command line.
    fn children(&self, word: &str) -> Vec<u32> {
        let id = self.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let ids = children.unwrap_or_default();
        let ids = ids.split_whitespace().map(|id| id.parse().expect("it is a number"));
        ids.filter(|id: &u32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            text(&line).contains(word)
        })
        .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended has nothing left to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts that a study has done its work. A machine that is busy with other tests may spoil each
/// of its cells, which the study is to say and is not to be blamed for.
fn assert_done(folder: &Folder, status: Option<i32>, told: &str) {
    let weather = ["steal", "retransmits", "client saturated", "interrupted before"];
    let is_weather = |reason: &str| weather.iter().any(|one| reason.contains(one));
    let study = folder.study();
    assert!(!study.is_partial, "{told}");
    for excluded in &study.invalid {
        assert!(is_weather(&excluded.reason), "{}: {}", excluded.cell, excluded.reason);
    }
    let is_spoiled = !study.invalid.is_empty();
    assert!(status == Some(0) || (status == Some(1) && is_spoiled), "{status:?}: {told}");
}

/// Waits until `condition` gives something.
fn await_some<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Where this test run is about epoll alone, io_uring is refused, and so is the study.
fn is_refused() -> bool {
    if test_support::drivers().contains(&Driver::Uring) {
        return false;
    }
    let folder = Folder::new("refused");
    let output = folder.run(&SMALL);
    if corering::probe().is_uring_available() {
        // The run leaves io_uring out by choice; the kernel would grant it.
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    } else {
        assert_eq!(output.status.code(), Some(3));
        assert!(text(&output.stderr).contains("io_uring"), "{}", text(&output.stderr));
    }
    true
}

#[test]
fn a_study_tells_its_verdict_and_where_the_report_is() {
    if is_refused() {
        return;
    }
    let folder = Folder::new("small");
    let output = folder.run(&SMALL);
    assert_done(&folder, output.status.code(), &text(&output.stderr));
    let study = folder.study();
    assert_eq!(study.cells.len(), 1);
    assert!(study.fingerprint.0.contains_key("kernel"));
    let told = text(&output.stdout);
    assert!(!study.verdict.is_empty());
    assert!(study.verdict.iter().all(|sentence| told.contains(sentence)), "{told}");
    for name in ["report.html", "report.md", "study.json"] {
        let path = folder.0.join(name);
        assert!(path.exists() && told.contains(&path.display().to_string()), "{name}: {told}");
    }
}

#[test]
fn cell_that_reads_has_every_server_and_a_heading() {
    if is_refused() {
        return;
    }
    let folder = Folder::new("owned");
    let output = folder.run(&["study", "--quick", "--cells=owned-echo", "--seconds=4"]);
    assert_done(&folder, output.status.code(), &text(&output.stderr));
    let study = folder.study();
    let [cell] = &study.cells[..] else { panic!("{} cells", study.cells.len()) };
    assert_eq!(cell.title, "TCP echo by read(buf), 64 connections, 128 B");
    for server in ["uring", "uring/notification", "epoll", "tokio"] {
        assert!(cell.runs.iter().any(|run| run.server == server), "no run of {server}");
    }
    let report = fs::read_to_string(folder.0.join("report.md")).expect("it was written");
    let is_valid = cell.runs.iter().any(|run| run.invalid.is_none());
    assert!(!is_valid || report.contains("### TCP echo by read(buf)\n"), "{report}");
}

#[test]
fn bad_usage_says_what_would_be_good() {
    let folder = Folder::new("usage");
    let refused = |options: &[&str], hint: &str| {
        let output = folder.run(options);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {told}");
        assert!(told.contains(hint), "{options:?}: {told}");
        assert!(!folder.0.exists(), "{options:?} has begun");
    };
    refused(&["study"], "--quick");
    refused(&["study", "--quick", "--full"], "cannot be used with");
    refused(&["study", "--quick", "--handicap=nginx=20us"], "raw-epoll");
    refused(&["study", "--quick", "--cells=nothing"], "no cell's id begins with `nothing`");
    refused(&["study", "--quick", "--resume"], "leave out --resume");
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone() {
    let folder = Folder::new("letter");
    fs::create_dir(&folder.0).expect("its name is ours");
    fs::write(folder.0.join("letter"), "dear").expect("it is ours");
    if is_refused() {
        return;
    }
    let output = folder.run(&SMALL);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is not empty"), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(&folder.0).expect("it is there").count(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_the_environments_fault() {
    if is_refused() {
        return;
    }
    // Not even root can make a folder there.
    let output = Folder(PathBuf::from("/proc/corering-study")).run(&SMALL);
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stderr);
    assert!(told.contains("/proc/corering-study") && told.contains("--out"), "{told}");
}

#[test]
fn a_killed_study_goes_on_where_it_was() {
    if is_refused() {
        return;
    }
    let folder = Folder::new("killed");
    let mut running = folder.start(&SEVERAL);
    await_some("a second cell", || (folder.cells().len() >= 2).then_some(()));
    running.0.kill().expect("it is our child");
    drop(running);
    let finished = contents(&folder.cells());
    // What other tests have spoiled is measured again.
    let before: Vec<_> = finished.into_iter().filter(|(_, bytes)| is_valid(bytes)).collect();
    let mut options = SEVERAL.to_vec();
    options.push("--resume");
    let output = folder.run(&options);
    assert_done(&folder, output.status.code(), &text(&output.stderr));
    let after = contents(&folder.cells());
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|cell| after.contains(cell)), "a finished cell has changed");
    assert_eq!(folder.study().cells.len(), 4);
    // A reader can tell how far it had come.
    let told = text(&output.stderr);
    let kept = format!("{} of 4 cells were finished before", before.len());
    assert!(before.is_empty() || told.contains(&kept), "{told}");
}

/// Whether the file of a finished cell has figures of both sides.
fn is_valid(bytes: &[u8]) -> bool {
    let finished: Finished = serde_json::from_slice(bytes).expect("it is of this version");
    validity::is_valid(&finished.cell)
}

fn contents(paths: &[PathBuf]) -> Vec<(PathBuf, Vec<u8>)> {
    paths.iter().map(|path| (path.clone(), fs::read(path).expect("it is there"))).collect()
}

#[test]
fn an_interrupted_study_writes_what_it_has() {
    if is_refused() {
        return;
    }
    let folder = Folder::new("interrupted");
    let running = folder.start(&SEVERAL);
    await_some("a first cell", || (!folder.cells().is_empty()).then_some(()));
    running.signal(libc::SIGINT);
    let (status, told) = running.end();
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("--resume"), "{told}");
    let study = folder.study();
    assert!(study.is_partial && !study.cells.is_empty() && study.cells.len() < 4);
    assert!(folder.0.join("report.html").exists());
}

#[test]
fn a_server_that_goes_away_makes_its_run_invalid_and_the_study_goes_on() {
    if is_refused() {
        return;
    }
    let folder = Folder::new("gone");
    let running = folder.start(&["study", "--quick", "--cells=echo,runtime", "--seconds=6"]);
    let victim = await_some("an epoll server", || running.children("--driver=epoll").pop());
    os::send_signal(victim, libc::SIGKILL).expect("it is there, or not yet waited for");
    let (status, told) = running.end();
    let study = folder.study();
    assert_eq!(study.cells.len(), 2, "{told}");
    let invalid: Vec<_> = study.invalid.iter().map(|one| one.cell.as_str()).collect();
    assert!(invalid.iter().any(|id| id.starts_with("echo/")), "{status:?}: {told}");
    assert!(!invalid.iter().any(|id| id.starts_with("runtime/")), "{invalid:?}");
}

#[test]
fn a_disk_that_is_full_ends_the_study_with_advice() {
    if is_refused() {
        return;
    }
    let folder = Folder::new("disk");
    // The limit stands in for the disk: it works without rights, and a write fails as on one.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_corering-bench")).args(SMALL).arg("--out").arg(&folder.0);
    let output = command.output().expect("every system has a shell");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(told.contains("make room") && told.contains("--resume"), "{told}");
    let files = fs::read_dir(folder.0.join("cells")).expect("it was made");
    assert_eq!(files.count(), 0, "half a cell was left");
}

#[test]
fn what_a_low_limit_forbids_is_listed() {
    if is_refused() {
        return;
    }
    let folder = Folder::new("descriptors");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 1024; exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_corering-bench"));
    command.args(["study", "--quick", "--cells=idle,runtime", "--seconds=2"]);
    let output = command.arg("--out").arg(&folder.0).output().expect("every system has a shell");
    let (study, told) = (folder.study(), text(&output.stderr));
    // One of two is enough for the verdict, unless other tests have spoiled that, too.
    let is_enough = validity::is_valid(&study.cells[0]);
    assert_eq!(output.status.code(), Some(if is_enough { 0 } else { 1 }), "{told}");
    assert!(told.contains("(RLIMIT_NOFILE)"), "{told}");
    assert_eq!(study.not_run.len(), 1);
    assert!(study.not_run[0].cell.starts_with("idle/"));
    assert!(study.not_run[0].reason.starts_with("RLIMIT_NOFILE"), "{}", study.not_run[0].reason);
}

#[test]
fn a_handicap_is_found_out() {
    if is_refused() {
        return;
    }
    for (slow, fast) in [("epoll", "uring"), ("uring", "epoll")] {
        let folder = Folder::new(slow);
        let handicap = format!("--handicap={slow}=200us");
        let options = ["study", "--quick", "--cells=echo", "--seconds=12", &handicap];
        let output = folder.run(&options);
        assert_done(&folder, output.status.code(), &text(&output.stderr));
        let study = folder.study();
        assert_eq!(study.handicaps_ns, [(slow.to_owned(), 200_000)].into());
        assert!(study.command.contains(&format!("{slow}=200000ns")), "{}", study.command);
        let cpu_ns = |server: &str| {
            let runs = study.cells[0].runs.iter().filter(|run| run.server == server);
            let slices = runs.flat_map(|run| &run.slices);
            slices.map(|slice| slice.server_cpu_ns / slice.count).min().expect("it was measured")
        };
        assert!(cpu_ns(slow) > 200_000 && cpu_ns(slow) > cpu_ns(fast));
        // A cell that other tests have spoiled says nothing.
        if output.status.success() {
            let is_cpu = |one: &Finding| one.comparison.metric == Metric::CpuNsPerUnit;
            let is_win = study.wins.iter().any(is_cpu);
            let is_loss = study.losses.iter().any(is_cpu);
            assert_eq!((is_win, is_loss), (slow == "epoll", slow == "uring"), "{slow} is slow");
        }
    }
}
