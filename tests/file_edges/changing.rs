//! Files that grow, shrink, lose their names and are replaced while they are read.

use std::fs::{File as StdFile, OpenOptions as StdOptions};
use std::future::Future;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;

use corering::fs::{self, File};
use corering::yield_now;

use crate::{Folder, pattern};

const LEN: usize = 3_000_000;

/// Lets a future come so far that it was polled `polls` times. What it ended with, if it has.
async fn come_so_far<F: Future>(mut future: Pin<&mut F>, polls: usize) -> Option<F::Output> {
    for _ in 0..polls {
        if let Poll::Ready(output) = futures_util::poll!(&mut future) {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

fn to_change(path: &Path) -> io::Result<StdFile> {
    StdOptions::new().write(true).open(path)
}

#[corering::test]
async fn file_that_grows_is_read_to_one_of_its_ends() -> io::Result<()> {
    let folder = Folder::new();
    let grown = pattern(LEN * 2);
    for polls in 0..12 {
        let path = folder.file("file", &grown[..LEN]);
        let mut reading = Box::pin(fs::read(&path));
        let early = come_so_far(reading.as_mut(), polls).await;
        to_change(&path)?.write_all_at(&grown[LEN..], LEN as u64)?;
        let is_early = early.is_some();
        let read = match early {
            Some(read) => read?,
            None => reading.await?,
        };
        assert!(grown.starts_with(&read), "{} bytes after {polls} polls", read.len());
        // A read that was on its way may have found the end that was there before.
        let lens = if polls == 0 { LEN * 2..=LEN * 2 } else { LEN..=LEN * 2 };
        assert!(lens.contains(&read.len()) && (!is_early || read.len() == LEN));
    }
    Ok(())
}

#[corering::test]
async fn file_that_shrinks_is_read_up_to_where_it_ends() -> io::Result<()> {
    let folder = Folder::new();
    let content = pattern(LEN);
    for polls in 0..12 {
        let path = folder.file("file", &content);
        let mut reading = Box::pin(fs::read(&path));
        let early = come_so_far(reading.as_mut(), polls).await;
        to_change(&path)?.set_len(100_000)?;
        let read = match early {
            Some(read) => read?,
            None => reading.await?,
        };
        assert!(read.len() >= 100_000 && content.starts_with(&read), "{} bytes", read.len());
    }
    Ok(())
}

#[corering::test]
async fn exact_read_of_a_file_that_shrinks_says_what_came() -> io::Result<()> {
    let folder = Folder::new();
    let content = pattern(LEN);
    let path = folder.file("file", &content);
    let file = File::open(&path).await?;
    to_change(&path)?.set_len(1_000_000)?;
    let failed = file.read_exact_at(Vec::with_capacity(LEN), LEN, 10).await;
    let failed = failed.expect_err("it ends before");
    assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::UnexpectedEof, 999_990));
    assert!(failed.buf()[..] == content[10..1_000_000]);
    // And it grows again, with a hole.
    to_change(&path)?.set_len(LEN as u64)?;
    let read = file.read_exact_at(Vec::with_capacity(LEN), LEN, 0).await?;
    assert!(read[..1_000_000] == content[..1_000_000]);
    assert!(read[1_000_000..].iter().all(|&byte| byte == 0));
    Ok(())
}

#[corering::test]
async fn end_of_a_file_is_the_end_only_until_it_grows() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("log", b"");
    let file = File::open(&path).await?;
    let mut writer = StdOptions::new().append(true).open(&path)?;
    let mut offset = 0;
    for line in ["first\n", "second\n", "third\n"] {
        assert_eq!(file.read_at(Vec::with_capacity(100), offset).await?.0, 0);
        writer.write_all(line.as_bytes())?;
        let (count, read) = file.read_at(Vec::with_capacity(100), offset).await?;
        assert_eq!(read, line.as_bytes());
        offset += count as u64;
    }
    assert_eq!(file.metadata().await?.len(), offset);
    Ok(())
}

#[corering::test]
async fn open_file_stays_the_same_when_its_name_goes() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"the first");
    let first = File::options().read(true).write(true).open(&path).await?;
    fs::rename(folder.file("other", b"the second"), &path).await?;
    assert_eq!(fs::read(&path).await?, b"the second");
    assert_eq!(first.read_to_end().await?, b"the first");
    first.write_all_at("THE", 0).await?;
    assert_eq!(first.read_to_end().await?, b"THE first");
    assert_eq!(first.metadata().await?.nlink(), 0);
    assert_eq!(fs::read(&path).await?, b"the second");
    let second = File::open(&path).await?;
    fs::remove_file(&path).await?;
    fs::remove_dir(&folder).await?;
    assert_eq!(second.read_to_end().await?, b"the second");
    std::fs::create_dir(&folder)
}
