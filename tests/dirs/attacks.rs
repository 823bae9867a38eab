//! Who tries to get out of a folder, or to exhaust what a walk needs.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use corering::fs::{Dir, OpenOptions};
use corering::test_support::run;

use crate::child::{self, Child};
use crate::{Tree, Watch, in_each_way};

/// What each method answers for a path: its error number, and 0 for success.
async fn all(dir: &Dir, path: &Path) -> Vec<(&'static str, i32)> {
    let mut answers = Vec::new();
    macro_rules! ask {
        ($($name:literal: $call:expr,)+) => {
            $(let errno = match $call.await {
                Ok(_) => 0,
                Err(error) => io::Error::from(error).raw_os_error().unwrap_or(-1),
            };
            answers.push(($name, errno));)+
        };
    }
    let mode = Permissions::from_mode(0o644);
    let append = OpenOptions::new().append(true).clone();
    ask! {
        "read": dir.read(path),
        "open_with": dir.open_with(&append, path),
        "open_dir": dir.open_dir(path),
        "metadata": dir.metadata(path),
        "symlink_metadata": dir.symlink_metadata(path),
        "exists": dir.exists(path),
        "set_permissions": dir.set_permissions(path, mode),
        "read_dir": dir.read_dir(path),
        "read_link": dir.read_link(path),
        "hard_link": dir.hard_link(path, dir, "stolen"),
        "hard_link to": dir.hard_link("file", dir, path),
        "symlink": dir.symlink("file", path),
        "create_dir": dir.create_dir(path),
        "create_dir_all": dir.create_dir_all(path),
        "rename": dir.rename(path, dir, "stolen"),
        "rename to": dir.rename("a", dir, path),
        "remove_dir": dir.remove_dir(path),
        "remove_file": dir.remove_file(path),
        "remove_dir_all": dir.remove_dir_all(path),
        "create_file": dir.create_file(path),
        "write": dir.write(path, "overwritten"),
    }
    answers
}

#[test]
fn no_method_takes_a_path_that_leads_out() {
    in_each_way("attacks::no_method_takes_a_path_that_leads_out", async |tree, _| {
        let dir = tree.open().await?;
        for path in [
            "..",
            "../",
            "../outside",
            "../outside/secret",
            "../root/file",
            "a/../../outside/secret",
            "a/../../outside/new",
            "/",
            "/etc/hostname",
            "//etc",
            "outward/secret",
            "outward/b/deep",
            "outward/new",
            "outward/.",
            "outward/empty/",
            "absolute/etc/hostname",
            "up/outside/secret",
            "up/root/file",
            "up/..",
            "loop/file",
        ] {
            for (method, errno) in all(&dir, Path::new(path)).await {
                // EISDIR is a slash behind what is to be created.
                let refused = [libc::EXDEV, libc::ELOOP, libc::ENOTDIR, libc::EISDIR];
                assert!(refused.contains(&errno), "{method} of {path}: {errno}");
            }
            tree.assert_outside_is_unchanged();
        }
        Ok(())
    });
}

#[test]
fn slash_behind_a_link_leads_nobody_out() {
    in_each_way("attacks::slash_behind_a_link_leads_nobody_out", async |_, _| {
        for link in ["outward/", "absolute/", "up/", "secret/", "outward//"] {
            let tree = Tree::new();
            let dir = tree.open().await?;
            for (method, errno) in all(&dir, Path::new(link)).await {
                // That one removes the link, as it does without a slash.
                assert!(errno != 0 || method == "remove_dir_all", "{method} of {link}");
            }
            tree.assert_outside_is_unchanged();
        }
        Ok(())
    });
}

#[test]
fn slash_behind_a_link_says_nothing_of_what_is_outside() {
    const TEST: &str = "attacks::slash_behind_a_link_says_nothing_of_what_is_outside";
    in_each_way(TEST, async |tree, watch| {
        let dir = tree.open().await?;
        let refused = match watch {
            Watch::Kernel => libc::EXDEV,
            Watch::Walk => libc::ENOTDIR,
        };
        std::os::unix::fs::symlink("../missing", tree.path("root/missing"))?;
        for link in ["outward/", "absolute/", "up/", "secret/", "missing/"] {
            for result in [
                dir.read_link(link).await.map(drop),
                dir.hard_link(link, &dir, "stolen").await,
                dir.symlink_metadata(link).await.map(drop),
                dir.exists(link).await.map(drop),
            ] {
                let errno = result.err().and_then(|error| error.raw_os_error());
                assert_eq!(errno, Some(refused), "{link}");
            }
        }
        Ok(())
    });
}

