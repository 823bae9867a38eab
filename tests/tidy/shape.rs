//! The shape of the driver: its files stand in reading order, and one place tells the interfaces of
//! the kernel apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{self, Source, sources};
use crate::{complain_about, layer_of};

/// The parts that `src/driver/mod.rs` names in this order. Others stand between them.
const PARTS: [&str; 11] = [
    "operand",
    "operation",
    "shared_fd",
    "ready",
    "flight",
    "timers",
    "memory",
    "pool",
    "driver",
    "submit",
    "multi",
];

/// Who uses what stands below it, and why.
const USES_BELOW: [(&str, &str, &str); 2] = [
    ("operation", "shared_fd", "it names the descriptor that it waits for"),
    ("shared_fd", "ready", "it keeps its registration, and ends it with its last user"),
];

const FOLDER: &str = "src/driver/";
const ROOT: &str = "src/driver/mod.rs";

#[test]
fn root_of_driver_holds_mod_lines_and_re_exports_only() {
    let items = items_of_root();
    assert!(items.len() > PARTS.len(), "{ROOT} is not read as it is written");
    let others = items.iter().filter_map(|item| match item {
        Item::Other(text) => Some(text.as_str()),
        Item::Module(_) | Item::Exports(_) => None,
    });
    let others: Vec<_> = others.collect();
    assert!(others.is_empty(), "{ROOT} holds something else:\n{}", others.join("\n"));
}

#[test]
fn parts_of_driver_stand_in_reading_order() {
    let order = Order::of_driver();
    let parts: Vec<_> = order.modules.iter().filter(|name| PARTS.contains(&&***name)).collect();
    assert_eq!(parts, PARTS, "{ROOT} names the parts in another order");
}

#[test]
fn files_of_driver_use_what_stands_above_them() {
    let order = Order::of_driver();
    complain_about("files of the driver that use what is below them", |source| {
        let Some(module) = module_of_driver(source) else { return Vec::new() };
        let used = names_used(source);
        let known = used.iter().map(|name| (name, order.module_of(name)));
        known
            .filter(|(_, used)| !used.is_some_and(|used| order.allows(module, used)))
            .map(|(name, _)| format!("{}: `{module}` uses `{name}`", source.path))
            .collect()
    });
}

#[test]
fn exceptions_to_order_of_driver_are_used() {
    let order = Order::of_driver();
    let files = sources();
    for (user, used, reason) in USES_BELOW {
        assert!(!reason.is_empty(), "say why `{user}` uses `{used}`");
        assert!(order.place(user) < order.place(used), "`{used}` stands above `{user}` anyway");
        let uses = |source: &Source| {
            module_of_driver(source) == Some(user)
                && names_used(source).iter().any(|name| order.module_of(name) == Some(used))
        };
        assert!(files.iter().any(uses), "`{user}` uses `{used}` no more");
    }
}

#[test]
fn kernel_interfaces_are_told_apart_in_one_file() {
    complain_about("places that tell io_uring and epoll apart", |source| {
        if source.path == "src/driver/flight/kernel.rs" {
            return Vec::new();
        }
        let is_public = source.path == "src/sys/probe.rs";
        source.code_lines_with(|code| {
            chooses(code, "Kernel", &["Uring", "Epoll"])
                || source::words(code).any(|word| {
                    let asks = ["is_uring", "is_epoll"].iter().any(|ask| word.starts_with(ask));
                    asks && !(is_public && word == "is_uring_available")
                })
        })
    });
}

#[test]
fn nothing_above_driver_asks_which_interface_runs() {
    let driver = layer_of("driver");
    complain_about("places that ask which interface runs, and not what it can do", |source| {
        // The runtime opens what was asked for.
        let may = source.module().is_none_or(|module| {
            layer_of(module) < driver || module == "driver" || module == "runtime"
        });
        if may {
            return Vec::new();
        }
        source.code_lines_with(|code| {
            source::words(code).any(|word| word == "Backend")
                || chooses(code, "Driver", &["Uring", "Epoll", "Auto", "of"])
                || code.contains("can().name")
                || ["\"uring\"", "\"epoll\""].iter().any(|name| code.contains(name))
        })
    });
}

