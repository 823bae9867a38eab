//! Tests of files as users hold them.

mod attributes;
mod cursor;
mod direct;
mod dropped;
mod folders;
mod handover;
mod held;
mod limits;
mod locks;
mod names;
mod room;
mod watch;

use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::buf::IoBuf;
use crate::op::test_files::Folder;
use crate::{spawn, yield_now};

/// Bytes that differ from place to place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n / 251 + n % 251) as u8).collect()
}

async fn opened(path: impl AsRef<Path>) -> File {
    OpenOptions::new().read(true).write(true).open(path).await.expect("it is there")
}

#[corering::test]
async fn what_is_written_is_read_back() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.join("file");
    let file = File::create(&path).await?;
    let buf = file.write_all_at(pattern(1_000_000), 0).await?;
    assert_eq!(buf, pattern(1_000_000));
    file.sync_data().await?;
    file.sync_all().await?;
    file.close().await?;
    let file = File::open(&path).await?;
    assert_eq!(file.read_to_end().await?, buf);
    let (count, part) = file.read_at(Vec::with_capacity(100).slice(..10), 500_000).await?;
    assert_eq!((count, &*part), (10, &buf[500_000..500_010]));
    Ok(())
}

#[corering::test]
async fn a_file_shorter_than_the_first_read_holds_no_more_memory_than_it_needs() -> io::Result<()> {
    let folder = Folder::new();
    let read = read(folder.file("file", b"short")).await?;
    assert_eq!(read, b"short");
    assert!(read.capacity() < 100);
    Ok(())
}

#[corering::test]
async fn whole_files_of_every_size_are_read_and_written() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.join("file");
    for len in [0, 1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 300_000] {
        write(&path, pattern(len)).await?;
        assert_eq!(read(&path).await?, pattern(len), "{len} bytes");
    }
    Ok(())
}

#[corering::test]
async fn a_file_whose_size_is_not_known_before_is_read_to_its_end() -> io::Result<()> {
    assert_eq!(metadata("/proc/self/maps").await?.len(), 0);
    let maps = read("/proc/self/maps").await?;
    assert!(maps.ends_with(b"\n") && maps.len() > 1000, "{} bytes", maps.len());
    Ok(())
}

#[corering::test]
async fn what_the_system_refuses_is_passed_on() {
    let folder = Folder::new();
    let missing = folder.join("missing");
    assert_eq!(File::open(&missing).await.expect_err("missing").kind(), ErrorKind::NotFound);
    assert_eq!(read(&missing).await.expect_err("missing").kind(), ErrorKind::NotFound);
    assert_eq!(read(&folder).await.expect_err("a folder").kind(), ErrorKind::IsADirectory);
    let within = folder.file("file", b"").join("below");
    assert_eq!(File::create(within).await.expect_err("a file").kind(), ErrorKind::NotADirectory);
    let failed = write(&folder, "text").await.expect_err("a folder");
    assert_eq!((failed.kind(), *failed.buf()), (ErrorKind::IsADirectory, "text"));
    let read_only = File::open(folder.join("file")).await.expect("it is there");
    let failed = read_only.write_at("text", 0).await.expect_err("not opened for it");
    assert_eq!((failed.error.raw_os_error(), *failed.buf()), (Some(libc::EBADF), "text"));
}

#[corering::test]
async fn a_full_disk_gives_the_buffer_back() {
    let full = opened("/dev/full").await;
    let failed = full.write_all_at(b"text".to_vec(), 0).await.expect_err("nothing fits");
    assert_eq!((failed.kind(), &failed.buf()[..]), (ErrorKind::StorageFull, &b"text"[..]));
    let failed = full.write_vectored_at(vec!["one", "two"], 0).await.expect_err("nothing fits");
    assert_eq!((failed.kind(), &failed.buf()[..]), (ErrorKind::StorageFull, &["one", "two"][..]));
}

#[corering::test]
async fn a_file_that_ends_before_the_buffer_is_full_says_how_much_came() -> io::Result<()> {
    let folder = Folder::new();
    let file = File::open(folder.file("file", b"0123456789")).await?;
    let exact = file.read_exact_at(vec![0; 4].into_boxed_slice(), 4, 6).await?;
    assert_eq!(*exact, *b"6789");
    let failed = file.read_exact_at(Vec::with_capacity(9), 5, 7).await.expect_err("it ends");
    let (error, buf) = failed.into_parts();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("after 3 of 5 bytes"), "{error}");
    assert_eq!(buf, b"789");
    assert_eq!(file.read_exact_at(Vec::new(), 0, 0).await?, b"");
    Ok(())
}