#[test]
fn names_that_no_file_can_have_are_errors() {
    in_each_way("attacks::names_that_no_file_can_have_are_errors", async |tree, _| {
        let dir = tree.open().await?;
        for path in ["a\0b", "a/\0", "\0/b"] {
            for (method, errno) in all(&dir, Path::new(path)).await {
                // A check of ours, before any call.
                assert_eq!(errno, -1, "{method} of {path:?}");
            }
        }
        for (path, allowed) in [
            (String::new(), libc::ENOENT),
            ("n".repeat(256), libc::ENAMETOOLONG),
            (format!("a/{}", "n".repeat(256)), libc::ENAMETOOLONG),
        ] {
            for (method, errno) in all(&dir, Path::new(&path)).await {
                let exists = method == "exists" && errno == 0 && path.is_empty();
                assert!(exists || errno == allowed, "{method} of {} bytes: {errno}", path.len());
            }
        }
        let long = "none/".repeat(1000) + "x";
        let errno = dir.read(&long).await.err().and_then(|error| error.raw_os_error());
        assert!(matches!(errno, Some(libc::ENAMETOOLONG | libc::ENOENT)), "{errno:?}");
        let name = Path::new(OsStr::from_bytes(b"\xff\xfe"));
        dir.write(name, "bytes").await?;
        dir.rename(name, &dir, Path::new("a").join(name)).await?;
        assert_eq!(dir.read(Path::new("a").join(name)).await?, b"bytes");
        Ok(())
    });
}

#[test]
fn dot_is_no_name_to_make_or_remove() {
    in_each_way("attacks::dot_is_no_name_to_make_or_remove", async |tree, _| {
        let dir = tree.open().await?;
        for path in [".", "./", "a/."] {
            assert!(dir.create_dir(path).await.is_err(), "{path}");
            assert!(dir.remove_dir(path).await.is_err(), "{path}");
            assert!(dir.remove_dir_all(path).await.is_err(), "{path}");
            assert!(dir.remove_file(path).await.is_err(), "{path}");
            assert!(dir.rename(path, &dir, "new").await.is_err(), "{path}");
            assert!(dir.symlink("file", path).await.is_err(), "{path}");
            dir.create_dir_all(path).await?;
        }
        assert_eq!(dir.read("a/b/deep").await?, b"deep", "nothing was removed");
        Ok(())
    });
}

