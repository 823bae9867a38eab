//! From the target of a request to a path below the root folder.
//!
//! What comes out is relative and holds no `..`, no empty part and no NUL. That is the first of
//! two fences: the second is the kernel, which opens it with RESOLVE_BENEATH and so follows no
//! link out of the root either.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};

use crate::status::{Refusal, Status};

/// A path below the root folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Relative to the root; `.` is the root itself.
    path: PathBuf,
    /// The target ended with a slash, so only a folder can be meant.
    pub(crate) wants_folder: bool,
}

impl Resource {
    /// Decodes the path of `target`, which begins with a slash.
    pub(crate) fn decode(target: &str) -> Result<Self, Refusal> {
        let encoded = target.split_once('?').map_or(target, |(path, _query)| path);
        let mut path = PathBuf::new();
        let mut wants_folder = true;
        // Slashes are looked for before decoding: `%2f` is part of a name, and no name here has it.
        for part in encoded.split('/') {
            let name = decode_name(part)?;
            wants_folder = matches!(&*name, b"" | b".");
            if !wants_folder {
                path.push(OsStr::from_bytes(&name));
            }
        }
        if path.as_os_str().is_empty() {
            path.push(".");
        }
        Ok(Self { path, wants_folder })
    }

    /// The path, relative to the root.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The index page of the folder this is.
    pub(crate) fn index(&self) -> PathBuf {
        self.path.join("index.html")
    }

    /// The path of this folder as a person writes it.
    pub(crate) fn title(&self) -> String {
        match self.path.to_string_lossy() {
            path if path == "." => "/".into(),
            path => format!("/{path}/"),
        }
    }

    /// The path of this folder as a link writes it: from the root on, with a slash at the end.
    pub(crate) fn folder_target(&self) -> String {
        let mut target = String::from("/");
        // Built from the decoded parts, so it cannot begin with two slashes, which would make a
        // redirect to it name another server.
        for part in self.path.iter().filter(|part| *part != ".") {
            target.extend(encode_name(part.as_bytes()));
            target.push('/');
        }
        target
    }
}

/// Encodes the name of a file so that it can stand in a URL.
pub(crate) fn encode_name(name: &[u8]) -> impl Iterator<Item = &str> {
    percent_encode(name, RESERVED)
}

/// Decodes one part of a path and refuses the parts that no file can have.
fn decode_name(part: &str) -> Result<std::borrow::Cow<'_, [u8]>, Refusal> {
    let digits_follow = |after: &str| {
        after.as_bytes().get(..2).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    };
    if !part.split('%').skip(1).all(digits_follow) {
        return Err(Refusal::bad("The path holds a percent sign without two digits."));
    }
    let name: std::borrow::Cow<'_, [u8]> = percent_decode(part.as_bytes()).into();
    if name.contains(&0) {
        return Err(Refusal::bad("The path holds a NUL byte."));
    }
    if name.contains(&b'/') {
        return Err(Refusal::new(Status::NotFound, "No file has a slash in its name."));
    }
    if &*name == b".." {
        return Err(Refusal::new(Status::Forbidden, "The path leads upwards."));
    }
    Ok(name)
}

/// Bytes that do not stand in a URL as they are. Beyond what RFC 3986 asks for, the ones that mean
/// something in HTML are among them, so an encoded name can stand in a page.
const RESERVED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'/')
    .add(b':')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(target: &str) -> (String, bool) {
        let resource = Resource::decode(target).expect("the target is a path");
        let path = resource.path().to_str().expect("the path is text").to_owned();
        (path, resource.wants_folder)
    }

    #[test]
    fn targets_become_relative_paths() {
        for (target, path, wants_folder) in [
            ("/", ".", true),
            ("//", ".", true),
            ("/.", ".", true),
            ("/a", "a", false),
            ("/a/b.txt?query=/../", "a/b.txt", false),
            ("/a/", "a", true),
            ("/a/.", "a", true),
            ("//etc//passwd", "etc/passwd", false),
            ("/./a/./b", "a/b", false),
            ("/%61%20%C3%A9", "a é", false),
            ("/%2e", ".", true),
            ("/...", "...", false),
            ("/..a", "..a", false),
            ("/a\\b", "a\\b", false),
            ("/..%5c..%5cetc", "..\\..\\etc", false),
            ("/%252e%252e/x", "%2e%2e/x", false),
        ] {
            assert_eq!(decoded(target), (path.to_owned(), wants_folder), "{target}");
        }
    }

    #[test]
    fn paths_that_lead_upwards_are_refused() {
        for target in ["/..", "/../", "/../etc/passwd", "/a/../b", "/%2e%2e/x", "/.%2E", "/a/%2e."]
        {
            let refusal = Resource::decode(target).unwrap_err();
            assert_eq!(refusal.status, Status::Forbidden, "{target}");
        }
    }

    #[test]
    fn names_that_no_file_has_are_refused() {
        for (target, status) in [
            ("/%00", Status::BadRequest),
            ("/a%00.txt", Status::BadRequest),
            ("/%", Status::BadRequest),
            ("/%4", Status::BadRequest),
            ("/%zz", Status::BadRequest),
            ("/%+1", Status::BadRequest),
            ("/%%41", Status::BadRequest),
            ("/a%2fb", Status::NotFound),
            ("/..%2f..%2fetc", Status::NotFound),
        ] {
            assert_eq!(Resource::decode(target).unwrap_err().status, status, "{target}");
        }
    }

    #[test]
    fn no_target_escapes_its_root() {
        // Every string of up to six of the pieces an attacker combines.
        let pieces = ["/", ".", "%2e", "%2f", "\\", "%5c", "a", "%00"];
        let mut targets = vec![String::from("/")];
        for _ in 0..5 {
            let longer = targets.iter().flat_map(|t| pieces.map(|piece| format!("{t}{piece}")));
            targets.extend(longer.collect::<Vec<_>>());
            targets.sort();
            targets.dedup();
        }
        for target in targets {
            let Ok(resource) = Resource::decode(&target) else { continue };
            let path = resource.path();
            assert!(path.is_relative(), "{target}");
            assert!(path.iter().all(|part| part != ".."), "{target}");
            assert!(!path.as_os_str().as_bytes().contains(&0), "{target}");
        }
    }

    #[test]
    fn a_redirect_never_names_another_server() {
        for (target, folder) in [
            ("//example.com", "/example.com/"),
            ("/a b", "/a%20b/"),
            ("/%0d%0aSet-Cookie:%20a", "/%0D%0ASet-Cookie%3A%20a/"),
            ("/a%3fb", "/a%3Fb/"),
            ("/", "/"),
        ] {
            assert_eq!(Resource::decode(target).unwrap().folder_target(), folder, "{target}");
        }
    }
}
