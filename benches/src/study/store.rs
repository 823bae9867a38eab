//! The folder of a study, and how it survives being stopped at any moment.
//!
//! ```text
//! DIR/session.json        what was begun: mode, seed, machine; also the lock of a running study
//! DIR/cells/ID.json       one finished cell each, with `_` for the slashes of its id
//! DIR/histograms/         whole distributions, .hgrm and .hlog
//! DIR/study.json          everything together, with what it says (schema.rs)
//! DIR/report.html, .md    the same for people
//! ```
//!
//! A file is written beside its place, made durable and then renamed, so it is there as a whole or
//! not at all. A resumed study keeps the cells that are finished and valid, and measures invalid ones
//! again. To measure a valid cell anew, remove its file and resume.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::fingerprint;
use super::schema::{Cell, Fingerprint, Mode, Study, VERSION};
use crate::outcome::Failure;

/// What was begun, and has to be the same when it is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// As in [`Study`].
    pub version: u32,
    /// As in [`Study`].
    pub mode: Mode,
    /// As in [`Study`].
    pub seed: u64,
    /// As in [`Study`].
    pub command: String,
    /// As in [`Study`].
    pub started_at_unix_s: u64,
    /// As in [`Study`].
    pub handicaps_ns: BTreeMap<String, u64>,
    /// Whether other runtimes take part.
    pub with_peers: bool,
    /// The ids of all cells that were asked for.
    pub cells: Vec<String>,
    /// As in [`Study`].
    pub fingerprint: Fingerprint,
}

/// A cell that was measured to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// How long it took.
    pub elapsed_s: f64,
    /// What was measured.
    pub cell: Cell,
}

/// The folder of a study that runs.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    session: Session,
    /// Locked until this is dropped.
    _lock: File,
}

impl Store {
    /// Begins in `folder`, which is made if it is not there, and has to be empty.
    pub fn begin(folder: &Path, session: Session) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        let mut entries = fs::read_dir(folder).map_err(|error| unwritable(folder, &error))?;
        if entries.next().is_some() {
            let hint = if folder.join(SESSION).exists() {
                "holds a study already; go on with it by --resume, or give another --out"
            } else {
                "is not empty; give another --out, or empty it first"
            };
            return Err(Failure::Usage(format!("{} {hint}", folder.display())));
        }
        for name in [CELLS, HISTOGRAMS] {
            let path = folder.join(name);
            fs::create_dir(&path).map_err(|error| unwritable(&path, &error))?;
        }
        write_json(&folder.join(SESSION), &session)?;
        Ok(Store { folder: folder.to_owned(), session, _lock: lock(folder)? })
    }

    /// Goes on in `folder`. `session` says what was asked for this time; what differs from what was
    /// begun is an error. The command stays that of the beginning.
    pub fn resume(folder: &Path, session: &Session) -> Result<Self, Failure> {
        let path = folder.join(SESSION);
        if !path.exists() {
            return Err(Failure::Usage(format!(
                "{} holds no study to resume; leave out --resume to begin one",
                folder.display()
            )));
        }
        let lock = lock(folder)?;
        let begun: Session = read_json(&path)?;
        let differences = differences(&begun, session);
        if !differences.is_empty() {
            return Err(Failure::Usage(format!(
                "the study in {} cannot be resumed, since its cells would not be comparable: {}; \
                 begin another one with another --out",
                folder.display(),
                differences.join("; ")
            )));
        }
        Ok(Store { folder: folder.to_owned(), session: begun, _lock: lock })
    }

    /// What was begun.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The finished cell with this id, if there is one.
    pub fn finished(&self, id: &str) -> Result<Option<Finished>, Failure> {
        let path = self.cell_path(id);
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// Keeps a cell that has been measured to its end.
    pub fn keep(&self, finished: &Finished) -> Result<(), Failure> {
        write_json(&self.cell_path(&finished.cell.id), finished)
    }

    /// Writes `study.json` and returns its path.
    pub fn write_study(&self, study: &Study) -> Result<PathBuf, Failure> {
        let path = self.folder.join("study.json");
        write_json(&path, study)?;
        Ok(path)
    }

    fn cell_path(&self, id: &str) -> PathBuf {
        self.folder.join(CELLS).join(format!("{}.json", id.replace('/', "_")))
    }
}

/// Where the whole distributions are kept, in the folder of a study.
pub const HISTOGRAMS: &str = "histograms";

const SESSION: &str = "session.json";
const CELLS: &str = "cells";

fn differences(begun: &Session, asked: &Session) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |name: &str, begun: String, asked: String| {
        if begun != asked {
            differences.push(format!("{name} was {begun}, is {asked}"));
        }
    };
    compare("the version of study.json", begun.version.to_string(), asked.version.to_string());
    compare("the mode", format!("{:?}", begun.mode), format!("{:?}", asked.mode));
    compare("the seed", begun.seed.to_string(), asked.seed.to_string());
    let handicaps = |session: &Session| format!("{:?}", session.handicaps_ns);
    compare("the handicap", handicaps(begun), handicaps(asked));
    compare("--with-peers", begun.with_peers.to_string(), asked.with_peers.to_string());
    compare("the list of cells", begun.cells.join(" "), asked.cells.join(" "));
    differences.extend(fingerprint::differences(&begun.fingerprint, &asked.fingerprint));
    differences
}

/// Two studies in one folder would overwrite each other's files.
fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(SESSION);
    let file =
        OpenOptions::new().read(true).open(&path).map_err(|error| unreadable(&path, error))?;
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => Failure::Environment(format!(
            "another study is running in {}; wait for it, or give another --out",
            folder.display()
        )),
        fs::TryLockError::Error(error) => Failure::environment(path.display(), error),
    })?;
    Ok(file)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = fs::read(path).map_err(|error| unreadable(path, error))?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::Environment(format!(
            "{} is not what version {VERSION} of this program writes ({error}); remove it to have \
             it made again",
            path.display()
        ))
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_vec_pretty(value).map_err(io::Error::from)?;
    text.push(b'\n');
    write_file(path, &text)
}

/// Writes a file of the study, as a whole or not at all.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_durably(path, bytes).map_err(|error| unwritable(path, &error))
}

/// Writes a file that is there as a whole or not at all, whenever the machine stops.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("unfinished");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        // The room it takes may be what is missing.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    // The name is durable when the folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::environment(format_args!("cannot read {}", path.display()), error)
}

/// A file that cannot be written, and what to do about it.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room, then go on with --resume: finished cells are kept"
        }
        _ => "give an --out that can be written",
    };
    Failure::Environment(format!("cannot write {}: {error}; {advice}", path.display()))
}
