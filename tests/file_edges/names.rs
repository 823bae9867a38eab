//! Names that are no text, and names, paths and folders at their limits.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use corering::fs::{self, File, OpenOptions};

use crate::Folder;
use crate::child::Child;

/// Neither UTF-8 nor anything else, and with all that paths may have.
const NO_TEXT: &[u8] = b"\xff\xfe \n\t\\'\"*?\x01\xc3\x28";

async fn names_in(path: &Path) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    let mut entries = fs::read_dir(path).await?;
    while let Some(entry) = entries.next_entry().await? {
        assert!(names.insert(entry.file_name()), "{:?} came twice", entry.file_name());
    }
    Ok(names)
}

#[corering::test]
async fn name_that_is_no_text_is_one_like_any_other() -> io::Result<()> {
    let folder = Folder::new();
    let named = |tail: &str| folder.join(OsStr::from_bytes(&[NO_TEXT, tail.as_bytes()].concat()));
    let (file, other, link, below) = (named(""), named("other"), named("link"), named("below"));
    File::create(&file).await?.write_all_at("content", 0).await?;
    assert_eq!(fs::read(&file).await?, b"content");
    assert!(fs::exists(&file).await? && fs::metadata(&file).await?.is_file());
    assert_eq!(
        names_in(folder.as_ref()).await?,
        [OsString::from(file.file_name().unwrap())].into()
    );
    fs::rename(&file, &other).await?;
    assert!(!fs::exists(&file).await?);
    fs::symlink(other.file_name().unwrap(), &link).await?;
    assert_eq!(fs::read_link(&link).await?.as_os_str(), other.file_name().unwrap());
    assert_eq!(fs::read(&link).await?, b"content");
    assert_eq!(fs::canonicalize(&link).await?, std::fs::canonicalize(&other)?);
    fs::hard_link(&other, &file).await?;
    assert_eq!(fs::metadata(&file).await?.nlink(), 2);
    fs::create_dir_all(below.join(OsStr::from_bytes(NO_TEXT))).await?;
    let within = OpenOptions::new().read(true).resolve_beneath(&File::open(&folder).await?).clone();
    let opened = within.open(file.file_name().unwrap()).await?;
    assert_eq!(opened.read_to_end().await?, b"content");
    assert_eq!(fs::copy(&file, below.join(OsStr::from_bytes(NO_TEXT)).join("copy")).await?, 7);
    assert_eq!(names_in(folder.as_ref()).await?.len(), 4);
    for path in [&file, &other, &link] {
        fs::remove_file(path).await?;
    }
    fs::remove_dir_all(&below).await?;
    assert!(names_in(folder.as_ref()).await?.is_empty());
    Ok(())
}

#[corering::test]
async fn longest_name_is_used_and_longer_one_refused() -> io::Result<()> {
    let folder = Folder::new();
    let (longest, longer) = (folder.join("n".repeat(255)), folder.join("n".repeat(256)));
    fs::write(&longest, "content").await?;
    assert_eq!(fs::read(&longest).await?, b"content");
    assert_eq!(names_in(folder.as_ref()).await?.len(), 1);
    let there = folder.file("there", b"");
    let errors = [
        File::open(&longer).await.map(drop),
        File::create(&longer).await.map(drop),
        fs::write(&longer, "x").await.map(drop).map_err(io::Error::from),
        fs::metadata(&longer).await.map(drop),
        fs::exists(&longer).await.map(drop),
        fs::create_dir(&longer).await,
        fs::create_dir_all(&longer).await,
        fs::remove_file(&longer).await,
        fs::rename(&longest, &longer).await,
        fs::symlink("there", &longer).await,
        fs::hard_link(&there, &longer).await,
        fs::read_link(&longer).await.map(drop),
        fs::read_dir(&longer).await.map(drop),
        fs::copy(&there, &longer).await.map(drop),
    ];
    for (number, outcome) in errors.into_iter().enumerate() {
        let error = outcome.expect_err("it is too long");
        assert_eq!(error.kind(), ErrorKind::InvalidFilename, "{number}: {error}");
    }
    assert_eq!(names_in(folder.as_ref()).await?.len(), 2);
    Ok(())
}

/// A path of `len` bytes to `name` in `folder`, by `.` again and again.
fn path_of(folder: &Folder, name: &str, len: usize) -> PathBuf {
    let begin = folder.as_ref().as_os_str().len() + 1;
    let fill = len - begin - name.len();
    let mut path = folder.as_ref().as_os_str().to_owned();
    path.push("/".repeat(1 + fill % 2));
    path.push("./".repeat(fill / 2));
    path.push(name);
    assert_eq!(path.len(), len);
    path.into()
}

