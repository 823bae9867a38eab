//! Echo servers on other runtimes, in the package `benches/peers` that no default build compiles.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::outcome::Failure;

/// The peers, by the names of their programs. They serve echo, churn and idle.
pub const NAMES: [&str; 3] = ["monoio", "compio", "glommio"];

/// Builds the peers, which takes a minute or two the first time, and says in which folder their
/// programs are: one for each of [`NAMES`], with the options `--workload`, `--addr`, `--size` and
/// `--cpu` of `serve`, and the lines that it prints.
pub fn build() -> Result<PathBuf, Failure> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let manifest = package.join("Cargo.toml");
    let advice = "without --with-peers they are not needed";
    if !manifest.is_file() {
        return Err(Failure::Environment(format!(
            "the peers are built from {}, which is not there: run this from a checkout of the \
             project; {advice}",
            package.display()
        )));
    }
    // Beside what cargo has built for this program, if it says where.
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| package.join("../../target"), PathBuf::from)
        .join("peers");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--locked", "--manifest-path"]).arg(&manifest);
    command.arg("--target-dir").arg(&target).stdin(Stdio::null());
    // Our own output may be a table or JSON: cargo speaks on standard error anyway.
    command.stdout(Stdio::null());
    let status = command.status().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Environment(format!(
            "the peers need cargo, which is not in PATH: install Rust from https://rustup.rs; \
             {advice}"
        )),
        _ => Failure::environment("cargo cannot be run for the peers", error),
    })?;
    if !status.success() {
        return Err(Failure::Environment(format!(
            "the peers could not be built ({status}): what cargo says is above; `cargo build \
             --release --locked --manifest-path {}` repeats it; {advice}",
            manifest.display()
        )));
    }
    Ok(target.join("release"))
}