#[test]
fn driver_is_implemented_in_one_file() {
    let files = sources();
    let implement = files.iter().filter(|source| {
        module_of_driver(source).is_some()
            && !source.code_lines_with(|code| implements(code, "Driver")).is_empty()
    });
    let implement: Vec<_> = implement.map(|source| &source.path).collect();
    assert_eq!(implement, ["src/driver/driver.rs"], "`Driver` is implemented elsewhere");
}

/// The modules of the driver in the order of their `mod` lines, and the names that it re-exports of
/// each.
struct Order {
    modules: Vec<String>,
    exports: BTreeMap<String, String>,
}

/// What stands in `src/driver/mod.rs`, without its attributes.
enum Item {
    Module(String),
    /// The names, and the module of each.
    Exports(Vec<(String, String)>),
    Other(String),
}

impl Order {
    fn of_driver() -> Self {
        let mut order = Order { modules: Vec::new(), exports: BTreeMap::new() };
        for item in items_of_root() {
            match item {
                Item::Module(name) => order.modules.push(name),
                Item::Exports(names) => order.exports.extend(names),
                Item::Other(_) => {}
            }
        }
        order
    }

    fn place(&self, module: &str) -> Option<usize> {
        self.modules.iter().position(|name| name == module)
    }

    /// The module that a name leads to which stands behind `super::`.
    fn module_of<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.place(name).is_some() {
            return Some(name);
        }
        self.exports.get(name).map(String::as_str).filter(|module| self.place(module).is_some())
    }

    fn allows(&self, user: &str, used: &str) -> bool {
        self.place(used) <= self.place(user)
            || USES_BELOW.iter().any(|(from, to, _)| (*from, *to) == (user, used))
    }
}

fn items_of_root() -> Vec<Item> {
    let files = sources();
    let root = files.iter().find(|source| source.path == ROOT).expect("the driver has a root");
    let code = root.code_text();
    let mut items = Vec::new();
    let mut rest = code.trim();
    while !rest.is_empty() {
        let end = if rest.starts_with("#[") {
            end_of_attribute(rest)
        } else {
            let end = rest.find(';').map_or(rest.len(), |semicolon| semicolon + 1);
            items.push(item(&rest[..end]));
            end
        };
        rest = rest[end..].trim_start();
    }
    items
}

fn end_of_attribute(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' if depth == 1 => return at + 1,
            ']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn item(text: &str) -> Item {
    let other = || Item::Other(text.to_owned());
    if let Some(name) = text.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
        let name = name.trim();
        let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        return if is_name { Item::Module(name.to_owned()) } else { other() };
    }
    let visible = text.strip_prefix("pub ").or_else(|| text.strip_prefix("pub(crate) "));
    let Some(tree) = visible.and_then(|rest| rest.strip_prefix("use ")) else { return other() };
    let exports = paths(tree).into_iter().map(|path| match path[..] {
        ["crate" | "super" | "self", ..] | [.., "*" | "self"] => None,
        [module, .., name] => Some((name.to_owned(), module.to_owned())),
        _ => None,
    });
    exports.collect::<Option<_>>().map_or_else(other, Item::Exports)
}

/// The module of the driver's that a file is, or is part of.
fn module_of_driver(source: &Source) -> Option<&str> {
    let below = source.path.strip_prefix(FOLDER)?;
    let module = below.split_once('/').map_or(below, |(folder, _)| folder);
    let module = module.strip_suffix(".rs").unwrap_or(module);
    (module != "mod").then_some(module)
}

/// The names that a file of the driver's takes from its root, re-exported or not. A way past the root
/// is none of them, and so nobody's.
fn names_used(source: &Source) -> BTreeSet<String> {
    let is_root = usize::from(source.path.ends_with("/mod.rs"));
    let depth = source.path.matches('/').count() - 1 - is_root;
    let code = source.code_text();
    let mut names = BTreeSet::new();
    for root in ["super", "crate"] {
        for (at, _) in code.match_indices(root) {
            let (before, from) = code.split_at(at);
            let is_inside = before.ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c));
            // `pub(in super::super)` uses nothing.
            if !is_inside && !before.ends_with("(in ") && from[root.len()..].starts_with("::") {
                let used = paths(from);
                names.extend(used.iter().filter_map(|path| name_at_root(path, depth)));
            }
        }
    }
    names
}

