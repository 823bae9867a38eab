//! The pages of `docs/`: their tables answer every name of asyncio and of tokio, no cell is empty, what
//! they name is there, and their links lead somewhere.
//!
//! The complete lists of names are the text files beside this one: a type on a line with its methods, or
//! a function. A table belongs to a list if its first heading is the list's.

mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use page::{Page, Table, paths};

/// The heading of the first column, and the list of the names that it has to have.
const LISTS: &[(&str, &str)] = &[
    ("aiofiles", include_str!("aiofiles.txt")),
    ("asyncio", include_str!("asyncio.txt")),
    ("`std::fs`", include_str!("std-fs.txt")),
    ("`tokio`", include_str!("tokio.txt")),
    ("`tokio::fs`", include_str!("tokio-fs.txt")),
    ("`tokio::io`", include_str!("tokio-io.txt")),
    ("`tokio::net`", include_str!("tokio-net.txt")),
    ("`tokio::process`", include_str!("tokio-process.txt")),
    ("`tokio::runtime`", include_str!("tokio-runtime.txt")),
    ("`tokio::signal`", include_str!("tokio-signal.txt")),
    ("`tokio::sync`", include_str!("tokio-sync.txt")),
    ("`tokio::task`", include_str!("tokio-task.txt")),
    ("`tokio::time`", include_str!("tokio-time.txt")),
];

/// Modules of corering that a cell may begin a path with; `corering::` stands before what is at the root.
const OWN_MODULES: &[&str] = &[
    "corering",
    "buf",
    "cancel_safety",
    "compat",
    "fs",
    "io",
    "net",
    "process",
    "signal",
    "sync",
    "task",
    "time",
];

/// Crates that a cell may begin a path with.
const OTHER_CRATES: &[&str] = &[
    "event_listener",
    "futures_util",
    "rustix",
    "socket2",
    "std",
    "tokio",
    "tokio_rustls",
    "tokio_util",
];

#[test]
fn tables_answer_every_name_of_the_lists() {
    let pages = pages();
    for (heading, list) in LISTS {
        let known = listed(list, separator(heading));
        let answered: Vec<String> = tables_of(&pages, heading)
            .flat_map(|table| &table.rows)
            .flat_map(|row| page::names(&row[0], separator(heading)))
            .collect();
        let unique: BTreeSet<&str> = answered.iter().map(String::as_str).collect();
        let missing: Vec<_> = known.iter().filter(|name| !unique.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "the tables headed {heading} have no row for {missing:?}");
        let unknown: Vec<_> = unique.iter().filter(|name| !known.contains(**name)).collect();
        assert!(unknown.is_empty(), "the list of {heading} has no {unknown:?}");
        assert_eq!(unique.len(), answered.len(), "a name has two rows headed {heading}");
    }
}

#[test]
fn no_cell_of_a_table_is_empty() {
    let mut complaints = Vec::new();
    for page in pages() {
        for table in &page.tables {
            for row in &table.rows {
                if row.len() != table.head.len() || row.iter().any(String::is_empty) {
                    complaints.push(format!("{}: {row:?}", page.name));
                }
            }
        }
    }
    assert!(
        complaints.is_empty(),
        "rows with an empty cell, or one too many:\n{}",
        complaints.join("\n")
    );
}

#[test]
fn answers_name_the_module_of_what_they_name() {
    let pages = pages();
    let named =
        answers(&pages).flat_map(|(page, cell)| paths(cell).into_iter().map(move |it| (page, it)));
    let unknown = named.filter(|(_, path)| {
        let root = path.split("::").next().unwrap_or_default();
        !OWN_MODULES.contains(&root) && !OTHER_CRATES.contains(&root)
    });
    let complaints: Vec<_> = unknown.map(|(page, path)| format!("{}: {path}", page.name)).collect();
    assert!(
        complaints.is_empty(),
        "paths that begin neither with a module of corering's nor with a known crate:\n{}",
        complaints.join("\n")
    );
}

/// rustdoc fails for a link that leads nowhere. So every name of ours in the tables is a link of
/// `docs/names.md`, which is a part of the documentation.
#[test]
fn names_in_answers_are_links_that_rustdoc_checks() {
    let pages = pages();
    let own = answers(&pages)
        .flat_map(|(_, cell)| paths(cell))
        .filter(|path| OWN_MODULES.contains(&path.split("::").next().unwrap_or_default()));
    let links: BTreeSet<String> = own.map(|path| link_of(&path)).collect();
    let file = fs::read_to_string(docs().join("names.md")).expect("it is there");
    let written: BTreeSet<String> = file.lines().map(str::to_owned).collect();
    let missing: Vec<_> = links.difference(&written).map(String::as_str).collect();
    assert!(missing.is_empty(), "add to docs/names.md:\n{}", missing.join("\n"));
    let unneeded: Vec<_> = written.difference(&links).map(String::as_str).collect();
    assert!(unneeded.is_empty(), "remove from docs/names.md:\n{}", unneeded.join("\n"));
}

