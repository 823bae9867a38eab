//! What is done below a folder.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use corering::Runtime;
use corering::fs::{self, Dir, OpenOptions};
use corering::test_support::run;
use futures_util::TryStreamExt;

use crate::child::{self, Child};
use crate::{Watch, in_each_way};

#[test]
fn every_method_works_below_its_folder() {
    in_each_way("below::every_method_works_below_its_folder", async |tree, _| {
        let dir = tree.open().await?;
        // In the folder itself, below it, and the long way.
        for at in ["", "a/", "./a//./b/"] {
            let path = |name: &str| format!("{at}{name}");
            let real = |name: &str| tree.path("root").join(at).join(name);
            dir.create_dir(path("new")).await?;
            dir.create_dir_all(path("new/deeper/still")).await?;
            assert!(real("new/deeper/still").is_dir());
            dir.remove_dir(path("new/deeper/still/")).await?;
            assert!(!real("new/deeper/still").exists());
            dir.write(path("written"), "written").await?;
            assert_eq!(dir.read(path("written")).await?, b"written");
            dir.create_file(path("created")).await?.write_all_at("created", 0).await?;
            let append = OpenOptions::new().append(true).clone();
            dir.open_with(&append, path("created")).await?.write_all_at("+", 0).await?;
            assert_eq!(std::fs::read(real("created"))?, b"created+");
            dir.set_permissions(path("created"), Permissions::from_mode(0o600)).await?;
            assert_eq!(dir.metadata(path("created")).await?.mode() & 0o777, 0o600);
            assert_eq!(dir.open_file(path("created")).await?.read_to_end().await?, b"created+");
            dir.hard_link(path("created"), &dir, path("second")).await?;
            assert_eq!(dir.metadata(path("second")).await?.nlink(), 2);
            let new = dir.open_dir(path("new")).await?;
            dir.rename(path("second"), &new, "moved").await?;
            assert_eq!(std::fs::read(real("new/moved"))?, b"created+");
            new.rename("moved", &dir, path("written")).await?;
            assert_eq!(dir.read(path("written")).await?, b"created+");
            dir.symlink("../../anywhere", path("link")).await?;
            assert_eq!(dir.read_link(path("link")).await?, Path::new("../../anywhere"));
            assert!(dir.symlink_metadata(path("link")).await?.is_symlink());
            assert!(dir.exists(path("written")).await? && !dir.exists(path("none")).await?);
            for name in ["written", "created", "link"] {
                dir.remove_file(path(name)).await?;
            }
            dir.remove_dir_all(path("new")).await?;
            assert!(!real("new").exists());
        }
        assert!(dir.metadata(".").await?.is_dir() && dir.metadata("a/").await?.is_dir());
        tree.assert_outside_is_unchanged();
        Ok(())
    });
}

#[test]
fn links_below_a_folder_are_followed_by_the_kernel_alone() {
    const TEST: &str = "below::links_below_a_folder_are_followed_by_the_kernel_alone";
    in_each_way(TEST, async |tree, watch| {
        let dir = tree.open().await?;
        let read = [dir.read("inward").await, dir.read("a/inward/deep").await];
        let known = dir.metadata("inward").await;
        let below = dir.create_dir("a/inward/new").await;
        let back = dir.read("a/../file").await;
        match watch {
            Watch::Kernel => {
                let [file, deep] = read;
                assert_eq!((&*file?, &*deep?, &*back?), (&b"file"[..], &b"deep"[..], &b"file"[..]));
                assert_eq!(known?.len(), 4);
                below?;
                assert!(tree.path("root/a/b/new").is_dir());
            }
            Watch::Walk => {
                let errors = read.map(|read| read.err().and_then(|error| error.raw_os_error()));
                assert_eq!(errors, [Some(libc::ELOOP), Some(libc::ENOTDIR)]);
                assert_eq!(known.expect_err("a link").raw_os_error(), Some(libc::ELOOP));
                assert_eq!(below.expect_err("a link").raw_os_error(), Some(libc::ENOTDIR));
                assert_eq!(back.expect_err("it goes up").raw_os_error(), Some(libc::EXDEV));
            }
        }
        Ok(())
    });
}

#[test]
fn entries_have_paths_below_their_folder_though_it_is_renamed() {
    const TEST: &str = "below::entries_have_paths_below_their_folder_though_it_is_renamed";
    in_each_way(TEST, async |tree, _| {
        let dir = tree.open().await?;
        let name = OsStr::from_bytes(b"not \xff UTF-8");
        dir.write(Path::new("a/b").join(name), "bytes").await?;
        let entries: Vec<_> = dir.read_dir("a/b").await?.try_collect().await?;
        let paths: BTreeSet<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
        assert_eq!(paths, BTreeSet::from(["a/b/deep".into(), Path::new("a/b").join(name)]));
        for entry in &entries {
            assert_eq!(dir.metadata(entry.path()).await?.ino(), entry.ino());
        }
        std::fs::rename(tree.path("root/a/b"), tree.path("root/elsewhere"))?;
        for entry in &entries {
            let known = entry.metadata().await?;
            assert!(known.is_file() && known.ino() == entry.ino());
        }
        let mut entries = dir.read_dir(".").await?;
        while let Some(entry) = entries.next_entry().await? {
            assert_eq!(entry.path(), Path::new(".").join(entry.file_name()));
            assert_eq!(entry.file_type().await?, entry.metadata().await?.file_type());
        }
        Ok(())
    });
}