fn name_at_root(path: &[&str], depth: usize) -> Option<String> {
    let rest = match path {
        ["crate", "driver", rest @ ..] => rest,
        ["crate", ..] => return None,
        _ => {
            let up = path.iter().take_while(|segment| **segment == "super").count();
            if up < depth {
                return None;
            }
            &path[depth..]
        }
    };
    Some((*rest.first().unwrap_or(&"self")).to_owned())
}

/// The paths that a text begins with, taken apart: `a::{b, c::d as e};` are `a::b` and `a::c::d::e`.
fn paths(text: &str) -> Vec<Vec<&str>> {
    let mut paths = Vec::new();
    take_paths(&[], text, &mut paths);
    paths
}

/// Returns what follows the paths.
fn take_paths<'a>(prefix: &[&'a str], text: &'a str, paths: &mut Vec<Vec<&'a str>>) -> &'a str {
    let mut path = prefix.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            rest = group.trim_start();
            while !rest.starts_with('}') {
                rest = take_paths(&path, rest, paths).trim_start();
                let Some(more) = rest.strip_prefix(',') else { break };
                rest = more.trim_start();
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && !"_*".contains(c));
        let (segment, after) = rest.split_at(end.unwrap_or(rest.len()));
        if !segment.is_empty() {
            path.push(segment);
        }
        match after.strip_prefix("::").or_else(|| after.strip_prefix(" as ")) {
            Some(more) if !segment.is_empty() => rest = more,
            _ => {
                paths.push(path);
                return after;
            }
        }
    }
}

/// Whether a line names one of the variants of an enum, or takes them into scope.
fn chooses(code: &str, name: &str, variants: &[&str]) -> bool {
    let prefix = format!("{name}::");
    code.match_indices(&prefix).any(|(at, prefix)| {
        let is_whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &code[at + prefix.len()..];
        let next = source::words(rest).next();
        is_whole
            && (rest.starts_with(['{', '*'])
                || next.is_some_and(|next| rest.starts_with(next) && variants.contains(&next)))
    })
}

/// Whether a line begins an implementation of something for a type.
fn implements(code: &str, name: &str) -> bool {
    let Some(rest) = code.trim_start().strip_prefix("impl") else { return false };
    let implementor = rest.rsplit_once(" for ").map_or(rest, |(_, implementor)| implementor);
    rest.starts_with([' ', '<']) && source::words(implementor).any(|word| word == name)
}

/// The rings that lack an operation, or may not use it, are told by the table of `sys/support.rs`: one
/// that is missing there would be tried on each of them, and fail.
#[test]
fn every_opcode_is_asked_for_when_a_ring_is_opened() {
    let files = sources();
    let support = files.iter().find(|source| source.path == "src/sys/support.rs");
    let known = support.expect("it says what a ring can do").code_text();
    complain_about("opcodes without a line in sys/support.rs", |source| {
        if source.module() != Some("op") {
            return Vec::new();
        }
        let code = source.code_text();
        let names = code.split("opcode::").skip(1).filter_map(|rest| source::words(rest).next());
        names
            // A multishot is the operation of its name, with a flag.
            .map(|name| name.strip_suffix("Multi").unwrap_or(name))
            .filter(|name| !known.contains(&format!("opcode::{name}::CODE")))
            .map(|name| format!("{}: {name}", source.path))
            .collect()
    });
}

#[test]
fn paths_are_taken_apart() {
    let found = paths("super::{A, b::{self, c as d},\n super::e::*};\nuse other::x;");
    let wanted: [&[&str]; 4] = [
        &["super", "A"],
        &["super", "b", "self"],
        &["super", "b", "c", "d"],
        &["super", "super", "e", "*"],
    ];
    assert_eq!(found, wanted);
}
