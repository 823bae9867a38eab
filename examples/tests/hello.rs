//! The first example does what its first line says, on both drivers.

mod common;

use std::process::Command;

use common::{Example, run_to_end};

on_both_drivers! {
    three_tasks_print_in_the_order_of_their_sleep,
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hello"));
    command.env_remove("CORERING_DRIVER");
    command
}

fn three_tasks_print_in_the_order_of_their_sleep(driver: &str) {
    let mut command = command();
    command.args(["--driver", driver]);
    let mut example = Example::start(command);
    for name in ["third", "second", "first"] {
        let line = example.line();
        assert!(line.starts_with(&format!("hello from the {name} task")), "{line}");
    }
    assert_eq!(example.wait().code(), Some(0));
}

#[test]
fn help_says_what_it_does_and_how() {
    let output = command().arg("--help").output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for text in ["three tasks", "Ctrl-C", "--driver", "uring", "epoll", "auto"] {
        assert!(help.contains(text), "{help}");
    }
}

#[test]
fn a_driver_that_is_none_is_an_error_that_names_it() {
    let mut command = command();
    command.args(["--driver", "kqueue"]);
    let (status, error) = run_to_end(command);
    assert_eq!(status, Some(2));
    assert!(error.contains("kqueue"), "{error}");
}
