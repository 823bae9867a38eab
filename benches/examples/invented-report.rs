//! Writes the report of an invented study into a folder, for looking at it, and for the test that
//! opens it in a browser.

#[path = "../tests/study/fixture.rs"]
mod fixture;

use std::path::PathBuf;
use std::{env, fs, io};

use corering_bench::study::analysis::conclude;
use corering_bench::study::report;

fn main() -> io::Result<()> {
    let usage = || io::Error::new(io::ErrorKind::InvalidInput, "usage: invented-report DIR");
    let directory = PathBuf::from(env::args_os().nth(1).ok_or_else(usage)?);
    fs::create_dir_all(&directory)?;
    let mut study = fixture::mixed();
    conclude(&mut study);
    report::write(&study, &directory)?;
    fs::write(directory.join("study.json"), serde_json::to_vec_pretty(&study)?)
}
