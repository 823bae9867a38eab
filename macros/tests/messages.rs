//! What the compiler says when an attribute stands on the wrong code.
//!
//! Each test hands a few lines to `rustc`, since a compile error is the behaviour under test.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Compiles `code` with the attributes in scope as `corering::main` and `corering::test`.
fn compile(name: &str, code: &str) -> Output {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{name}.rs"));
    let code = format!("mod corering {{ pub use corering_macros::*; }}\n{code}\n");
    fs::write(&file, code).expect("the folder for temporary files is writable");
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--emit", "metadata", "--test", "--extern"])
        .arg(format!("corering_macros={}", macros_library().display()))
        .arg("-o")
        .arg(folder.join(format!("{name}.rmeta")))
        .arg(file)
        .output()
        .expect("rustc runs where cargo test runs")
}

/// The newest build of the macros beside this test.
fn macros_library() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    fs::read_dir(test.parent().expect("a test binary is in a folder"))
        .expect("the folder of the test binary can be read")
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libcorering_macros-") && name.ends_with(".so")
        })
        .max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok())
        .expect("cargo builds the macros before their tests")
}

/// Asserts that `code` is refused with `message` and with no other error.
fn refused_with(name: &str, code: &str, message: &str) {
    let output = compile(name, code);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "accepted: {code}");
    assert!(said.contains(message), "{code}\nexpected: {message}\nsaid: {said}");
    let errors =
        said.lines().filter(|line| line.starts_with("error") && !line.contains("aborting"));
    assert_eq!(errors.count(), 1, "more than one error: {said}");
}

#[test]
fn a_function_that_is_not_async_is_told_to_be() {
    refused_with(
        "not_async",
        "#[corering::test] fn t() {}",
        "`#[corering::test]` needs an `async fn`: write `async` before `fn`",
    );
}

#[test]
fn arguments_are_refused() {
    refused_with(
        "parameters",
        "#[corering::test] async fn t(port: u16) {}",
        "a function under `#[corering::test]` takes no arguments",
    );
}

#[test]
fn generics_and_bounds_are_refused() {
    refused_with("generic", "#[corering::test] async fn t<T>() {}", "cannot be generic");
    refused_with(
        "bounds",
        "#[corering::test] async fn t() where u8: Copy {}",
        "cannot have a `where` clause",
    );
}

#[test]
fn qualifiers_are_refused() {
    refused_with(
        "qualified",
        "#[corering::test] async unsafe fn t() {}",
        "cannot run a function that is `unsafe`",
    );
}

#[test]
fn anything_but_a_function_is_refused() {
    refused_with(
        "a_struct",
        "#[corering::main] struct Server;",
        "`#[corering::main]` goes on an `async fn`",
    );
}

#[test]
fn an_unknown_driver_is_answered_with_the_known_ones() {
    refused_with(
        "driver_of_main",
        r#"#[corering::main(driver = "kqueue")] async fn main() {}"#,
        r#"expected `driver = "uring" | "epoll" | "auto"`"#,
    );
    refused_with(
        "driver_of_test",
        r#"#[corering::test(driver = "auto")] async fn t() {}"#,
        r#"expected `driver = "uring" | "epoll"`"#,
    );
}

#[test]
fn functions_of_a_worker_are_named_once_and_by_main() {
    refused_with(
        "worker_without_functions",
        r#"#[corering::main(driver = "epoll", worker)] async fn main() {}"#,
        "expected `worker = FUNCTIONS`",
    );
    refused_with(
        "two_workers",
        r#"#[corering::main(worker = A, worker = B)] async fn main() {}"#,
        "`#[corering::main]` takes `worker` once",
    );
    refused_with(
        "worker_of_a_test",
        r#"#[corering::test(worker = A)] async fn t() {}"#,
        "`#[corering::test]` does not know `worker`",
    );
}

#[test]
fn an_unknown_argument_is_named() {
    refused_with(
        "flavor",
        r#"#[corering::main(flavor = "one")] async fn main() {}"#,
        "`#[corering::main]` does not know `flavor`",
    );
}

#[test]
fn shards_point_to_the_builder() {
    refused_with(
        "shards",
        "#[corering::main(shards = 4)] async fn main() {}",
        "`corering::Runtime::builder().shards(n).run(..)`",
    );
}