#[test]
fn folder_is_the_same_though_renamed_and_gone_once_removed() {
    const TEST: &str = "below::folder_is_the_same_though_renamed_and_gone_once_removed";
    in_each_way(TEST, async |tree, _| {
        let dir = tree.open().await?.open_dir("a").await?;
        std::fs::rename(tree.path("root/a"), tree.path("root/renamed"))?;
        dir.write("new", "new").await?;
        assert_eq!(std::fs::read(tree.path("root/renamed/new"))?, b"new");
        std::fs::remove_dir_all(tree.path("root/renamed"))?;
        let errors = [
            dir.write("new", "new").await.err().map(|error| error.kind()),
            dir.read("b/deep").await.err().map(|error| error.kind()),
            dir.create_dir("b").await.err().map(|error| error.kind()),
            dir.symlink("b", "link").await.err().map(|error| error.kind()),
            dir.metadata("b").await.err().map(|error| error.kind()),
            dir.remove_file("new").await.err().map(|error| error.kind()),
        ];
        assert_eq!(errors, [Some(ErrorKind::NotFound); 6]);
        assert!(dir.metadata(".").await?.is_dir(), "it is open all the same");
        assert_eq!(dir.read_dir(".").await?.try_collect::<Vec<_>>().await?.len(), 0);
        Ok(())
    });
}

#[corering::test]
async fn one_name_costs_one_operation() -> io::Result<()> {
    let tree = crate::Tree::new();
    let dir = tree.open().await?;
    let made = || {
        let known = corering::metrics();
        known.submitted + known.pool_jobs
    };
    macro_rules! one {
        ($($call:expr),+) => {
            $(let before = made();
            $call.await.expect(stringify!($call));
            assert!(made() - before <= 1, "{}: {}", stringify!($call), made() - before);)+
        };
    }
    one!(
        dir.create_dir("new"),
        dir.open_dir("new"),
        dir.metadata("file"),
        dir.exists("none"),
        dir.symlink_metadata("secret"),
        dir.open_file("file"),
        dir.create_file("made"),
        dir.hard_link("made", &dir, "second"),
        dir.rename("second", &dir, "made"),
        dir.symlink("made", "link"),
        dir.read_link("link"),
        dir.remove_file("link"),
        dir.remove_dir("new"),
        dir.remove_dir_all("a")
    );
    Ok(())
}

#[corering::test]
async fn handles_come_from_and_go_to_descriptors() -> io::Result<()> {
    let tree = crate::Tree::new();
    let dir = tree.open().await?;
    let same = dir.clone();
    drop(dir);
    let from_outside = Dir::from(same.as_fd().try_clone_to_owned()?);
    let from_file = Dir::from(&fs::File::open(tree.path("root")).await?);
    for dir in [same, from_outside, from_file] {
        assert_eq!(dir.read("file").await?, b"file");
        assert!(dir.read("../outside/secret").await.is_err());
        assert!(format!("{dir:?}").starts_with("Dir { fd: "));
    }
    let no_folder = Dir::from(&fs::File::open(tree.path("root/file")).await?);
    let error = no_folder.create_dir("new").await.expect_err("a file");
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    let error = Dir::open(tree.path("root/file")).await.expect_err("a file");
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    Ok(())
}

#[test]
fn folder_that_nobody_may_list_can_be_worked_in() {
    const TEST: &str = "below::folder_that_nobody_may_list_can_be_worked_in";
    if !child::is_child() {
        return Child::of(TEST).without_capabilities().passes();
    }
    run(TEST, None, async || {
        // Not that of the build, which another user may not be able to enter.
        let path = std::env::temp_dir().join(format!("dirs-unlisted-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o311))?;
        let dir = Dir::open(&path).await?;
        dir.create_dir("below").await?;
        dir.write("below/file", "text").await?;
        assert_eq!(dir.read("below/file").await?, b"text");
        let listed = dir.read_dir(".").await.map(drop);
        let refused = listed.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
        dir.remove_dir_all("below").await?;
        std::fs::remove_dir(&path)?;
        assert!(refused, "a user without capabilities may not list it");
        io::Result::Ok(())
    });
}

#[test]
fn folder_serves_one_runtime_after_the_other() {
    let tree = crate::Tree::new();
    let runtimes = corering::test_support::drivers()
        .into_iter()
        .map(|driver| Runtime::builder().driver(driver).build().expect("the driver was asked for"));
    let mut runtimes: Vec<_> = runtimes.collect();
    let mut dir = None;
    for round in 0..4 {
        let index = round % runtimes.len();
        let dir: &Dir =
            dir.get_or_insert_with(|| runtimes[0].block_on(tree.open()).expect("it is there"));
        runtimes[index].block_on(async {
            dir.write("a/b/new", "new").await.expect("it is writable");
            assert_eq!(dir.read("a/b/new").await.expect("it was written"), b"new");
        });
        if round == 1 {
            runtimes.truncate(1);
        }
    }
}
