//! `corering-bench compare`: what changed from one study to the next, told by the program itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corering_bench::study::analysis::conclude;
use corering_bench::study::schema::Study;

use crate::fixture::{URING_WINS, study};

/// Both studies in files of the test called `name`, compared.
fn compare(name: &str, studies: [&Study; 2], options: &[&str]) -> Output {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let folders = ["old", "new"].map(|folder| directory.join(folder));
    for (folder, study) in folders.iter().zip(studies) {
        fs::create_dir_all(folder).expect("the target directory takes a directory");
        let text = serde_json::to_vec(study).expect("a study has a text");
        fs::write(folder.join("study.json"), text).expect("the folder is there");
    }
    // A folder and a file are both names of a study.
    run(&[&folders[0], &folders[1].join("study.json")], options)
}

fn run(paths: &[&Path], options: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_corering-bench");
    let mut command = Command::new(program);
    command.arg("compare").args(paths).args(options).output().expect("cargo built it for this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn concluded() -> Study {
    let mut study = study(URING_WINS);
    study.cells.truncate(3);
    conclude(&mut study);
    study
}

#[test]
fn a_study_has_not_changed_against_itself() {
    let study = concluded();
    let output = compare("compare-same", [&study, &study], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Seven servers in three cells, in five metrics.
    assert_eq!(text(&output.stdout), "0 of 105 figures changed beyond the noise.\n");
}

#[test]
fn a_change_is_told_with_its_direction() {
    let (old, mut new) = (concluded(), concluded());
    for run in &mut new.cells[1].runs {
        match run.server.as_str() {
            "uring" => run.slices.iter_mut().for_each(|slice| slice.server_cpu_ns *= 2),
            "tokio" => run.whole.system_calls = run.whole.system_calls.map(|calls| calls / 2),
            _ => (),
        }
    }
    let lost = new.cells.pop().expect("there are three");
    let output = compare("compare-changed", [&old, &new], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    let (better, worse) = told.split_once("Worse:").expect("something is worse");
    assert!(told.starts_with("2 of 70 figures changed"), "{told}");
    assert!(better.contains("TCP echo, 64 connections, 64 B, tokio: system calls"), "{told}");
    assert!(better.contains("50% less"), "{told}");
    assert!(worse.contains("TCP echo, 64 connections, 64 B, uring: CPU time"), "{told}");
    assert!(worse.contains("2.0 times"), "{told}");
    assert!(worse.contains(&format!("Only in the older study:\n  {}", lost.id)), "{told}");
}

#[test]
fn a_change_within_the_noise_is_none() {
    let (old, mut new) = (concluded(), concluded());
    for run in &mut new.cells[1].runs {
        run.slices.iter_mut().for_each(|slice| slice.server_cpu_ns = slice.server_cpu_ns * 11 / 10);
    }
    let without_noise = compare("compare-quiet", [&old, &new], &[]);
    let told = text(&without_noise.stdout);
    assert!(told.starts_with("7 of 105 figures"), "{told}");
    assert!(told.contains("Every server changed to the same side"), "{told}");
    // Where two processes of one server differ by a fifth, a tenth is nothing.
    for noise in &mut new.noise {
        noise.ratio.high = 1.2;
    }
    let output = compare("compare-noisy", [&old, &new], &[]);
    assert!(text(&output.stdout).starts_with("0 of 105 figures"), "{}", text(&output.stdout));
}

#[test]
fn other_machines_are_refused_unless_forced() {
    let (old, mut new) = (concluded(), concluded());
    new.fingerprint.0.insert("kernel".to_owned(), "6.18".to_owned());
    new.fingerprint.0.insert("commit".to_owned(), "fedcba".to_owned());
    let studies = [&old, &new];
    let refused = compare("compare-refused", studies, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(told.contains("kernel was `6.12.0-invented`, is `6.18`"), "{told}");
    assert!(told.contains("--force=commit,kernel"), "{told}");
    assert!(refused.stdout.is_empty());
    let half_forced = compare("compare-half", studies, &["--force=commit"]);
    assert_eq!(half_forced.status.code(), Some(1));
    assert!(text(&half_forced.stderr).contains("--force=kernel to"));
    for force in ["--force=commit,kernel", "--force"] {
        let forced = compare("compare-forced", studies, &[force]);
        assert!(forced.status.success(), "{force}: {}", text(&forced.stderr));
        assert!(text(&forced.stderr).contains("commit was"), "the differences are told");
        assert!(text(&forced.stdout).starts_with("0 of 105"), "{}", text(&forced.stdout));
    }
}

#[test]
fn another_schema_is_refused_with_what_to_do() {
    let (old, mut new) = (concluded(), concluded());
    new.version += 1;
    let output = compare("compare-version", [&old, &new], &["--force"]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("version 2 of the schema, and this program reads version 1"), "{told}");
    assert!(told.contains("measure it again, or compare with the program that wrote it"), "{told}");
}

#[test]
fn what_is_no_study_is_named() {
    let nowhere = Path::new("/no/such/study");
    let output = run(&[nowhere, nowhere], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/no/such/study is not there"));
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let output = run(&[&other, &other], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is not a study"));
}
