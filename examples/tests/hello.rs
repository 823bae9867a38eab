//! The first example does what its first line says.

mod common;

use std::process::Command;

use common::Example;

#[test]
fn three_tasks_print_in_the_order_of_their_sleep() {
    let mut example = Example::start(Command::new(env!("CARGO_BIN_EXE_hello")));
    for name in ["third", "second", "first"] {
        let line = example.line();
        assert!(line.starts_with(&format!("hello from the {name} task")), "{line}");
    }
    assert_eq!(example.wait().code(), Some(0));
}
