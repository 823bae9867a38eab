//! Runs each test in a process of its own, and prints what the standard harness prints.

use std::env;
use std::fmt::Write as _;
use std::process::{Command, ExitCode, Output};

use crate::INSTEAD;

/// The argument of a process that runs one test.
const ONE: &str = "--one-test";

#[derive(Clone, Copy)]
pub(crate) struct Test {
    name: &'static str,
    body: fn(&'static str),
    instead: Option<&'static str>,
}

pub(crate) const fn test(name: &'static str, body: fn(&'static str)) -> Test {
    Test { name, body, instead: None }
}

impl Test {
    /// What children that are started as workers do instead.
    pub(crate) const fn instead(mut self, what: &'static str) -> Test {
        self.instead = Some(what);
        self
    }

    fn run(&self) -> Output {
        let mut command = Command::new("/proc/self/exe");
        command.args([ONE, self.name]).env_remove("CORERING_DRIVER");
        if let Some(instead) = self.instead {
            command.env(INSTEAD, instead);
        }
        command.output().expect("the test's own executable runs again")
    }
}

/// Runs the test that is asked for, or all whose names have one of the words that are arguments.
pub(crate) fn main(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [one, name, ..] = &arguments[..]
        && one == ONE
    {
        let test = tests.iter().find(|test| test.name == name).expect("the test is in the table");
        (test.body)(test.name);
        return ExitCode::SUCCESS;
    }
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let is_asked_for = |test: &&Test| {
        let fits = |word: &&&String| {
            if exact { test.name == **word } else { test.name.contains(word.as_str()) }
        };
        words.is_empty() || words.iter().any(|word| fits(&word))
    };
    let asked: Vec<&Test> = tests.iter().filter(is_asked_for).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        asked.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    run_all(&asked, tests.len() - asked.len())
}

fn run_all(asked: &[&Test], left_out: usize) -> ExitCode {
    println!("\nrunning {} tests", asked.len());
    let (mut failures, mut bodies) = (String::new(), (0, 0));
    let mut failed = 0;
    for test in asked {
        let output = test.run();
        let said = String::from_utf8_lossy(&output.stderr);
        let counted = said.lines().filter_map(bodies_of);
        bodies = counted.fold(bodies, |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let word = if output.status.success() { "ok" } else { "FAILED" };
        println!("test {} ... {word}", test.name);
        if !output.status.success() {
            failed += 1;
            let printed = String::from_utf8_lossy(&output.stdout);
            let status = output.status;
            let _ = writeln!(failures, "---- {} ----\n{status}\n{printed}\n{said}", test.name);
        }
    }
    let (word, passed) = (if failed == 0 { "ok" } else { "FAILED" }, asked.len() - failed);
    println!(
        "\n{failures}\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         {left_out} filtered out\n"
    );
    eprintln!("corering: bodies run: uring {}, epoll {}", bodies.0, bodies.1);
    ExitCode::from(u8::from(failed > 0))
}

/// How many bodies a test has run on each driver, by the line at its end.
fn bodies_of(line: &str) -> Option<(u32, u32)> {
    let counts = line.strip_prefix("corering: bodies run: uring ")?;
    let (uring, epoll) = counts.split_once(", epoll ")?;
    Some((uring.parse().ok()?, epoll.parse().ok()?))
}
