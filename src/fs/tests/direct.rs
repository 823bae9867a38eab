//! Files opened with `O_DIRECT`.

use std::io::{self, ErrorKind};

use super::{Folder, pattern};
use crate::buf::AlignedBuf;
use crate::fs::{Cursor, DirectAlignment, File, OpenOptions};
use crate::io::{Lend, OwnedRead, OwnedWrite};

/// A file of so many bytes, and what it needs; `None` where temporary files are on a file system
/// that does not read past its cache, or does not say how.
async fn direct(folder: &Folder, len: usize) -> Option<(File, DirectAlignment)> {
    let path = folder.file("file", &pattern(len));
    let options = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).clone();
    let file = options.open(path).await.ok()?;
    let needed = file.metadata().await.ok()?.direct_alignment()?;
    Some((file, needed))
}

#[corering::test]
async fn aligned_buffers_are_read_and_written_past_the_cache() -> io::Result<()> {
    let folder = Folder::new();
    let Some((file, _)) = direct(&folder, 20_000).await else { return Ok(()) };
    let buf = file.read_exact_at(AlignedBuf::new(8192, 4096), 8192, 4096).await?;
    assert_eq!(&*buf, &pattern(20_000)[4096..12_288]);
    let (count, buf) = file.write_at(buf, 0).await?;
    assert_eq!(count, 8192);
    let (_, again) = file.read_at(AlignedBuf::new(8192, 4096), 0).await?;
    assert_eq!(*again, *buf);
    Ok(())
}

/// How often the kernel was entered while `count` reads began, before any of them was waited for.
async fn enters_while_begun(file: &File, count: usize) -> u64 {
    // What the round has staged before is gone then.
    crate::yield_now().await;
    let before = crate::metrics().enters;
    let mut reads: Vec<_> =
        (0..count).map(|_| Box::pin(file.read_at(AlignedBuf::new(4096, 4096), 0))).collect();
    for read in &mut reads {
        let _ = futures_util::poll!(read);
    }
    let enters = crate::metrics().enters - before;
    futures_util::future::join_all(reads).await;
    enters
}

#[corering::test(driver = "uring")]
async fn reads_past_the_cache_are_with_the_disk_before_the_round_ends() -> io::Result<()> {
    let folder = Folder::new();
    let Some((file, _)) = direct(&folder, 4096).await else { return Ok(()) };
    assert_eq!(enters_while_begun(&file, 9).await, 2);
    // The more the disk has, the longer it can wait.
    assert_eq!(enters_while_begun(&file, 40).await, 7);
    // What has ended or was dropped does not count as what the disk has.
    for _ in 0..50 {
        let _ = futures_util::poll!(Box::pin(file.read_at(AlignedBuf::new(4096, 4096), 0)));
    }
    assert_eq!(enters_while_begun(&file, 9).await, 2);
    while crate::metrics().operations_in_flight > 0 {
        crate::yield_now().await;
    }
    let taken_over = File::from(file.try_into_std().expect("no operation is left"));
    assert_eq!(enters_while_begun(&taken_over, 9).await, 2);
    let cached = File::open(folder.file("cached", &pattern(4096))).await?;
    assert_eq!(enters_while_begun(&cached, 9).await, 0);
    Ok(())
}

#[corering::test]
async fn a_wrong_alignment_is_an_error_that_names_the_right_one() {
    let folder = Folder::new();
    let Some((file, needed)) = direct(&folder, 20_000).await else { return };
    let offset = needed.offset();
    let named = format!("multiples of {offset}, and memory aligned to {} ", needed.memory());

    let failed = file.read_at(AlignedBuf::new(4096, 4096), 100).await.expect_err("the offset");
    assert_eq!(failed.kind(), ErrorKind::InvalidInput);
    assert!(failed.to_string().contains(&named), "{failed}");
    assert!(failed.to_string().ends_with("but the offset is 100"), "{failed}");
    assert_eq!(failed.buf().alignment(), 4096);

    let failed = file.write_at(AlignedBuf::copied_from(&[1; 100], 4096), 0).await;
    let failed = failed.expect_err("the length");
    assert!(failed.to_string().ends_with("the length is a multiple of 4 only"), "{failed}");

    let bufs = vec![AlignedBuf::new(4096, 4096), AlignedBuf::new(1000, 4096)];
    let failed = file.read_vectored_at(bufs, 0).await.expect_err("the second length");
    assert!(failed.to_string().contains(&named), "{failed}");
    assert_eq!(failed.buf().len(), 2);
}

#[corering::test]
async fn the_end_of_a_file_within_a_block_is_an_end_and_no_wrong_alignment() {
    let folder = Folder::new();
    let Some((file, _)) = direct(&folder, 5000).await else { return };
    let failed =
        file.read_exact_at(AlignedBuf::new(8192, 4096), 8192, 0).await.expect_err("it ends");
    assert_eq!(failed.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(failed.buf()[..], *pattern(5000));
}

#[corering::test]
async fn an_offset_that_no_file_has_is_no_wrong_alignment() {
    let folder = Folder::new();
    let Some((file, _)) = direct(&folder, 5000).await else { return };
    let failed = file.read_at(AlignedBuf::new(4096, 4096), 1 << 63).await.expect_err("too far");
    assert_eq!(failed.error.raw_os_error(), Some(libc::EINVAL));
}

#[corering::test]
async fn cursor_takes_aligned_buffers_and_reads_nothing_ahead_of_them() -> io::Result<()> {
    let folder = Folder::new();
    let Some((file, _)) = direct(&folder, 20_000).await else { return Ok(()) };
    let mut cursor = Cursor::new(file);
    let (count, buf) = cursor.read(AlignedBuf::new(8192, 4096)).await?;
    assert_eq!((count, &*buf), (8192, &pattern(8192)[..]));
    assert_eq!(cursor.write(buf).await?.0, 8192);
    assert_eq!(cursor.position(), 16_384);
    // A `Vec` begins 16 bytes behind a page, or at one by chance.
    if let Err(error) = cursor.lend().await {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("align"), "{error}");
    }
    Ok(())
}
