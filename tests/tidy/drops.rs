//! The table of what a drop leaves has a row for each operation, and each row has a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::source::{Source, sources};

/// Public operations that need no row, and why.
const WITHOUT_A_ROW: &[(&str, &str)] = &[
    ("Pool::call", "its docs are those of a feature; its test is in tests/process_pool"),
    ("Pool::shutdown", "its docs are those of a feature; its test is in tests/process_pool"),
    ("Pool::shutdown_now", "it is done when it is begun; its test is in tests/process_pool"),
    ("Pool::warm_up", "its docs are those of a feature; its test is in tests/process_pool"),
    ("Guest::run", "its docs are those of a feature: it leaves what the future in it leaves"),
    ("WebSocket::recv", "its docs are those of a feature; its test is in tests/compat"),
    (
        "WebSocket::send",
        "its docs are those of a feature, and what is left is for tungstenite to say",
    ),
    ("compat::local", "its docs are those of a feature: it leaves what the future in it leaves"),
    ("runtime::nop", "the same as io::nop, and hidden"),
];

/// What has a row and is no function above the driver that gives a future.
const OTHERS: &[&str] = &[
    "BlockingHandle",
    "JoinHandle",
    "Listener::incoming",
    "PoolHandle",
    "RemoteHandle",
    "time::within",
];

#[test]
fn table_of_drops_has_a_row_for_each_operation() {
    let (operations, rows) = (operations(), rows());
    let missing: Vec<_> = operations.difference(&rows).collect();
    assert!(missing.is_empty(), "operations without a row in src/cancel_safety.rs: {missing:?}");
    let stale: Vec<_> = rows.difference(&operations).collect();
    assert!(stale.is_empty(), "rows in src/cancel_safety.rs of what is no operation: {stale:?}");
}

#[test]
fn each_row_of_the_table_of_drops_has_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dropping");
    let files = fs::read_dir(folder).expect("tests/dropping can be read");
    let tests: String = files
        .map(|file| file.and_then(|file| fs::read_to_string(file.path())).expect("it is text"))
        .collect();
    let untested: Vec<_> =
        rows().into_iter().filter(|row| !tests.contains(&format!("\"{row}\""))).collect();
    assert!(untested.is_empty(), "rows without a test in tests/dropping: {untested:?}");
}

fn operations() -> BTreeSet<String> {
    let sources = sources();
    let futures: BTreeSet<String> = sources.iter().flat_map(Source::future_types).collect();
    let aliases: BTreeMap<&str, &str> = sources
        .iter()
        .flat_map(Source::public_aliases)
        .map(|(name, aliased)| (aliased, name))
        .collect();
    let mut operations: BTreeSet<String> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    for source in &sources {
        // What is below is not public, but for what `OTHERS` names.
        if matches!(source.module(), None | Some("sys" | "util" | "buf" | "driver" | "op")) {
            continue;
        }
        let module = source.module().unwrap_or_default();
        for function in source.public_functions().iter().filter(|it| it.is_async(&futures)) {
            let owner = function.owner().unwrap_or(module);
            let owner = aliases.get(owner).copied().unwrap_or(owner);
            operations.insert(format!("{owner}::{}", function.name()));
        }
    }
    operations.retain(|name| WITHOUT_A_ROW.iter().all(|(without, _)| without != name));
    operations
}

/// What the first cells of the table name.
fn rows() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cancel_safety.rs");
    let text = fs::read_to_string(path).expect("the table is there");
    let first_cells =
        text.lines().filter_map(|line| line.strip_prefix("//! | [`")?.split(" | ").next());
    let names = first_cells.flat_map(|cell| cell.split(", ")).map(|link| {
        let name = link.trim_start_matches("[`").split('`').next().unwrap_or_default();
        name.to_owned()
    });
    names.collect()
}
