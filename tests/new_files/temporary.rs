//! Files without a name, and those that get one.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};

use corering::fs::{TempFile, tempfile, tempfile_in};

use crate::child::{self, Child};
use crate::{Folder, in_each_way};

#[test]
fn temporary_file_has_no_name_and_is_nobody_elses() {
    const TEST: &str = "temporary::temporary_file_has_no_name_and_is_nobody_elses";
    in_each_way(TEST, async |folder| {
        let file = tempfile_in(&folder.0).await?;
        assert_eq!(folder.names().len(), 0);
        let known = file.metadata().await?;
        assert_eq!((known.nlink(), known.mode() & 0o777, known.len()), (0, 0o600, 0));
        file.write_all_at("scratch", 0).await?;
        assert_eq!(file.read_to_end().await?, b"scratch");
        file.close().await?;
        let missing = tempfile_in(folder.join("none")).await.expect_err("it is not there");
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let no_folder = tempfile_in(folder.file("file", "")).await.expect_err("a file");
        assert_eq!(no_folder.kind(), ErrorKind::NotADirectory);
        Ok(())
    });
}

#[test]
fn temporary_file_is_where_the_environment_says() {
    const TEST: &str = "temporary::temporary_file_is_where_the_environment_says";
    if !child::is_child() {
        let folder = Folder::new();
        return Child::of(TEST).env("TMPDIR", folder.0.to_str().expect("ours")).passes();
    }
    corering::test_support::run(TEST, None, async || {
        let folder = std::env::var("TMPDIR").expect("it is set");
        for file in [tempfile().await?, TempFile::new().await?.into_file()] {
            let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
            assert!(std::fs::read_link(link)?.starts_with(&folder));
        }
        io::Result::Ok(())
    });
}

#[test]
fn temporary_file_gets_its_name_once() {
    in_each_way("temporary::temporary_file_gets_its_name_once", async |folder| {
        let (taken, other) = (folder.file("taken", "old"), Folder::new());
        let mut file = TempFile::new_in(&folder.0).await?;
        file.write_all_at("new", 0).await?;
        let error = file.persist_new(&taken).await.expect_err("it is taken");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = file.persist(folder.join("none/file")).await.expect_err("no folder");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(std::fs::read(&taken)?, b"old");
        file.persist(&taken).await?;
        assert_eq!(std::fs::read(&taken)?, b"new");
        assert_eq!(folder.names(), ["taken"]);
        let error = file.persist(folder.join("again")).await.expect_err("it has one");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // It is the same file, whoever holds it.
        file.into_file().write_all_at("N", 0).await?;
        assert_eq!(std::fs::read(&taken)?, b"New");
        let mut file = TempFile::new_in(&folder.0).await?;
        file.persist_new(other.join("elsewhere")).await?;
        assert_eq!(other.names(), ["elsewhere"]);
        drop(file);
        assert_eq!(
            (folder.names(), other.names()),
            (vec!["taken".into()], vec!["elsewhere".into()])
        );
        Ok(())
    });
}

#[test]
fn dropped_temporary_file_leaves_none() {
    in_each_way("temporary::dropped_temporary_file_leaves_none", async |folder| {
        let file = TempFile::new_in(&folder.0).await?;
        assert!(format!("{file:?}").contains("has_name: false"));
        drop(file);
        let file = TempFile::new_in(&folder.0).await?.into_file();
        // What has a name loses it on the pool.
        while !folder.names().is_empty() {
            corering::yield_now().await;
        }
        file.write_all_at("still open", 0).await?;
        Ok(())
    });
}
