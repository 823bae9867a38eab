//! A source file of the library, and the questions that `tidy` asks it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One file below `src/`.
pub(crate) struct Source {
    /// Relative to the package, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A public function with what stands above it.
pub(crate) struct Function {
    pub(crate) line: usize,
    pub(crate) docs: String,
    /// The type that it is a method of, without parameters that could be any.
    owner: Option<String>,
    /// From `pub` to the opening brace, on one line.
    signature: String,
}

/// All files below `src/`, in order of their paths.
pub(crate) fn sources() -> Vec<Source> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    read_folder(&package.join("src"), package, &mut files);
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

fn read_folder(folder: &Path, package: &Path, files: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("src/ can be read") {
        let path = entry.expect("an entry of src/ can be read").path();
        if path.is_dir() {
            read_folder(&path, package, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(package).expect("the file was found in the package");
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            files.push(Source { path: relative.display().to_string(), text });
        }
    }
}

impl Source {
    /// The top-level module the file belongs to; none for lib.rs.
    pub(crate) fn module(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/").expect("all sources are below src/");
        let module = below.split_once('/').map_or(below, |(folder, _)| folder);
        let module = module.strip_suffix(".rs").unwrap_or(module);
        (module != "lib").then_some(module)
    }

    /// `net::udp` of `src/net/udp.rs`, `fs` of `src/fs/mod.rs`.
    pub(crate) fn module_path(&self) -> String {
        let below = self.path.strip_prefix("src/").expect("all sources are below src/");
        let below = below.strip_suffix(".rs").unwrap_or(below);
        below.strip_suffix("/mod").unwrap_or(below).replace('/', "::")
    }

    /// Whether the whole file is tests: those may use any layer.
    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let is_named_so = name == "tests.rs"
            || name.ends_with("_tests.rs")
            || (name.starts_with("test_") && name != "test_support.rs");
        is_named_so || self.path.contains("/tests/")
    }

    /// The file without its comments and the tests at its end.
    pub(crate) fn code_text(&self) -> String {
        let code: Vec<&str> = self.code().map(|(_, line)| line).collect();
        code.join("\n")
    }

    /// The lines before the tests at the end of the file, numbered from 1, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = if self.is_test() { 0 } else { tests_start(&lines) };
        lines.into_iter().take(end).map(without_comment).enumerate().map(|(i, line)| (i + 1, line))
    }

    /// The places of all lines for which `is_bad` holds, tests and comments included.
    pub(crate) fn lines_with(&self, is_bad: impl Fn(&str) -> bool) -> Vec<String> {
        let lines = self.text.lines().enumerate().filter(|(_, line)| is_bad(line));
        lines.map(|(index, line)| self.place(index + 1, line)).collect()
    }

    /// The same for lines that are neither tests nor comments.
    pub(crate) fn code_lines_with(&self, is_bad: impl Fn(&str) -> bool) -> Vec<String> {
        let lines = self.code().filter(|(_, line)| is_bad(line));
        lines.map(|(number, line)| self.place(number, line)).collect()
    }

    fn place(&self, line: usize, text: &str) -> String {
        format!("{}:{line}: {}", self.path, text.trim())
    }

    /// What follows `crate::` anywhere outside the tests: the first segment of each path.
    pub(crate) fn crate_paths(&self) -> BTreeSet<String> {
        let code = self.code_text();
        let mut paths = BTreeSet::new();
        for (at, found) in code.match_indices("crate::") {
            // `$crate::` is a path of the macro's user.
            if code[..at].ends_with('$') {
                continue;
            }
            let rest = &code[at + found.len()..];
            match rest.strip_prefix('{') {
                None => paths.extend(words(rest).next().map(str::to_owned)),
                Some(group) => paths.extend(first_segments(group)),
            }
        }
        paths
    }

    /// The numbers of system calls and the functions of libc that stand outside the tests.
    pub(crate) fn system_calls(&self) -> BTreeSet<&str> {
        let mut calls = BTreeSet::new();
        for (_, code) in self.code() {
            calls.extend(words(code).filter(|word| word.starts_with("SYS_")));
            calls.extend(functions_of_libc(code));
        }
        calls
    }

    /// The names of the types for which the file implements `Future`.
    pub(crate) fn future_types(&self) -> Vec<String> {
        let futures = self.text.lines().filter(|line| line.starts_with("impl"));
        futures
            .filter_map(|line| line.split_once(" Future for "))
            .filter_map(|(_, implementor)| words(implementor).next().map(str::to_owned))
            .collect()
    }

    /// `TcpStream` for `ByteStream<Tcp>`, and what else has a public name of its own.
    pub(crate) fn public_aliases(&self) -> impl Iterator<Item = (&str, &str)> {
        let aliases = self.text.lines().filter_map(|line| line.strip_prefix("pub type "));
        aliases.filter_map(|alias| alias.strip_suffix(';')?.split_once(" = "))
    }

    /// The functions declared `pub`, outside the tests.
    pub(crate) fn public_functions(&self) -> Vec<Function> {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = if self.is_test() { 0 } else { tests_start(&lines) };
        let mut functions = Vec::new();
        let mut owner = None;
        for (index, line) in lines[..end].iter().enumerate() {
            match line.strip_prefix("impl") {
                Some(implementor) => owner = owner_of(implementor),
                None if *line == "}" => owner = None,
                None => {}
            }
            let line = line.trim_start();
            let is_function =
                ["pub fn ", "pub async fn ", "pub unsafe fn "].iter().any(|s| line.starts_with(s));
            if is_function {
                let mut signature = String::new();
                for part in &lines[index..] {
                    signature.push_str(part.trim());
                    signature.push(' ');
                    if part.trim_end().ends_with(['{', ';', '}']) {
                        break;
                    }
                }
                functions.push(Function {
                    line: index + 1,
                    docs: docs(&lines[..index]),
                    owner: owner.clone(),
                    signature,
                });
            }
        }
        functions
    }
}