#[corering::test]
async fn longest_path_is_used_and_longer_one_refused() -> io::Result<()> {
    let folder = Folder::new();
    // With the NUL at its end it has 4096 bytes, which the kernel takes at most.
    let (longest, longer) = (path_of(&folder, "file", 4095), path_of(&folder, "file", 4096));
    fs::write(&longest, "content").await?;
    assert_eq!(fs::read(&longest).await?, b"content");
    assert_eq!(fs::copy(&longest, folder.join("copy")).await?, 7);
    for outcome in [
        File::open(&longer).await.map(drop),
        fs::metadata(&longer).await.map(drop),
        fs::rename(&longer, &longest).await,
        fs::symlink(&longer, folder.join("link")).await,
        fs::copy(&longer, folder.join("copy")).await.map(drop),
        File::open("x".repeat(1 << 20)).await.map(drop),
    ] {
        assert_eq!(outcome.expect_err("too long").kind(), ErrorKind::InvalidFilename);
    }
    Ok(())
}

#[corering::test]
async fn links_in_a_circle_are_an_error_of_every_call() -> io::Result<()> {
    let folder = Folder::new();
    let (one, other) = (folder.join("one"), folder.join("other"));
    fs::symlink("other", &one).await?;
    fs::symlink("one", &other).await?;
    let is_loop = |outcome: io::Result<()>| {
        let error = outcome.expect_err("it leads nowhere");
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP), "{error}");
    };
    is_loop(File::open(&one).await.map(drop));
    is_loop(File::create(&one).await.map(drop));
    is_loop(fs::metadata(&one).await.map(drop));
    is_loop(fs::exists(&one).await.map(drop));
    is_loop(fs::canonicalize(&one).await.map(drop));
    is_loop(fs::read_dir(one.join("below")).await.map(drop));
    is_loop(fs::create_dir(one.join("below")).await);
    is_loop(fs::copy(&one, folder.join("copy")).await.map(drop));
    is_loop(
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&one).await.map(drop),
    );
    // What looks at the link itself is not led anywhere.
    assert!(fs::symlink_metadata(&one).await?.is_symlink());
    assert_eq!(fs::read_link(&one).await?, Path::new("other"));
    fs::rename(&one, folder.join("renamed")).await?;
    fs::remove_file(&other).await
}

#[corering::test]
async fn large_folder_is_read_whole_while_it_changes() -> io::Result<()> {
    const COUNT: usize = 5000;
    let folder = Folder::new();
    let first = folder.file("0", b"");
    for number in 1..COUNT {
        std::fs::hard_link(&first, folder.join(number.to_string()))?;
    }
    let mut names = BTreeSet::new();
    let mut entries = fs::read_dir(&folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        if names.len() % 2 == 0 {
            fs::remove_file(entry.path()).await?;
        }
        assert!(names.insert(name), "one came twice");
    }
    // What is there all the time comes, and comes once.
    assert_eq!(names.len(), COUNT);
    assert_eq!(names_in(folder.as_ref()).await?.len(), COUNT / 2);
    fs::remove_dir_all(&folder).await?;
    std::fs::create_dir(&folder)
}

#[test]
fn open_without_a_descriptor_left_says_so_and_then_works() {
    const TEST: &str = "names::open_without_a_descriptor_left_says_so_and_then_works";
    if !crate::child::is_child() {
        return Child::of(TEST).limit(libc::RLIMIT_NOFILE, 64).passes();
    }
    corering::test_support::run(TEST, None, || async {
        let folder = Folder::new();
        let path = folder.file("file", b"content");
        let mut held = Vec::new();
        let is_short = |error: io::Error| {
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            assert!(error.to_string().contains("open files"), "{error}");
        };
        let error = loop {
            match File::open(&path).await {
                Ok(file) => held.push(file),
                Err(error) => break error,
            }
        };
        is_short(error);
        is_short(File::create(folder.join("new")).await.expect_err("none is left"));
        is_short(fs::read(&path).await.expect_err("none is left"));
        is_short(fs::write(&path, "x").await.expect_err("none is left").into());
        is_short(fs::read_dir(&folder).await.expect_err("none is left"));
        is_short(fs::copy(&path, folder.join("copy")).await.expect_err("none is left"));
        // What needs none still works.
        assert_eq!(fs::metadata(&path).await?.len(), 7);
        fs::rename(&path, folder.join("renamed")).await?;
        fs::rename(folder.join("renamed"), &path).await?;
        assert_eq!(held[0].read_to_end().await?, b"content");
        // One is enough to read, and not enough to copy.
        held.pop().expect("many were opened").close().await?;
        assert_eq!(fs::read(&path).await?, b"content");
        is_short(fs::copy(&path, folder.join("copy")).await.expect_err("one is left"));
        assert!(!folder.join("copy").exists());
        held.pop().expect("many were opened").close().await?;
        assert_eq!(fs::copy(&path, folder.join("copy")).await?, 7);
        io::Result::Ok(())
    });
}
