//! Where the command's tables and data go.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Document;
use crate::outcome::Failure;

/// Where tables and data go.
pub(super) enum Output {
    /// Tables to the standard output, no data.
    Tables,
    /// Tables to the standard output, data to a file that was opened before the measurement.
    TablesAndFile(PathBuf, File),
    /// Data to the standard output, tables to the standard error.
    Data,
}

impl Output {
    pub(super) fn open(json: Option<&PathBuf>) -> Result<Self, Failure> {
        Ok(match json {
            None => Output::Tables,
            Some(path) if path.as_os_str() == "-" => Output::Data,
            Some(path) => {
                let file = File::create(path).map_err(|error| unwritable(path, &error))?;
                Output::TablesAndFile(path.clone(), file)
            }
        })
    }

    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        let result = match self {
            Output::Tables | Output::TablesAndFile(..) => io::stdout().write_all(text.as_bytes()),
            Output::Data => io::stderr().write_all(text.as_bytes()),
        };
        result.map_err(|error| Failure::environment("the table cannot be printed", error))
    }

    pub(super) fn write(self, document: &Document) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(document)
            .map_err(|error| Failure::environment("the data has no form as JSON", error))?;
        text.push('\n');
        match self {
            Output::Tables => Ok(()),
            Output::Data => io::stdout()
                .write_all(text.as_bytes())
                .map_err(|error| Failure::environment("the data cannot be printed", error)),
            Output::TablesAndFile(path, mut file) => {
                let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
                written.map_err(|error| unwritable(&path, &error))
            }
        }
    }
}

pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Environment(format!(
        "{} cannot be written: {error}; choose another place, or `--json -`",
        path.display()
    ))
}
