//! The report: `report.html` and `report.md`, made from a study and nothing else.
//!
//! `content.rs` decides what is said in which order, `charts` draws, and `html.rs` and
//! `markdown.rs` give the same document two forms.

mod charts;
mod content;
mod cost;
mod document;
mod html;
mod markdown;
mod results;

use std::fs;
use std::io;
use std::path::Path;

use super::schema::Study;

/// The name of the page within the study's directory.
pub const PAGE: &str = "report.html";

/// The name of the text within the study's directory.
pub const TEXT: &str = "report.md";

/// Writes both forms of the report into `directory`.
///
/// # Errors
///
/// Those of writing the files, with the file's name. A report that cannot be written whole leaves
/// the one before as it was.
pub fn write(study: &Study, directory: &Path) -> io::Result<()> {
    let document = content::document(study);
    for (name, text) in [(PAGE, html::render(&document)), (TEXT, markdown::render(&document))] {
        let (path, unfinished) = (directory.join(name), directory.join(format!("{name}.part")));
        let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(|error| {
            // What could not be written is in nobody's way; that it cannot be removed says nothing new.
            let _ = fs::remove_file(&unfinished);
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
    }
    Ok(())
}
