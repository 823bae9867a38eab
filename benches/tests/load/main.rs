//! The load generator as a program: what it measures, what it says of servers that misbehave, and
//! how it ends.
//!
//! The machine may be busy with other tests, so a run that is sound may still be told to be
//! `invalid: client saturated`. What never varies is that the verdict, the exit status and the
//! numbers agree.

mod faults;
mod files;
mod http2;
mod loops;
mod servers;

use std::process::{Command, Output};

use serde_json::Value;

/// A run of `corering-bench load` with its result as JSON.
#[derive(Debug)]
struct Run {
    status: i32,
    json: Value,
    errors: String,
}

impl Run {
    fn verdict(&self) -> &str {
        self.json["verdict"].as_str().unwrap_or_else(|| panic!("no verdict: {}", self.errors))
    }

    fn requests(&self) -> u64 {
        self.json["requests"].as_u64().expect("a count")
    }

    fn text(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_else(|| panic!("no {name}: {}", self.json))
    }

    /// Everything that does not depend on how busy the machine is.
    #[track_caller]
    fn expect_sound(self) -> Self {
        let machine = [
            "valid",
            "invalid: client saturated",
            "invalid: time stolen",
            "invalid: rate not reached",
        ];
        assert!(machine.contains(&self.verdict()), "{}: {}", self.verdict(), self.errors);
        assert_eq!(self.status, i32::from(self.verdict() != "valid"), "{}", self.errors);
        assert!(self.requests() > 0, "{}", self.json);
        let quantiles = ["p50", "p90", "p99", "p999", "max"];
        let latencies = quantiles.map(|name| self.json["latency_ns"][name].as_u64().expect(name));
        assert!(latencies[0] > 0 && latencies.is_sorted(), "{latencies:?}");
        self
    }

    #[track_caller]
    fn expect_invalid(self, why: &str) -> Self {
        assert_eq!(self.verdict(), format!("invalid: {why}"), "{}", self.errors);
        assert_eq!(self.status, 1, "{}", self.errors);
        self
    }
}

/// Runs the program to its end.
fn bench(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_corering-bench");
    Command::new(program).args(arguments).output().expect("cargo built it for this test")
}

/// Loads `target`, briefly unless the options say otherwise.
fn load(target: &str, options: &[&str]) -> Run {
    let mut arguments = vec!["load", target, "--json=-", "--warm-up=0s"];
    if !options.iter().any(|option| option.starts_with("--duration")) {
        arguments.push("--duration=100ms");
    }
    arguments.extend(options);
    let output = bench(&arguments);
    let errors = text(&output.stderr);
    let json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{errors}", text(&output.stdout)));
    Run { status: output.status.code().expect("it ended by itself"), json, errors }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
