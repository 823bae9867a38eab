//! `corering-bench doctor` on this machine, whatever it is like.

use std::process::{Command, Output};

fn doctor(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_corering-bench");
    Command::new(program)
        .arg("doctor")
        .args(arguments)
        .output()
        .expect("cargo built it for this test")
}

#[test]
fn the_status_says_whether_anything_is_serious() {
    let output = doctor(&["--interval-ms=100"]);
    let told = String::from_utf8_lossy(&output.stdout);
    let is_serious = told.lines().any(|line| line.starts_with("serious"));
    assert_eq!(output.status.code(), Some(i32::from(is_serious)), "{told}");
    // Tests are built without optimisation, or else this test is about something else.
    assert_eq!(told.contains("built without optimisation"), cfg!(debug_assertions), "{told}");
    for topic in ["io_uring", "CPUs", "neighbours", "steal", "governor", "mitigations", "memlock"] {
        assert!(told.contains(&format!("  {topic}: ")), "{topic} in\n{told}");
    }
}

#[test]
fn a_look_that_sees_nothing_is_refused() {
    assert_eq!(doctor(&["--interval-ms=0"]).status.code(), Some(2));
}
