//! A page in Markdown, as far as the tests look into it.

use std::fs;
use std::path::Path;

pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) tables: Vec<Table>,
    /// The page without its blocks of code.
    text: String,
}

pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Page {
    pub(crate) fn read(path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).expect("the name is text");
        let text = fs::read_to_string(path).expect("a page is text");
        let text = without_blocks(&text);
        Page { name: name.to_owned(), tables: tables(&text), text }
    }

    /// The targets of links within the repository.
    pub(crate) fn links(&self) -> Vec<String> {
        let defined = self.definitions().map(|(_, target)| target);
        self.links_in_text().chain(defined).map(str::to_owned).collect()
    }

    /// Targets within the repository that stand beside what leads there.
    pub(crate) fn links_in_text(&self) -> impl Iterator<Item = &str> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let is_index = self.name == "names.md";
        targets.filter(move |target| !is_index && !target.contains("://"))
    }

    /// Links that are defined apart, by name.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix('['));
        lines
            .filter_map(|line| line.split_once("]: "))
            .filter(|(_, target)| !target.contains("://"))
    }

    pub(crate) fn has_anchor(&self, anchor: &str) -> bool {
        let headings = self.text.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| slug(line.trim_start_matches('#').trim())).any(|slug| slug == anchor)
    }
}

/// What a heading is linked by.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn without_blocks(text: &str) -> String {
    let mut in_block = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    });
    lines.map(|line| format!("{line}\n")).collect()
}

fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        let was_in_table = std::mem::replace(&mut in_table, line.starts_with('|'));
        match (was_in_table, in_table) {
            (_, false) => {}
            (false, true) => tables.push(Table { head: cells(line), rows: Vec::new() }),
            (true, true) if line.starts_with("|-") => {}
            (true, true) => {
                tables.last_mut().expect("a table has begun").rows.push(cells(line));
            }
        }
    }
    tables
}

/// The cells of a row. A stroke behind a backslash is text.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().replace("\\|", "\0");
    let row = row.strip_prefix('|').unwrap_or(&row);
    let row = row.strip_suffix('|').unwrap_or(row);
    row.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

fn code_spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The names in a first cell. One that names no type belongs to the type of the name before: "`A::b`,
/// `c`" are `A::b` and `A::c`, where `separator` is "::".
pub(crate) fn names(cell: &str, separator: &str) -> Vec<String> {
    let mut owner = String::new();
    let spans = code_spans(cell).map(|span| span.trim_end_matches('!'));
    spans.map(|span| named(span, separator, &mut owner)).collect()
}

/// The whole name, of which `owner` may be a part; it is the type of the next one then.
fn named(name: &str, separator: &str, owner: &mut String) -> String {
    let (before, last) = name.rsplit_once(separator).unwrap_or(("", name));
    let is_type = last.starts_with(char::is_uppercase);
    if before.is_empty() && !is_type && !owner.is_empty() {
        return format!("{owner}{separator}{name}");
    }
    *owner = if is_type { name } else { before }.to_owned();
    name.to_owned()
}

/// The paths that a cell names, in code of any kind. A word alone belongs to the type of the path
/// before, as in a first cell.
pub(crate) fn paths(cell: &str) -> Vec<String> {
    let mut owner = String::new();
    let mut paths = Vec::new();
    for span in code_spans(cell) {
        let is_word = span.chars().all(|char| char.is_alphanumeric() || char == '_');
        let is_of_type =
            owner.rsplit("::").next().is_some_and(|last| last.starts_with(char::is_uppercase));
        if is_word && is_of_type && span.starts_with(char::is_lowercase) {
            paths.push(format!("{owner}::{span}"));
        }
        for path in paths_in(span) {
            named(&path, "::", &mut owner);
            paths.push(path);
        }
    }
    paths
}

/// The paths in a piece of code: words with `::` between them, and a `!` behind a macro.
fn paths_in(code: &str) -> Vec<String> {
    let is_part = |char: char| char.is_alphanumeric() || "_:".contains(char);
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(begin) = rest.find(is_part) {
        let tail = &rest[begin..];
        let len = tail.find(|char| !is_part(char)).unwrap_or(tail.len());
        let (word, behind) = tail.split_at(len);
        let word = word.trim_end_matches(':');
        if word.contains("::") {
            let macro_mark = if behind.starts_with('!') { "!" } else { "" };
            paths.push(format!("{word}{macro_mark}"));
        }
        rest = behind;
    }
    paths
}
