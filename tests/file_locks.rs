//! Locks of files between two processes: a child that waits for one, has it, and is killed.

#[path = "common/child.rs"]
mod child;

use std::fs::TryLockError;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use child::{Child, is_child};
use corering::fs::File;
use corering::{Runtime, test_support};

const PATH: &str = "CORERING_TEST_PATH";
const DRIVER: &str = "CORERING_TEST_NUMBER_OF_DRIVER";

/// Says a word to the parent, on a line of its own.
fn say(word: &str) {
    println!("\n{word}");
    io::stdout().flush().expect("the parent listens");
}

/// What the child does: it finds the file locked, waits for it, and keeps it.
async fn lock_and_keep(path: PathBuf) -> io::Result<()> {
    let file = File::open(path).await?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => say("refused"),
        other => panic!("the parent has it locked, but {other:?}"),
    }
    file.lock().await?;
    say("locked");
    std::future::pending().await
}

fn wait_for_word(lines: &mut impl Iterator<Item = io::Result<String>>, word: &str) {
    let mut words = lines.map(|line| line.expect("the child writes text"));
    assert!(words.any(|line| line == word), "the child never said {word}");
}

#[test]
fn child_waits_for_the_lock_and_leaves_it_at_its_end() {
    let drivers = test_support::drivers();
    if is_child() {
        let var = |name| std::env::var(name).expect("the parent says it");
        let driver = drivers[var(DRIVER).parse::<usize>().expect("a number")];
        let runtime = Runtime::builder().driver(driver).build().expect("the driver works");
        let path = PathBuf::from(var(PATH));
        return runtime.block_on(lock_and_keep(path)).expect("the file can be locked");
    }
    for (number, driver) in drivers.into_iter().enumerate() {
        let name = format!("file-locks-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let runtime = Runtime::builder().driver(driver).build().expect("the driver works");
        runtime.block_on(async {
            let file = File::create(&path).await.expect("the folder is writable");
            file.lock().await.expect("nobody else knows it");
            let child = Child::of("child_waits_for_the_lock_and_leaves_it_at_its_end");
            let child = child.env(DRIVER, &number.to_string());
            let mut child = child.env(PATH, path.to_str().expect("it is text")).spawn();
            let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
            wait_for_word(&mut lines, "refused");
            file.unlock().expect("it was locked");
            wait_for_word(&mut lines, "locked");
            assert!(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
            let waiting = corering::spawn(file.lock());
            corering::yield_now().await;
            assert!(!waiting.is_finished(), "the child has it");
            child.kill().expect("it goes on");
            waiting.await.expect("it does not panic").expect("the child is gone");
            child.wait().expect("it was killed");
        });
        std::fs::remove_file(&path).expect("it is ours");
    }
}
