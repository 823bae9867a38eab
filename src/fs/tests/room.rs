//! The room that a file takes, and its pages in memory.

use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};

use super::{Folder, opened, pattern};
use crate::fs::{Advice, File, OpenOptions};

/// No file has one so large.
const NO_OFFSETS: [u64; 2] = [1 << 63, u64::MAX];

#[corering::test]
async fn punched_hole_reads_as_zeroes_and_gives_room_back() -> io::Result<()> {
    let folder = Folder::new();
    let file = opened(folder.file("file", &pattern(1 << 20))).await;
    file.sync_all().await?;
    let before = file.metadata().await?;
    file.punch_hole(4096, 900_000).await?;
    let after = file.metadata().await?;
    assert_eq!(after.len(), before.len());
    assert!(after.blocks() + 1_500 < before.blocks(), "{before:?} {after:?}");
    let mut expected = pattern(1 << 20);
    expected[4096..904_096].fill(0);
    assert_eq!(file.read_to_end().await?, expected);
    // Within one block, and beyond the end.
    file.punch_hole(1, 2).await?;
    file.punch_hole((1 << 20) - 1, 1 << 40).await?;
    expected[1..3].fill(0);
    expected[(1 << 20) - 1] = 0;
    assert_eq!(file.read_to_end().await?, expected);
    Ok(())
}

#[corering::test]
async fn hole_where_there_can_be_none_is_an_error() -> io::Result<()> {
    let folder = Folder::new();
    let file = opened(folder.file("file", b"text")).await;
    for (offset, len) in [(0, 0), (NO_OFFSETS[0], 1), (NO_OFFSETS[1], 1), (0, NO_OFFSETS[0])] {
        let error = file.punch_hole(offset, len).await.expect_err("there is no such part");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{len} from {offset}");
    }
    let beyond = file.punch_hole(i64::MAX as u64, 1).await.expect_err("it ends beyond all files");
    assert_eq!(beyond.kind(), ErrorKind::FileTooLarge);
    assert_eq!(file.read_to_end().await?, b"text");

    let errno = async |file: File| {
        let error = file.punch_hole(0, 1).await.expect_err("it has no room to give back");
        error.raw_os_error()
    };
    let read_only = File::open(folder.join("file")).await?;
    assert_eq!(errno(read_only).await, Some(libc::EBADF));
    let (_reader, pipe) = io::pipe()?;
    assert_eq!(errno(File::from(OwnedFd::from(pipe))).await, Some(libc::ESPIPE));
    assert_eq!(errno(opened("/dev/null").await).await, Some(libc::ENODEV));
    let process = OpenOptions::new().write(true).open("/proc/self/comm").await?;
    assert_eq!(errno(process).await, Some(libc::EOPNOTSUPP));
    Ok(())
}

#[corering::test]
async fn advice_of_every_kind_leaves_the_file_as_it_was() -> io::Result<()> {
    let folder = Folder::new();
    let file = opened(folder.file("file", &pattern(100_000))).await;
    let all = [
        Advice::Normal,
        Advice::Sequential,
        Advice::Random,
        Advice::WillNeed,
        Advice::DontNeed,
        Advice::NoReuse,
    ];
    for advice in all {
        for (offset, len) in [(0, 0), (5000, 70_000), (1 << 40, 1 << 40), (0, u64::MAX)] {
            file.advise(offset, len, advice).await?;
        }
        for offset in NO_OFFSETS {
            let error = file.advise(offset, 1, advice).await.expect_err("no file has it");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{advice:?}");
        }
        assert_eq!(file.read_to_end().await?, pattern(100_000), "{advice:?}");
    }
    // What is made at each read has no pages, and takes advice all the same.
    File::open("/proc/self/status").await?.advise(0, 0, Advice::WillNeed).await?;
    let (reader, _writer) = io::pipe()?;
    let pipe = File::from(OwnedFd::from(reader));
    let error = pipe.advise(0, 0, Advice::Random).await.expect_err("it has no offsets");
    assert_eq!(error.kind(), ErrorKind::NotSeekable);
    Ok(())
}

#[corering::test]
async fn advice_not_needed_empties_the_page_cache() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let folder = Folder::new();
    let file = opened(folder.file("file", &pattern(100_000))).await;
    file.sync_all().await?;
    let raw = file.as_fd().as_raw_fd();
    let is_cached = || crate::sys::file::has_pages(raw, 0, 100_000);
    if !is_cached() {
        // A kernel before 6.5, which does not tell.
        return Ok(());
    }
    file.advise(0, 0, Advice::DontNeed).await?;
    if is_cached() {
        // A file system of memory, which gives nothing up.
        return Ok(());
    }
    file.advise(0, 0, Advice::WillNeed).await?;
    file.read_to_end().await?;
    assert!(is_cached());
    Ok(())
}

