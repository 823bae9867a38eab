//! The house rules that a text can be checked for. CONTRIBUTING.md says why they are there.
//!
//! The checks read the sources as text, so they see what a compiler does not: how long a file is,
//! what its docs promise, and which layer it reaches into. A rule that this cannot decide is
//! left to the reader of a change, not approximated.

mod calls;
mod drops;
mod shape;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use source::{Source, sources};

/// The layers, from the bottom up. A module may use its own layer and those below, with one
/// exception each in `may_use`.
const LAYERS: &[&[&str]] = &[
    &["sys", "util"],
    &["buf"],
    &["driver"],
    &["op"],
    &["task"],
    &["runtime"],
    &["net", "fs", "io", "time", "sync", "process", "signal"],
    &["compat", "cancel_safety", "guide"],
];

/// The first layer whose files forbid unsafe code.
const FIRST_SAFE_LAYER: usize = 5;

const LINES_MAX: usize = 700;

/// Lines that hand a name of a higher layer on to where users look for it: the file, the line, and why.
/// The module itself does not use it.
const HANDED_ON: &[(&str, &str, &str)] = &[
    (
        "src/task/mod.rs",
        "pub use crate::runtime::{BlockingHandle, spawn_blocking};",
        "a closure on the pool is spawned and awaited as a task is",
    ),
    (
        "src/task/mod.rs",
        "pub use crate::runtime::{PoolHandle, ThreadPool, ThreadPoolBuilder};",
        "so is a closure on a pool of its own",
    ),
];

/// What `cfg` may ask for. Never a driver, never an operation: those are chosen at run time.
const CFG_WORDS: &[&str] = &[
    "all",
    "any",
    "not",
    "test",
    "doc",
    "docsrs",
    "loom",
    "feature",
    "bytes",
    "macros",
    "axum",
    "axum-ws",
    "futures-io",
    "hyper",
    "hyper-client",
    "process-pool",
    "tokio-guest",
    "tokio-io",
    "sim",
    "tracing",
    "target_arch",
    "x86_64",
    "riscv64",
    "loongarch64",
];

/// Names that say nothing about what the thing is.
const EMPTY_WORDS: &[&str] = &["legacy", "proactor", "reactor", "inner", "helper", "manager"];

#[test]
fn no_file_is_longer_than_its_reader_is_patient() {
    complain_about("files that are two things", |source| {
        let lines = source.text.lines().count();
        (lines > LINES_MAX)
            .then(|| format!("{}: {lines} lines, {LINES_MAX} at most", source.path))
            .into_iter()
            .collect()
    });
}

#[test]
fn a_layer_uses_only_the_layers_below_it() {
    complain_about("imports of a higher layer", |source| {
        let Some(module) = source.module() else { return Vec::new() };
        without_handed_on(source)
            .crate_paths()
            .into_iter()
            .filter(|used| !may_use(module, used))
            .map(|used| format!("{}: `{module}` uses `{used}`", source.path))
            .collect()
    });
}

/// The file as it is without the lines of `HANDED_ON`.
fn without_handed_on(source: &Source) -> Source {
    let mut text = source.text.clone();
    for (path, line, _) in HANDED_ON {
        if source.path == *path {
            text = text.replacen(&format!("\n{line}\n"), "\n", 1);
        }
    }
    Source { path: source.path.clone(), text }
}

#[test]
fn names_that_are_handed_on_are_not_used_there() {
    let files = sources();
    for (path, line, reason) in HANDED_ON {
        assert!(!reason.is_empty(), "say why {path} hands on what is above it");
        let file = files.iter().find(|source| source.path == *path).expect("the file exists");
        assert!(file.text.contains(&format!("\n{line}\n")), "{path} says no more: {line}");
        let (_, names) = line.split_once('{').expect("it names them in braces");
        let module = file.module();
        for name in source::words(names) {
            let uses = files.iter().filter(|source| source.module() == module).flat_map(|source| {
                without_handed_on(source)
                    .code_lines_with(|code| source::words(code).any(|word| word == name))
            });
            assert_eq!(uses.collect::<Vec<_>>(), [""; 0], "the module uses {name}");
        }
    }
}

/// Whether a file of `module` may say `crate::used`.
fn may_use(module: &str, used: &str) -> bool {
    // The run queue and its tasks know nothing of I/O, although they stand above it.
    if module == "task" {
        return ["sys", "util", "task"].contains(&used);
    }
    match (layer_of(module), layer_of(used)) {
        (Some(own), Some(below)) => below <= own,
        // A name that is no module is a re-export of lib.rs, and hides which layer it is from.
        _ => false,
    }
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn every_module_has_a_layer() {
    complain_about(
        "modules without a layer (name it in tests/tidy/main.rs)",
        |source| match source.module() {
            Some(module) if layer_of(module).is_none() => vec![source.path.clone()],
            _ => Vec::new(),
        },
    );
}

#[test]
fn the_upper_layers_forbid_unsafe_code() {
    complain_about("modules without `#![forbid(unsafe_code)]`", |source| {
        let layer = source.module().and_then(layer_of);
        // What a module's root forbids, no file below it can allow.
        let is_root = source.path.ends_with("/mod.rs") && source.path.matches('/').count() == 2
            || source.path.matches('/').count() == 1;
        let safe = is_root && layer.is_some_and(|layer| layer >= FIRST_SAFE_LAYER);
        let forbids = source.text.contains("#![forbid(unsafe_code)]");
        if safe && !forbids { vec![source.path.clone()] } else { Vec::new() }
    });
}

#[test]
fn every_file_says_what_it_is() {
    complain_about("files without a `//!` at their head", |source| {
        let first = source.text.lines().find(|line| !line.is_empty() && !line.starts_with("#!["));
        if first.is_some_and(|line| line.starts_with("//!")) {
            Vec::new()
        } else {
            vec![source.path.clone()]
        }
    });
}

#[test]
fn nothing_is_left_for_later() {
    let markers = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "TODO", "FIXME", "XXX"];
    complain_about("unfinished code", |source| {
        source.lines_with(|line| markers.iter().any(|marker| line.contains(marker)))
    });
}

