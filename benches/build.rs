//! Tells the program how it was built: `study` writes it into the fingerprint, since figures of
//! different builds are not compared.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    say("RUSTC", output(&rustc, &["--version"]));
    say("COMMIT", commit());
    let of_cargo = |name| env::var(name).ok();
    let profile = of_cargo("PROFILE").zip(of_cargo("OPT_LEVEL"));
    say("PROFILE", profile.map(|(profile, level)| format!("{profile}, opt-level {level}")));
    // Any source may be what the commit lacks.
    for path in ["build.rs", "src", "Cargo.toml", "../src", "../Cargo.toml", "../Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
}

fn say(name: &str, value: Option<String>) {
    let value = value.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=CORERING_BENCH_{name}={value}");
}

/// What is checked out, and whether files differ from it. None outside a clone, or without git.
fn commit() -> Option<String> {
    let commit = output("git", &["rev-parse", "HEAD"])?;
    let changes = output("git", &["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit} and changes") })
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.trim().to_owned())
}
