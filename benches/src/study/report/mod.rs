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

use std::io;
use std::path::Path;

use super::schema::Study;
use super::store::write_durably;

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
        let path = directory.join(name);
        write_durably(&path, text.as_bytes()).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
    }
    Ok(())
}