#[test]
fn links_lead_to_files_and_headings() {
    let pages = pages();
    let mut complaints = Vec::new();
    for page in &pages {
        for target in page.links() {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { &page.name } else { file };
            let is_there = match pages.iter().find(|page| page.name == file) {
                Some(page) => anchor.is_empty() || page.has_anchor(anchor),
                None => docs().join(file).exists(),
            };
            if !is_there {
                complaints.push(format!("{}: {target}", page.name));
            }
        }
    }
    assert!(complaints.is_empty(), "links that lead nowhere:\n{}", complaints.join("\n"));
}

/// A link between pages leads to a file on the one hand, and to a module of `src/guide.rs` on the
/// other. So it stands at the end of the page by its name, which `src/guide.rs` defines otherwise.
#[test]
fn links_between_pages_are_defined_for_both_readers() {
    let guide = guide();
    let mut complaints = Vec::new();
    for page in pages() {
        let inline = page.links_in_text();
        complaints.extend(inline.filter(|target| !target.starts_with('#')).map(str::to_owned));
        let defined = page.definitions().map(|(name, _)| name);
        let undefined = defined.filter(|name| !guide.contains(&format!("\"[{name}]: crate::")));
        complaints.extend(undefined.map(str::to_owned));
    }
    assert!(complaints.is_empty(), "links that work on one side only:\n{}", complaints.join("\n"));
}

#[test]
fn guide_has_every_page() {
    let guide = guide();
    for file in fs::read_dir(docs()).expect("the folder can be read") {
        let name = file.expect("it can be read").file_name();
        let name = name.to_str().expect("the name is text");
        assert!(guide.contains(&format!("\"../docs/{name}\"")), "src/guide.rs is without {name}");
    }
}

/// How the index links to a name.
fn link_of(path: &str) -> String {
    let target = path.strip_prefix("corering::").unwrap_or(path);
    format!("[`{path}`](crate::{target})")
}

/// All cells behind the first, of the tables that belong to a list.
fn answers(pages: &[Page]) -> impl Iterator<Item = (&Page, &str)> {
    pages.iter().flat_map(|page| {
        let tables = page.tables.iter().filter(|table| is_listed(table));
        let rows = tables.flat_map(|table| &table.rows);
        rows.flat_map(|row| &row[1..]).map(move |cell| (page, cell.as_str()))
    })
}

fn is_listed(table: &Table) -> bool {
    LISTS.iter().any(|(heading, _)| *heading == table.head[0])
}

fn tables_of<'a>(pages: &'a [Page], heading: &'a str) -> impl Iterator<Item = &'a Table> {
    pages.iter().flat_map(|page| &page.tables).filter(move |table| table.head[0] == heading)
}

/// What stands between a type and its method.
fn separator(heading: &str) -> &'static str {
    if ["aiofiles", "asyncio"].contains(&heading) { "." } else { "::" }
}

/// The names of a list: `Type: one two` stands for the type and its methods.
fn listed(list: &str, separator: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut owner = String::new();
    for line in list.lines() {
        let methods = match line.split_once(": ") {
            _ if line.starts_with(' ') => line,
            Some((name, methods)) => {
                owner = name.to_owned();
                // The others are variables, as `loop` is.
                if name
                    .rsplit(separator)
                    .next()
                    .is_some_and(|name| name.starts_with(char::is_uppercase))
                {
                    names.insert(owner.clone());
                }
                methods
            }
            None => {
                names.insert(line.to_owned());
                continue;
            }
        };
        names.extend(methods.split_whitespace().map(|name| format!("{owner}{separator}{name}")));
    }
    names
}

fn guide() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join("src/guide.rs")).expect("it is there")
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// All pages, by name.
fn pages() -> Vec<Page> {
    let files = fs::read_dir(docs()).expect("the folder can be read");
    let paths = files.map(|file| file.expect("it can be read").path());
    let mut pages: Vec<Page> = paths.map(|path| Page::read(&path)).collect();
    pages.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(pages.len() > 3, "the pages are not where this test looks for them");
    pages
}