#[test]
fn cfg_never_chooses_a_driver_or_an_operation() {
    let known: BTreeSet<&str> = CFG_WORDS.iter().copied().collect();
    complain_about("conditions that a build can differ by", |source| {
        // lib.rs refuses other systems by name.
        if source.module().is_none() {
            return Vec::new();
        }
        source.lines_with(|line| {
            let condition = condition_of(source::without_comment(line));
            // Names of features have dashes.
            let words = condition.split(|c: char| !c.is_alphanumeric() && !"_-".contains(c));
            words.filter(|word| !word.is_empty()).any(|word| !known.contains(word))
        })
    });
}

/// What stands in the parentheses of a `cfg`; of a `cfg_attr`, what comes before the attribute.
fn condition_of(code: &str) -> &str {
    if let Some((_, rest)) = code.split_once("[cfg_attr(") {
        return rest.split_once(", ").map_or(rest, |(condition, _)| condition);
    }
    let starts = ["#[cfg(", "#![cfg(", "cfg!("];
    let condition = starts.iter().find_map(|start| code.split_once(start));
    condition.map_or("", |(_, rest)| rest.split_once(")]").map_or(rest, |(inside, _)| inside))
}

#[test]
fn time_is_read_through_the_clock_of_layer_0() {
    complain_about("reads of the clock past `sys::clock`", |source| {
        if source.module() == Some("sys") {
            return Vec::new();
        }
        source.code_lines_with(|code| {
            code.contains("Instant::now(") || code.contains("SystemTime::now(")
        })
    });
}

#[test]
fn panics_are_caught_in_one_file() {
    complain_about("panics that are caught past `util::unwind`", |source| {
        if source.path == "src/util/unwind.rs" {
            return Vec::new();
        }
        source.code_lines_with(|code| code.contains("catch_unwind"))
    });
}

#[test]
fn system_calls_stand_in_sys_and_in_operations() {
    complain_about("system calls outside `sys/` and `op/`", |source| {
        if matches!(source.module(), Some("sys" | "op")) {
            return Vec::new();
        }
        source.code_lines_with(|code| {
            source::functions_of_libc(code).next().is_some()
                || source::words(code).any(|word| word.starts_with("SYS_"))
                || code.contains("SysCall::new(")
        })
    });
}

#[test]
fn names_say_what_a_thing_is() {
    complain_about("names that say nothing", |source| {
        source.code_lines_with(|code| {
            // What another library has named so.
            let code = code.replace("hyper_util::client::legacy", "");
            source::words(&code).filter(|word| *word != "into_inner").any(|word| {
                source::parts(word).iter().any(|part| EMPTY_WORDS.contains(&part.as_str()))
                    || word.ends_with("_2")
            })
        })
    });
}

#[test]
fn every_async_function_documents_cancelling_and_errors() {
    let futures: BTreeSet<String> = sources().iter().flat_map(Source::future_types).collect();
    complain_about("public async functions without a section", |source| {
        let layer = source.module().and_then(layer_of);
        if layer.is_none_or(|layer| layer < 4) {
            return Vec::new();
        }
        source
            .public_functions()
            .into_iter()
            .filter(|function| function.is_async(&futures))
            .flat_map(|function| {
                ["# Cancel safety", "# Errors"]
                    .into_iter()
                    .filter(|section| !function.docs.contains(section))
                    .map(|section| format!("{}:{}: no `{section}`", source.path, function.line))
                    .collect::<Vec<_>>()
            })
            .collect()
    });
}

#[test]
fn every_method_of_streams_has_an_example() {
    complain_about("methods of streams without an example", |source| {
        source
            .public_functions()
            .into_iter()
            .filter(|function| {
                function.owner().is_some_and(|owner| owner.starts_with("ByteStream"))
            })
            .filter(|function| !function.docs.contains("# Examples"))
            .map(|function| format!("{}:{}", source.path, function.line))
            .collect()
    });
}

#[test]
fn every_leaf_is_looped_beside_others_in_a_test() {
    let futures: BTreeSet<String> = sources().iter().flat_map(Source::future_types).collect();
    let rows = rows_of_the_budget();
    complain_about("leaves without a row in tests/budget, or a reason there", |source| {
        let layer = source.module().and_then(layer_of);
        if layer.is_none_or(|layer| layer < 4) {
            return Vec::new();
        }
        source
            .public_functions()
            .into_iter()
            .filter(|function| function.is_async(&futures))
            .map(|function| format!("{}::{}", source.module_path(), function.name()))
            .filter(|leaf| !rows.contains(&format!("\"{leaf}\"")))
            .collect()
    });
}

/// The tests that loop each leaf, as text.
fn rows_of_the_budget() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/budget");
    let files = fs::read_dir(folder).expect("tests/budget can be read");
    files
        .map(|file| file.and_then(|file| fs::read_to_string(file.path())).expect("it is text"))
        .collect()
}

/// Fails with all that `complaints` finds in any file of the library.
#[track_caller]
fn complain_about(what: &str, complaints: impl Fn(&Source) -> Vec<String>) {
    let files = sources();
    assert!(files.len() > 10, "the sources of the library are not where this test looks for them");
    let found: Vec<String> = files.iter().flat_map(complaints).collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}