#[corering::test]
async fn read_without_room_is_an_error_and_not_the_end() -> io::Result<()> {
    let folder = Folder::new();
    let file = File::open(folder.file("file", b"0123456789")).await?;
    let failed = file.read_at(Vec::new(), 0).await.expect_err("there is no room");
    assert_eq!(failed.kind(), ErrorKind::InvalidInput);
    for bufs in [vec![], vec![Vec::new(); 2]] {
        let failed = file.read_vectored_at(bufs, 0).await.expect_err("there is no room");
        assert_eq!(failed.kind(), ErrorKind::InvalidInput);
    }
    let bufs = vec![Vec::new(), Vec::with_capacity(3)];
    assert_eq!(file.read_vectored_at(bufs, 2).await?.1[1], b"234");
    Ok(())
}

#[corering::test]
async fn exact_read_takes_so_many_bytes_whatever_the_capacity() -> io::Result<()> {
    let folder = Folder::new();
    let file = File::open(folder.file("file", b"0123456789")).await?;
    for mut buf in [Vec::with_capacity(8), vec![1; 8], vec![1; 2]] {
        buf.reserve_exact(8);
        assert_eq!(file.read_exact_at(buf, 5, 2).await?, b"23456");
    }
    let small = vec![7; 4].into_boxed_slice();
    let failed = file.read_exact_at(small, 5, 0).await.expect_err("5 are more than 4");
    assert_eq!((failed.kind(), &**failed.buf()), (ErrorKind::InvalidInput, &[7; 4][..]));
    Ok(())
}

#[corering::test]
async fn several_buffers_make_one_read_and_one_write() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    let file = opened(&path).await;
    let (count, bufs) = file.write_vectored_at(vec!["head ", "", "body ", "tail"], 3).await?;
    assert_eq!((count, bufs.len()), (14, 4));
    let bufs = vec![vec![0; 8].into_boxed_slice(), vec![0; 20].into_boxed_slice()];
    let (count, bufs) = file.read_vectored_at(bufs, 0).await?;
    assert_eq!((count, &*bufs[0], &bufs[1][..9]), (17, &b"\0\0\0head "[..], &b"body tail"[..]));
    Ok(())
}

#[corering::test]
async fn an_appending_file_is_written_at_its_end_whatever_the_offset() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("log", b"first ");
    let log = OpenOptions::new().append(true).create(true).open(&path).await?;
    log.write_all_at("second ", 0).await?;
    log.write_all_at("third", 1).await?;
    assert_eq!(read(path).await?, b"first second third");
    Ok(())
}

#[corering::test]
async fn options_that_contradict_each_other_are_refused_with_a_reason() {
    let refused = [
        (OpenOptions::new(), "to read, write or append"),
        (OpenOptions::new().read(true).create(true).clone(), "can be created"),
        (OpenOptions::new().append(true).truncate(true).clone(), "truncated or appended"),
    ];
    for (options, reason) in refused {
        let error = options.open("/dev/null").await.expect_err(reason);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[corering::test]
async fn a_new_file_is_made_once_and_with_its_mode() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.join("new");
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
    options.open(&path).await?;
    assert_eq!(
        options.open(&path).await.expect_err("it is there").kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(metadata(&path).await?.mode() & 0o777, 0o600);
    Ok(())
}

#[corering::test]
async fn a_hole_reads_as_zeroes_and_takes_no_room() -> io::Result<()> {
    let folder = Folder::new();
    let file = opened(folder.file("sparse", b"")).await;
    file.write_all_at("end", 10_000_000).await?;
    let metadata = file.metadata().await?;
    assert_eq!(metadata.len(), 10_000_003);
    assert!(metadata.blocks() * 512 < 1_000_000, "{metadata:?}");
    let hole = file.read_exact_at(vec![1; 4096], 4096, 5_000_000).await?;
    assert!(hole.iter().all(|&byte| byte == 0));
    Ok(())
}

#[corering::test]
async fn room_is_reserved_before_it_is_written() -> io::Result<()> {
    let folder = Folder::new();
    let file = opened(folder.file("file", b"text")).await;
    file.allocate(0, 1_000_000).await?;
    let metadata = file.metadata().await?;
    assert_eq!(metadata.len(), 1_000_000);
    assert!(metadata.blocks() * 512 >= 1_000_000, "{metadata:?}");
    assert_eq!(file.allocate(0, 0).await.expect_err("nothing").kind(), ErrorKind::InvalidInput);
    Ok(())
}

#[corering::test]
async fn a_file_beyond_four_gibibytes_is_like_any_other() -> io::Result<()> {
    const FAR: u64 = (1 << 32) + 12_345;
    let folder = Folder::new();
    let file = opened(folder.file("large", b"")).await;
    file.write_all_at("far away", FAR).await?;
    assert_eq!(file.metadata().await?.len(), FAR + 8);
    let read = file.read_exact_at(Vec::with_capacity(8), 8, FAR).await?;
    assert_eq!(&*read, b"far away");
    file.set_len(FAR + 3).await?;
    let (count, buf) = file.read_at(Vec::with_capacity(8), FAR).await?;
    assert_eq!((count, &buf[..]), (3, &b"far"[..]));
    Ok(())
}

#[corering::test]
async fn a_length_that_no_file_has_is_refused() {
    let folder = Folder::new();
    let file = opened(folder.file("file", b"")).await;
    let error = file.set_len(u64::MAX).await.expect_err("it is negative for the kernel");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let failed = file.read_at(Vec::with_capacity(1), u64::MAX).await.expect_err("not the position");
    assert_eq!(failed.kind(), ErrorKind::InvalidInput);
}

#[corering::test]
async fn metadata_is_what_the_standard_library_sees() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"12345");
    std::fs::hard_link(&path, folder.join("other"))?;
    let theirs = std::fs::metadata(&path)?;
    for ours in [metadata(&path).await?, File::open(&path).await?.metadata().await?] {
        assert_eq!((ours.len(), ours.ino(), ours.dev()), (5, theirs.ino(), theirs.dev()));
        assert_eq!((ours.mode(), ours.nlink()), (theirs.mode(), 2));
        assert_eq!((ours.uid(), ours.gid()), (theirs.uid(), theirs.gid()));
        assert_eq!(ours.blocks(), theirs.blocks());
        assert_eq!(ours.blksize(), theirs.blksize());
        assert_eq!(ours.modified(), theirs.modified()?);
        assert_eq!(ours.accessed(), theirs.accessed()?);
        assert_eq!(ours.created(), theirs.created().ok());
        assert!(ours.is_file() && !ours.is_dir() && !ours.is_symlink());
    }
    let null = metadata("/dev/null").await?;
    assert_eq!(null.rdev(), std::fs::metadata("/dev/null")?.rdev());
    assert!(!null.is_file());
    Ok(())
}