impl Function {
    /// What stands after `fn`.
    pub(crate) fn name(&self) -> &str {
        let after = self.signature.split_once("fn ").map_or("", |(_, after)| after);
        words(after).next().unwrap_or_default()
    }

    /// The type that it is a method of: `File`, `ByteStream<Tcp>`, `ByteStream` if that is any.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Whether the caller gets something to await.
    pub(crate) fn is_async(&self, futures: &BTreeSet<String>) -> bool {
        if self.signature.starts_with("pub async fn") {
            return true;
        }
        // Bounds may speak of futures, and arguments may return them.
        let without_bounds = self.signature.split(" where ").next().unwrap_or_default();
        let Some((_, returned)) = without_bounds.rsplit_once("->") else { return false };
        if returned.contains("Future<") || returned.contains("SingleOperation<") {
            return true;
        }
        // A handle stands for something that goes on whether it is awaited or not.
        let name = words(returned).next().filter(|name| !name.ends_with("Handle"));
        name.is_some_and(|name| futures.contains(name))
    }
}

/// `ByteStream` of `<F: Family> ByteStream<F> {`, `ByteStream<Tcp>` of ` ByteStream<Tcp> {`.
fn owner_of(implementor: &str) -> Option<String> {
    let implementor = implementor.trim_end_matches(" {");
    let (parameters, owner) = implementor.split_at(parameters_end(implementor));
    let owner = owner.rsplit_once(" for ").map_or(owner, |(_, owner)| owner).trim();
    let name = if parameters.is_empty() { owner } else { words(owner).next()? };
    Some(name.to_owned())
}

/// Where the parameters end that a text may begin with.
fn parameters_end(text: &str) -> usize {
    if !text.starts_with('<') {
        return 0;
    }
    let mut depth = 0;
    for (at, bracket) in text.match_indices(['<', '>']) {
        match bracket {
            "<" => depth += 1,
            // That of an arrow is none.
            _ if text[..at].ends_with('-') => {}
            _ => depth -= 1,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// The doc comment that ends just above, past attributes.
fn docs(above: &[&str]) -> String {
    let mut docs = Vec::new();
    for line in above.iter().rev().map(|line| line.trim_start()) {
        if line.starts_with("///") || line.starts_with("#[") || line.ends_with(")]") {
            docs.push(line);
        } else {
            break;
        }
    }
    docs.reverse();
    docs.join("\n")
}

/// The line at which the tests begin that a file ends with.
fn tests_start(lines: &[&str]) -> usize {
    let is_start = |pair: &[&str]| {
        pair[0].starts_with("#[cfg(") && pair[0].contains("test") && pair[1].starts_with("mod ")
    };
    lines.windows(2).position(is_start).unwrap_or(lines.len())
}

/// The first segments of the paths in `a::b, c::{d, e}, f}`.
fn first_segments(group: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut depth = 0_usize;
    let mut rest = group;
    let mut at_start = true;
    while let Some(next) = rest.chars().next() {
        match next {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            _ if at_start && (next.is_alphabetic() || next == '_') => {
                segments.extend(words(rest).next().map(str::to_owned));
                at_start = false;
            }
            _ => {}
        }
        rest = &rest[next.len_utf8()..];
    }
    segments
}

/// The functions of libc that a line calls, as opposed to constants and types that it names.
pub(crate) fn functions_of_libc(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("libc::").filter_map(|(at, prefix)| {
        let rest = &code[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        (rest[end..].starts_with('(') && starts).then_some(name)
    })
}

/// The line up to its `//`, unless that is part of an address.
pub(crate) fn without_comment(line: &str) -> &str {
    let is_comment = |at: &usize| !line[..*at].ends_with(':');
    let start = line.match_indices("//").map(|(at, _)| at).find(is_comment);
    &line[..start.unwrap_or(line.len())]
}

/// The identifiers and numbers of a text.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// `RunQueue` and `run_queue` are both made of `run` and `queue`.
pub(crate) fn parts(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for character in word.chars() {
        if character == '_' || character.is_uppercase() {
            parts.push(String::new());
        }
        if character != '_' {
            parts.last_mut().expect("never empty").extend(character.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn a_group_of_imports_is_taken_apart() {
    let found = first_segments("buf::{IoBuf, Slice}, sys::ring::Cqe,\n util}; use other::x;");
    assert_eq!(found, ["buf", "sys", "util"]);
}

#[test]
fn an_implementor_is_named_without_its_parameters() {
    let owners = [
        ("<F: Family> ByteStream<F> {", "ByteStream"),
        ("<T, O: Order<T>> TaskQueue<T, O> {", "TaskQueue"),
        ("<T, F: Fn() -> T> Future for Made<T, F> {", "Made"),
        (" ByteStream<Tcp> {", "ByteStream<Tcp>"),
        (" Drop for File {", "File"),
    ];
    for (implementor, owner) in owners {
        assert_eq!(owner_of(implementor).as_deref(), Some(owner));
    }
}

#[test]
fn a_name_is_taken_apart() {
    assert_eq!(parts("RunQueue_inner"), ["run", "queue", "inner"]);
}
