//! Programs that cannot be started: what it was that could not be used.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use corering::process::{Command, SpawnError, SpawnErrorKind};

use crate::alone_in_runtime;

/// A folder of the test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> io::Result<Self> {
        let name = format!("corering-{name}-{}-{:p}", std::process::id(), &name);
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What starting a command fails with.
async fn failure(command: &mut Command) -> (ErrorKind, Option<(SpawnErrorKind, PathBuf)>, String) {
    let error = command.spawn().await.expect_err("it cannot be started");
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<SpawnError>());
    let cause = cause.map(|cause| (cause.kind, cause.path.clone()));
    (error.kind(), cause, error.to_string())
}

fn cause(kind: SpawnErrorKind, path: impl AsRef<Path>) -> Option<(SpawnErrorKind, PathBuf)> {
    Some((kind, path.as_ref().to_owned()))
}

#[corering::test]
async fn missing_program_is_named() {
    let (kind, found, text) = failure(&mut Command::new("no-such-program")).await;
    assert_eq!(kind, ErrorKind::NotFound);
    assert_eq!(found, cause(SpawnErrorKind::Program, "no-such-program"));
    assert_eq!(text, "the program \"no-such-program\" is in no folder of PATH");

    let (kind, found, text) = failure(&mut Command::new("/no/such/program")).await;
    assert_eq!(kind, ErrorKind::NotFound);
    assert_eq!(found, cause(SpawnErrorKind::Program, "/no/such/program"));
    assert_eq!(text, "the program \"/no/such/program\" does not exist");

    let (kind, found, _) = failure(&mut Command::new("")).await;
    assert_eq!(kind, ErrorKind::NotFound);
    assert_eq!(found, cause(SpawnErrorKind::Program, ""));

    let (_, found, _) = failure(Command::new("bin/none").current_dir("/usr")).await;
    assert_eq!(found, cause(SpawnErrorKind::Program, "/usr/bin/none"));
}

#[corering::test]
async fn missing_folder_is_told_from_a_missing_program() -> io::Result<()> {
    let folder = Folder::new("missing")?;
    for program in ["true", "/no/such/program", "no-such-program"] {
        let absent = folder.0.join("absent");
        let (kind, found, text) = failure(Command::new(program).current_dir(&absent)).await;
        assert_eq!(kind, ErrorKind::NotFound);
        assert_eq!(found, cause(SpawnErrorKind::CurrentDir, &absent), "{program}: {text}");
        assert!(text.contains("folder") && text.contains(program), "{text}");
    }
    let file = folder.file("file", "", 0o644)?;
    let (kind, found, text) = failure(Command::new("true").current_dir(&file)).await;
    assert_eq!(kind, ErrorKind::NotADirectory);
    assert_eq!(found, cause(SpawnErrorKind::CurrentDir, &file), "{text}");
    Ok(())
}

#[corering::test]
async fn program_that_may_not_be_executed_is_named() -> io::Result<()> {
    let folder = Folder::new("denied")?;
    let file = folder.file("file", "#!/bin/sh\n", 0o644)?;
    let (kind, found, text) = failure(&mut Command::new(&file)).await;
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert_eq!(found, cause(SpawnErrorKind::Program, &file), "{text}");

    let (kind, found, text) = failure(&mut Command::new(&folder.0)).await;
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert_eq!(found, cause(SpawnErrorKind::Program, &folder.0), "{text}");

    let fifo = folder.0.join("fifo");
    assert!(Command::new("mkfifo").args(["-m", "755"]).arg(&fifo).status().await?.success());
    let (kind, found, text) = failure(&mut Command::new(&fifo)).await;
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert_eq!(found, cause(SpawnErrorKind::Program, &fifo), "{text}");

    // Found by PATH.
    let (kind, found, text) = failure(Command::new("file").env("PATH", &folder.0)).await;
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert_eq!(found, cause(SpawnErrorKind::Program, &file), "{text}");
    Ok(())
}

// Alone, since a process that another test forks meanwhile may still have a script open for writing.
#[test]
fn missing_interpreter_of_a_script_is_named() {
    alone_in_runtime("errors::missing_interpreter_of_a_script_is_named", interpreters_are_named);
}

async fn interpreters_are_named() -> io::Result<()> {
    let folder = Folder::new("interpreter")?;
    let script = folder.file("script", "#! /no/such/interpreter -x\n", 0o755)?;
    let (kind, found, text) = failure(&mut Command::new(&script)).await;
    assert_eq!(kind, ErrorKind::NotFound);
    assert_eq!(found, cause(SpawnErrorKind::Interpreter, "/no/such/interpreter"));
    assert!(text.contains(script.to_str().expect("it is text")), "{text}");

    let (_, found, _) = failure(Command::new("script").env("PATH", &folder.0)).await;
    assert_eq!(found, cause(SpawnErrorKind::Interpreter, "/no/such/interpreter"));

    // A script that was written on another system.
    folder.file("script", "#!/bin/sh\r\n", 0o755)?;
    let (_, found, text) = failure(&mut Command::new(&script)).await;
    assert_eq!(found, cause(SpawnErrorKind::Interpreter, "/bin/sh\r"));
    assert!(text.contains(r#""/bin/sh\r""#), "{text}");

    folder.file("script", "#!/etc/passwd\n", 0o755)?;
    let (kind, found, _) = failure(&mut Command::new(&script)).await;
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert_eq!(found, cause(SpawnErrorKind::Interpreter, "/etc/passwd"));
    Ok(())
}

#[corering::test]
async fn failure_of_output_and_status_is_that_of_the_start() {
    let error = Command::new("no-such-program").status().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let failed = Command::new("no-such-program").output().await.unwrap_err();
    assert!(failed.status.is_none() && failed.stdout.is_empty());
    let error = io::Error::from(failed);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "the program \"no-such-program\" is in no folder of PATH");
}