#[corering::test]
async fn a_file_comes_from_and_goes_to_the_standard_library() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    let file = File::from(std::fs::File::open(path)?);
    assert_eq!(file.read_to_end().await?, b"text");
    let reading = file.read_at(Vec::with_capacity(4), 0);
    let file = file.try_into_std().expect_err("a read is not done");
    reading.await?;
    let mut text = String::new();
    file.try_into_std().expect("nothing is in flight").read_to_string(&mut text)?;
    assert_eq!(text, "text");
    Ok(())
}

#[corering::test]
async fn closing_while_a_read_is_not_done_says_so_and_closes_later() -> io::Result<()> {
    let (reader, mut writer) = io::pipe()?;
    let file = File::from(OwnedFd::from(reader));
    let reading = file.read_at(Vec::with_capacity(4), 0);
    let error = file.close().await.expect_err("a read is not done");
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    io::Write::write_all(&mut writer, b"text")?;
    assert_eq!(reading.await?.1, b"text");
    let error = io::Write::write_all(&mut writer, b"more").expect_err("the reader is closed");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    Ok(())
}

#[corering::test]
async fn a_pipe_is_read_and_written_in_order_whatever_the_offset() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (File::from(OwnedFd::from(reader)), File::from(OwnedFd::from(writer)));
    // More than a pipe holds, so that both have to wait for each other.
    let sent = pattern(1_000_000);
    let writing = spawn(async move {
        let sent = writer.write_all_at(sent, 77).await?;
        writer.close().await?;
        Ok::<_, io::Error>(sent)
    });
    let (head, part) = (reader.read_exact_at(vec![0; 9], 9, 5).await?, 9);
    let rest = reader.read_to_end().await?;
    let sent = writing.await.expect("the task ends")?;
    assert_eq!((&*head, &rest[..]), sent.split_at(part));
    Ok(())
}

#[corering::test]
async fn a_fifo_opened_by_its_path_is_waited_for_as_a_pipe_is() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status()?;
    assert!(made.success());
    let writer = spawn({
        let path = path.clone();
        async move {
            let writer = OpenOptions::new().write(true).open(path).await?;
            yield_now().await;
            writer.write_all_at("through the fifo", 0).await?;
            writer.close().await
        }
    });
    let reader = File::open(&path).await?;
    assert_eq!(reader.read_to_end().await?, b"through the fifo");
    writer.await.expect("the task ends")
}

#[test]
fn without_a_runtime_every_operation_is_an_error_that_says_so() {
    let file = File::from(std::fs::File::open("/dev/zero").expect("it is there"));
    let mut reading = std::pin::pin!(file.read_at(vec![1], 0));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(read) = std::future::Future::poll(reading.as_mut(), &mut cx) else {
        panic!("there is nothing to wait for");
    };
    let failed = read.expect_err("there is no runtime");
    assert!(failed.to_string().contains("no corering runtime"), "{failed}");
    assert_eq!(*failed.buf(), [1]);
}
