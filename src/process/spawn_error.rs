//! What could not be used where a program could not be started.

use std::env;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sys;

/// What could not be used where a program could not be started: what is in the error of
/// [`Command::spawn`](super::Command::spawn).
///
/// The system answers a missing program and a missing folder with the same `NotFound`. So the library
/// looks which of them it was, when it has failed. Where that cannot be told, since it was there by then
/// or another user's rights decide, the error is the system's alone.
///
/// # Examples
///
/// ```
/// # corering::block_on(async {
/// use std::io::ErrorKind;
///
/// use corering::process::{Command, SpawnError, SpawnErrorKind};
///
/// let error = Command::new("true").current_dir("/no/folder").spawn().await.expect_err("it fails");
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.to_string(), "the folder \"/no/folder\" to run \"true\" in does not exist");
/// let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<SpawnError>());
/// assert_eq!(cause.map(|cause| cause.kind), Some(SpawnErrorKind::CurrentDir));
/// # });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct SpawnError {
    /// What it is.
    pub kind: SpawnErrorKind,
    /// Where it should be. A program that was looked for has only its name.
    pub path: PathBuf,
    program: PathBuf,
    error: io::Error,
}

/// What could not be used of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnErrorKind {
    /// The program.
    Program,
    /// The folder to run it in.
    CurrentDir,
    /// The interpreter that the first line of a script names, or the loader of a program, which is the
    /// path then.
    Interpreter,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpawnError { kind, path, program, error } = self;
        let reason = match (kind, error.kind()) {
            (SpawnErrorKind::Program, ErrorKind::NotFound) if path.components().count() == 1 => {
                "is in no folder of PATH"
            }
            (_, ErrorKind::NotFound) => "does not exist",
            (SpawnErrorKind::CurrentDir, ErrorKind::PermissionDenied) => "may not be entered",
            (_, ErrorKind::PermissionDenied) => "may not be executed",
            (SpawnErrorKind::CurrentDir, _) => "is no folder",
            (_, _) => "is below what is no folder",
        };
        match kind {
            SpawnErrorKind::Program => write!(f, "the program {path:?} {reason}"),
            SpawnErrorKind::CurrentDir => {
                write!(f, "the folder {path:?} to run {program:?} in {reason}")
            }
            SpawnErrorKind::Interpreter if path == program => {
                write!(f, "the program {program:?} is there, but what has to load it is not")
            }
            SpawnErrorKind::Interpreter => {
                write!(f, "the interpreter {path:?} of the script {program:?} {reason}")
            }
        }
    }
}

impl Error for SpawnError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Looks what it was that a program could not be started for. Calls that may block.
pub(super) fn explain(command: &Command, error: io::Error) -> io::Error {
    let explained = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => find(command, &error),
        // The same kind as EPERM, which is not about paths.
        ErrorKind::PermissionDenied if error.raw_os_error() == Some(libc::EACCES) => {
            find(command, &error)
        }
        _ => None,
    };
    match explained {
        Some((kind, path, program)) => {
            io::Error::new(error.kind(), SpawnError { kind, path, program, error })
        }
        None => error,
    }
}

type Found = (SpawnErrorKind, PathBuf, PathBuf);

fn find(command: &Command, error: &io::Error) -> Option<Found> {
    let program = Path::new(command.get_program());
    let folder = command.get_current_dir();
    if let Some(folder) = folder
        && !(folder.is_dir() && sys::file::may_execute(folder))
    {
        return Some((SpawnErrorKind::CurrentDir, folder.to_owned(), program.to_owned()));
    }
    let at_folder = |path: PathBuf| folder.map_or(path.clone(), |folder| folder.join(path));
    if program.as_os_str().as_bytes().contains(&b'/') {
        let path = at_folder(program.to_owned());
        return unusable(&path, error).map(|(kind, at)| (kind, at, path));
    }
    // As execvp(3) looks for it.
    let folders = folders_of_path(command)?;
    let places: Vec<_> = env::split_paths(&folders).map(|it| at_folder(it.join(program))).collect();
    let is_missing = error.kind() == ErrorKind::NotFound;
    // A folder of that name is passed over, but for the refusal to execute it.
    let there = places.into_iter().filter(|it| if is_missing { it.is_file() } else { it.exists() });
    let mut unusable = there.filter_map(|path| Some((unusable(&path, error)?, path)));
    if let Some(((kind, at), path)) = unusable.next() {
        return Some((kind, at, path));
    }
    is_missing.then(|| (SpawnErrorKind::Program, program.to_owned(), program.to_owned()))
}

/// PATH as the child has it. `None` where it has been taken away, and the system's default stands.
fn folders_of_path(command: &Command) -> Option<OsString> {
    let set = command.get_envs().find(|(name, _)| *name == "PATH");
    match set {
        Some((_, value)) => value.map(OsStr::to_owned),
        None => env::var_os("PATH"),
    }
}

/// What cannot be used of a program at this place, and where that is.
fn unusable(path: &Path, error: &io::Error) -> Option<(SpawnErrorKind, PathBuf)> {
    let is_denied = error.kind() == ErrorKind::PermissionDenied;
    let itself = Some((SpawnErrorKind::Program, path.to_owned()));
    let Ok(metadata) = fs::metadata(path) else { return itself };
    // What is not a file cannot be executed, and a FIFO would not be opened before another opens it, too.
    if !metadata.is_file() || (is_denied && !sys::file::may_execute(path)) {
        return itself;
    }
    match interpreter(path) {
        Some(named) if is_denied => {
            (!sys::file::may_execute(&named)).then_some((SpawnErrorKind::Interpreter, named))
        }
        Some(named) => (!named.exists()).then_some((SpawnErrorKind::Interpreter, named)),
        None if error.kind() == ErrorKind::NotFound => {
            Some((SpawnErrorKind::Interpreter, path.to_owned()))
        }
        None => None,
    }
}

/// The interpreter that a script names in its first line.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(FIRST_LINE_MAX).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|it| !it.is_empty());
    Some(PathBuf::from(OsStr::from_bytes(words.next()?)))
}

/// Bytes of a script that the kernel looks at for its interpreter.
const FIRST_LINE_MAX: u64 = 256;