#[test]
fn nothing_leaves_a_folder_while_it_is_exchanged_for_a_link() {
    const TEST: &str = "attacks::nothing_leaves_a_folder_while_it_is_exchanged_for_a_link";
    in_each_way(TEST, async |tree, _| {
        let dir = tree.open().await?;
        let exchanging = Exchanging::of(&tree);
        // All are asked until each has met the folder, and something has met the link.
        let (mut met, mut refused) = ([0; 8], 0);
        while met.contains(&0) || refused < 20 {
            let results = [
                dir.create_dir("a/new").await,
                dir.write("a/b/deep", "deep").await.map(drop).map_err(io::Error::from),
                dir.symlink("x", "a/link").await,
                dir.hard_link("file", &dir, "a/second").await,
                dir.set_permissions("a/b/deep", Permissions::from_mode(0o600)).await,
                match dir.read("a/b/deep").await {
                    Ok(bytes) => {
                        assert!(bytes.is_empty() || bytes == b"deep", "{bytes:?} is outside");
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                dir.rename("a/second", &dir, "second").await,
                match dir.remove_dir_all("a/new").await {
                    Ok(()) => dir.remove_file("a/link").await,
                    removed => removed,
                },
            ];
            assert_eq!(std::fs::read(tree.path("outside/b/deep"))?, b"outside");
            assert_eq!(std::fs::read_dir(tree.path("outside"))?.count(), 3);
            for (index, result) in results.into_iter().enumerate() {
                match result.map_err(|error| error.raw_os_error()) {
                    Ok(()) => met[index] += 1,
                    Err(Some(libc::EXDEV | libc::ENOTDIR | libc::ELOOP)) => refused += 1,
                    // Between two renames nothing is there; and what could not be removed is.
                    Err(Some(libc::ENOENT | libc::EEXIST)) => {}
                    Err(error) => panic!("{index}: {error:?}"),
                }
            }
        }
        drop(exchanging);
        assert!(!tree.path("outside/new").exists());
        let _ = std::fs::remove_file(tree.path("root/a/link"));
        tree.assert_outside_is_unchanged();
        let mode = std::fs::metadata(tree.path("outside/b/deep"))?.permissions().mode();
        assert_ne!(mode & 0o777, 0o600, "the mode of a file outside was changed");
        Ok(())
    });
}

/// A thread that puts a link that leads out in the place of the folder `a`, again and again.
struct Exchanging {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exchanging {
    fn of(tree: &Tree) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (inside, aside) = (tree.path("root/a"), tree.path("root/aside"));
        let (link, is_over) = (tree.path("root/outward"), over.clone());
        let thread = std::thread::spawn(move || {
            let rename = |from: &Path, to: &Path| std::fs::rename(from, to).expect("names change");
            while !is_over.load(Ordering::Relaxed) {
                rename(&inside, &aside);
                rename(&link, &inside);
                rename(&inside, &link);
                rename(&aside, &inside);
            }
        });
        Exchanging { over, thread: Some(thread) }
    }
}

impl Drop for Exchanging {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("it is joined once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "it does not panic");
    }
}

#[test]
fn want_of_descriptors_on_the_way_is_an_error_and_leaks_none() {
    const TEST: &str = "attacks::want_of_descriptors_on_the_way_is_an_error_and_leaks_none";
    if !child::is_child() {
        Child::of(TEST).limit(libc::RLIMIT_NOFILE, 64).passes();
        let without = Child::of(TEST).refuse(&[libc::SYS_openat2], libc::EPERM);
        return without.limit(libc::RLIMIT_NOFILE, 64).passes();
    }
    run(TEST, None, async || {
        let tree = Tree::new();
        let dir = tree.open().await?;
        let mut filled = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            filled.push(file);
        }
        for free in 0..6 {
            for left in ["root/a/b/new", "root/a/new"] {
                let _ = std::fs::remove_dir(tree.path(left));
            }
            for result in [
                dir.metadata("a/b/deep").await.map(drop),
                dir.read("a/b/deep").await.map(drop),
                dir.read_dir("a/b").await.map(drop),
                dir.create_dir("a/b/new").await,
                dir.rename("a/b/new", &dir, "a/new").await,
                dir.remove_dir_all("a/new").await,
            ] {
                let errno = result.err().and_then(|error| error.raw_os_error());
                let want = matches!(errno, Some(libc::EMFILE | libc::ENOENT));
                assert!(
                    if free == 5 { errno.is_none() } else { want || errno.is_none() },
                    "{errno:?}"
                );
            }
            let mut probe = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                probe.push(file);
            }
            assert_eq!(probe.len(), free, "a descriptor is lost");
            drop(probe);
            filled.pop();
        }
        io::Result::Ok(())
    });
}

#[test]
fn links_of_proc_to_what_is_open_are_not_followed() {
    in_each_way("attacks::links_of_proc_to_what_is_open_are_not_followed", async |tree, _| {
        let own = Dir::open("/proc/self").await?;
        let _secret = std::fs::File::open(tree.path("outside/secret"))?;
        let refused = [Some(libc::ELOOP), Some(libc::ENOTDIR)];
        for path in ["exe", "root/etc", "cwd/Cargo.toml", "fd/0", "task/../exe"] {
            for errno in [
                own.open_file(path).await.err().and_then(|error| error.raw_os_error()),
                own.metadata(path).await.err().and_then(|error| error.raw_os_error()),
            ] {
                let walked = errno == Some(libc::EXDEV) && path.contains("..");
                assert!(walked || refused.contains(&errno), "{path}: {errno:?}");
            }
        }
        assert!(own.symlink_metadata("exe").await?.is_symlink());
        assert_eq!(own.read_link("exe").await?, std::env::current_exe()?);
        Ok(())
    });
}

#[test]
fn folder_without_proc_says_what_it_lacks() {
    const TEST: &str = "attacks::folder_without_proc_says_what_it_lacks";
    if !child::is_child() {
        return Child::of(TEST).with_own_mounts().passes();
    }
    let (none, kind) = (c"none".as_ptr(), c"tmpfs".as_ptr());
    // SAFETY: all are strings; a file system of this kind needs no options.
    let mounted = unsafe { libc::mount(none, c"/proc".as_ptr(), kind, 0, std::ptr::null()) };
    assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
    run(TEST, None, async || {
        let tree = Tree::new();
        let dir = tree.open().await?;
        for lacking in [
            dir.read_dir("a").await.map(drop),
            dir.remove_dir_all("a").await,
            dir.set_permissions("file", Permissions::from_mode(0o600)).await,
        ] {
            let error = lacking.expect_err("it goes through /proc");
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains("/proc"), "{error}");
        }
        dir.rename("a/b/deep", &dir, "a/deeper").await?;
        assert_eq!(dir.read("a/deeper").await?, b"deep");
        io::Result::Ok(())
    });
}
