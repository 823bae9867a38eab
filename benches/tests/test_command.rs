//! `scripts/test`, the command of the README: what it does about programs that are missing.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::{env, fs};

/// What the script asks for beside curl, and the packages of that.
const PROGRAMS: &str = "fio h2load protoc python3 strace wsdump";
const PACKAGES: &str = "fio nghttp2-client protobuf-compiler python3 strace python3-websocket";

/// A folder that is all of a script's PATH, removed at the end.
struct Programs(PathBuf);

impl Programs {
    /// The shell, and a cargo that says what it was asked for instead of doing it.
    fn with_cargo(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("corering-bench-{name}-{}", process::id()));
        fs::create_dir(&folder).expect("its name is ours");
        let programs = Programs(folder);
        for program in ["bash", "env"] {
            symlink(found(program), programs.0.join(program)).expect("the folder is ours");
        }
        programs.add("cargo", "echo \"cargo $* without:${CORERING_TEST_WITHOUT-nothing}\"");
        programs
    }

    fn add(&self, name: &str, does: &str) {
        let path = self.0.join(name);
        fs::write(&path, format!("#!{}\n{does}\n", found("bash").display())).expect("it is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    /// An apt-get that puts all programs there, whatever their packages, and a sudo that asks for
    /// no password.
    fn add_apt_get(&self) {
        let (folder, chmod) = (self.0.display(), found("chmod"));
        self.add("sudo", "shift; exec \"$@\"");
        let install = format!("[[ $2 != install ]] || for program in curl {PROGRAMS}; do");
        let program = format!(">{folder}/$program; {} +x {folder}/$program", chmod.display());
        self.add("apt-get", &format!("{install} {program}; done"));
    }

    /// Runs the script, which has to succeed: what it said on standard output and on the other.
    fn test(&self, options: &[&str]) -> (String, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test");
        let mut command = Command::new(found("bash"));
        command.arg(script).args(options).env_clear().env("PATH", &self.0);
        let output = command.output().expect("bash runs");
        assert!(output.status.success(), "{output:?}");
        let text = |bytes| String::from_utf8(bytes).expect("it is text");
        (text(output.stdout), text(output.stderr))
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // What is left over is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where a program is.
fn found(program: &str) -> PathBuf {
    let path = env::var_os("PATH").expect("tests have one");
    let mut places = env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|place| place.is_file()).unwrap_or_else(|| panic!("{program} is everywhere"))
}

#[test]
fn missing_programs_are_named_in_one_line_and_left_out() {
    let programs = Programs::with_cargo("without-apt-get");
    let (tested, told) = programs.test(&["-p", "corering"]);
    assert_eq!(tested, format!("cargo test --workspace -p corering without:curl {PROGRAMS}\n"));
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains(&format!("need curl {PROGRAMS},")), "{told}");
    assert!(told.contains(&format!("install curl {PACKAGES}")), "{told}");
}

#[test]
fn missing_programs_are_installed_where_that_is_allowed() {
    let programs = Programs::with_cargo("with-apt-get");
    programs.add_apt_get();
    let (tested, told) = programs.test(&[]);
    assert_eq!(tested, "cargo test --workspace without:nothing\n");
    assert_eq!(told, format!("installing curl {PACKAGES}\n"));
}

#[test]
fn programs_that_cannot_be_fetched_are_left_out_too() {
    let programs = Programs::with_cargo("offline");
    programs.add_apt_get();
    programs.add("apt-get", "echo 'no network' >&2; exit 100");
    programs.add("curl", "");
    let (tested, told) = programs.test(&[]);
    assert_eq!(tested, format!("cargo test --workspace without:{PROGRAMS}\n"));
    assert!(told.contains("no network"), "{told}");
    assert!(told.contains(&format!("need {PROGRAMS},")), "{told}");
}

#[test]
fn nothing_is_said_where_nothing_is_missing() {
    let programs = Programs::with_cargo("complete");
    PROGRAMS.split(' ').chain(["curl"]).for_each(|name| programs.add(name, ""));
    let (tested, told) = programs.test(&[]);
    assert_eq!((tested.as_str(), told.as_str()), ("cargo test --workspace without:nothing\n", ""));
}
