//! The programs of `docs/coming-from-asyncio.md`: each prints what its twin in Python prints and what
//! the page says, and the page shows the files as they are.

#[path = "../../benches/tests/common/programs.rs"]
mod programs;

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Example;
use programs::is_left_out;

on_both_drivers! {
    programs_print_what_the_page_says,
}

/// A program of the page: what stands below its heading.
struct Shown {
    name: String,
    sentence: String,
    python: String,
    rust: String,
    output: String,
}

fn programs_print_what_the_page_says(driver: &str) {
    for shown in shown() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asyncio"));
        command.arg(&shown.name).env("CORERING_DRIVER", driver);
        assert_eq!(Example::start(command).text(), shown.output, "{}.rs on {driver}", shown.name);
    }
}

#[test]
fn python_prints_what_the_page_says() {
    if is_left_out("python3") {
        return;
    }
    // All together, since most of the time goes into starting Python.
    let started = shown().into_iter().map(|shown| {
        let mut command = Command::new("python3");
        command.arg("-B").arg(folder().join(format!("{}.py", shown.name)));
        (Example::start(command), shown)
    });
    for (python, shown) in started.collect::<Vec<_>>() {
        let hint = "it needs Python 3.11 or later";
        assert_eq!(python.text(), shown.output, "{}.py ({hint})", shown.name);
    }
}

#[test]
fn page_shows_the_files_as_they_are() {
    for shown in shown() {
        let Shown { name, sentence, python, rust, .. } = &shown;
        let file = |ending| {
            let path = folder().join(format!("{name}.{ending}"));
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let in_python = file("py");
        assert_eq!(*python, without_head(&in_python), "{name}.py differs from the page");
        // In the page it is a program; in its file it is a module of one.
        let in_rust = file("rs").replacen("pub(crate) async fn main", "async fn main", 1);
        assert_eq!(*rust, without_head(&in_rust), "{name}.rs differs from the page");
        let first_line = in_python.lines().next().and_then(|line| line.strip_prefix("# "));
        assert_eq!(Some(sentence.as_str()), first_line, "the sentence above {name}");
    }
}

#[test]
fn page_shows_every_program() {
    let shown: BTreeSet<String> = shown().into_iter().map(|shown| shown.name).collect();
    let files = fs::read_dir(folder()).expect("the folder can be read");
    let names = files.map(|file| PathBuf::from(file.expect("it can be read").file_name()));
    let stems = names.filter_map(|name| Some(name.file_stem()?.to_str()?.to_owned()));
    assert_eq!(shown, stems.filter(|name| name != "main").collect());
    assert!(shown.len() >= 10, "only {} programs are shown", shown.len());
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/asyncio")
}

/// What comes after the sentence at a file's head, and the empty line behind it.
fn without_head(text: &str) -> &str {
    text.split_once("\n\n").map_or("", |(_, rest)| rest.trim_start_matches('\n'))
}

/// The programs of the page, which stand below headings of the form "### `name`".
fn shown() -> Vec<Shown> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coming-from-asyncio.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, programs) = page.split_once("\n## Programs side by side\n").expect("it has some");
    let sections = programs.split("\n### `").skip(1);
    sections
        .map(|section| shown_in(section).expect("a sentence, both programs, and their output"))
        .collect()
}

fn shown_in(section: &str) -> Option<Shown> {
    let (name, text) = section.split_once("`\n\n")?;
    let (sentence, _) = text.split_once('\n')?;
    Some(Shown {
        name: name.to_owned(),
        sentence: sentence.to_owned(),
        python: block(text, "python")?,
        rust: block(text, "rust,no_run")?,
        output: block(text, "text")?,
    })
}

/// The first block of this language.
fn block(text: &str, language: &str) -> Option<String> {
    let (_, block) = text.split_once(&format!("```{language}\n"))?;
    let (block, _) = block.split_once("```\n")?;
    Some(block.to_owned())
}
