//! Folders that are open (`fs::Dir`): everything works below them, and nothing leaves them.
//!
//! Each test runs on both drivers where the kernel watches over paths, and in a process of its own where
//! `openat2(2)` is refused, so that epoll walks them name by name.

#[path = "../common/child.rs"]
mod child;

mod attacks;
mod below;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use corering::Driver;
use corering::fs::Dir;
use corering::test_support::{current_driver, run};

use child::Child;

/// A folder `root` with what tests work on, beside things that nobody may reach from it.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dirs-{}-{number}", std::process::id());
        let tree = Tree(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        for folder in ["root/a/b", "outside/b", "outside/empty"] {
            std::fs::create_dir_all(tree.path(folder)).expect("the build's folder is writable");
        }
        std::fs::write(tree.path("root/file"), "file").expect("it is writable");
        std::fs::write(tree.path("root/a/b/deep"), "deep").expect("it is writable");
        std::fs::write(tree.path("outside/b/deep"), "outside").expect("it is writable");
        std::fs::write(tree.path("outside/secret"), "outside").expect("it is writable");
        for (target, link) in [
            ("file", "inward"),
            ("b", "a/inward"),
            ("../outside", "outward"),
            ("../outside/secret", "secret"),
            ("/", "absolute"),
            ("..", "up"),
            ("none", "dangling"),
            ("loop", "loop"),
        ] {
            std::os::unix::fs::symlink(target, tree.path("root").join(link)).expect("links work");
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    async fn open(&self) -> io::Result<Dir> {
        Dir::open(self.path("root")).await
    }

    /// Whether what is outside is as it was.
    #[track_caller]
    fn assert_outside_is_unchanged(&self) {
        let mut names = Vec::new();
        for folder in ["outside", "outside/b", "outside/empty", ""] {
            for entry in std::fs::read_dir(self.path(folder)).expect("it is there") {
                names.push(entry.expect("it can be read").file_name());
            }
        }
        names.sort();
        assert_eq!(names, ["b", "deep", "empty", "outside", "root", "secret"]);
        for file in ["outside/b/deep", "outside/secret"] {
            assert_eq!(std::fs::read_to_string(self.path(file)).expect("it is there"), "outside");
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Who sees to it that a path stays below its folder.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Watch {
    Kernel,
    Walk,
}

/// Runs a body on each driver, with and without `openat2(2)`.
fn in_each_way(test: &str, body: impl AsyncFn(Tree, Watch) -> io::Result<()>) {
    let without = child::is_child();
    run(test, None, async || {
        let walks = without && current_driver() == Driver::Epoll;
        body(Tree::new(), if walks { Watch::Walk } else { Watch::Kernel }).await
    });
    if !without {
        for errno in [libc::ENOSYS, libc::EPERM] {
            Child::of(test).refuse(&[libc::SYS_openat2], errno).passes();
        }
    }
}