#[corering::test]
async fn part_of_a_file_is_written_to_the_disk() -> io::Result<()> {
    let folder = Folder::new();
    let file = opened(folder.file("file", &pattern(100_000))).await;
    for (offset, len) in [(0, 0), (5000, 70_000), (1 << 40, 1 << 40), (0, u64::MAX)] {
        file.sync_range(offset, len).await?;
    }
    assert_eq!(file.read_to_end().await?, pattern(100_000));
    File::open(folder.join("file")).await?.sync_range(0, 0).await?;
    for offset in NO_OFFSETS {
        let error = file.sync_range(offset, 1).await.expect_err("no file has it");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let error = opened("/dev/null").await.sync_range(0, 0).await.expect_err("it has no pages");
    assert_eq!(error.kind(), ErrorKind::NotSeekable);
    Ok(())
}

/// A file of a megabyte, with data at its begin and from 512 KiB on.
async fn sparse(folder: &Folder) -> io::Result<File> {
    let file = opened(folder.file("file", &pattern(1 << 20))).await;
    file.punch_hole(65_536, 458_752).await?;
    Ok(file)
}

#[corering::test]
async fn data_and_holes_are_found_one_after_the_other() -> io::Result<()> {
    let folder = Folder::new();
    let file = sparse(&folder).await?;
    assert_eq!(file.seek_data(0).await?, Some(0));
    assert_eq!(file.seek_hole(0).await?, Some(65_536));
    assert_eq!(file.seek_data(65_536).await?, Some(524_288));
    assert_eq!(file.seek_data(600_000).await?, Some(600_000));
    assert_eq!(file.seek_hole(524_288).await?, Some(1 << 20));
    assert_eq!(file.seek_hole((1 << 20) - 1).await?, Some(1 << 20));
    for end in [1 << 20, 1 << 40, i64::MAX as u64] {
        assert_eq!(file.seek_data(end).await?, None, "{end}");
        assert_eq!(file.seek_hole(end).await?, None, "{end}");
    }
    file.set_len(1 << 40).await?;
    assert_eq!(file.seek_data(1 << 20).await?, None);
    assert_eq!(file.seek_hole(1 << 39).await?, Some(1 << 39));
    file.write_all_at("far away", 5 << 32).await?;
    assert_eq!(file.seek_data(1 << 20).await?, Some(5 << 32));
    Ok(())
}

#[corering::test]
async fn search_moves_no_position_of_those_that_share_the_file() -> io::Result<()> {
    let folder = Folder::new();
    let file = sparse(&folder).await?;
    // Nobody else has it: it is searched as it is, and the position is put back.
    assert_eq!(file.seek_data(100_000).await?, Some(524_288));
    let mut shared = std::fs::File::from(file.as_fd().try_clone_to_owned()?);
    assert_eq!(shared.stream_position()?, 0);
    shared.seek(SeekFrom::Start(77))?;
    assert_eq!(file.seek_data(100_000).await?, Some(524_288));
    assert_eq!(file.seek_hole(0).await?, Some(65_536));
    assert_eq!(shared.stream_position()?, 77);
    // It came from outside, and has no name any more.
    let came = File::from(shared.try_clone()?);
    std::fs::remove_file(folder.join("file"))?;
    assert_eq!(came.seek_data(100_000).await?, Some(524_288));
    assert_eq!(shared.stream_position()?, 77);
    // Opened for writing alone.
    let written = OpenOptions::new().write(true).open(folder.file("written", b"text")).await?;
    let shared = written.try_clone()?;
    assert_eq!(shared.seek_hole(0).await?, Some(4));
    Ok(())
}

#[corering::test]
async fn search_where_there_is_no_offset_is_an_error() -> io::Result<()> {
    let folder = Folder::new();
    let file = sparse(&folder).await?;
    for offset in NO_OFFSETS {
        let error = file.seek_data(offset).await.expect_err("no file has it");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = file.seek_hole(offset).await.expect_err("no file has it");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let (reader, _writer) = io::pipe()?;
    let pipe = File::from(OwnedFd::from(reader));
    let error = pipe.seek_data(0).await.expect_err("it has no offsets");
    assert_eq!(error.kind(), ErrorKind::NotSeekable);
    for path in ["/dev/null", "/proc/self"] {
        let error = File::open(path).await?.seek_data(0).await.expect_err("it has no data");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
    }
    // What is made at each read: the kernel does not say what is data, or takes it all for that.
    match File::open("/proc/self/status").await?.seek_data(0).await {
        Ok(found) => assert_eq!(found, None),
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
    }
    Ok(())
}
