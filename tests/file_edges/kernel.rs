//! Files that the kernel makes up: in /proc and /sys, and devices.

use std::io::{self, ErrorKind};

use corering::fs::{self, File, OpenOptions};

/// A value in /sys that every machine has, and that stays as it is.
const VALUE: &str = "/sys/devices/system/cpu/possible";

#[corering::test]
async fn file_of_proc_is_read_whole_in_every_way() -> io::Result<()> {
    let path = "/proc/cpuinfo";
    // Some of it changes.
    let models = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("processor\t").count();
    let content = std::fs::read(path)?;
    let file = File::open(path).await?;
    assert_eq!(file.metadata().await?.len(), 0);
    assert!(file.metadata().await?.is_file());
    assert_eq!(models(&fs::read(path).await?), models(&content));
    assert_eq!(models(&file.read_to_end().await?), models(&content));
    assert_eq!(models(fs::read_to_string(path).await?.as_bytes()), models(&content));
    // Short reads, one after the other.
    let half = content.len() / 2;
    let exact = file.read_exact_at(Vec::with_capacity(half), half, 0).await?;
    assert_eq!(exact.len(), half);
    let failed = file.read_exact_at(Vec::with_capacity(1 << 20), 1 << 20, 0).await;
    let failed = failed.expect_err("it is shorter");
    assert_eq!(failed.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(failed.transferred(), failed.buf().len());
    assert_eq!(models(failed.buf()), models(&content));
    Ok(())
}

#[corering::test]
async fn file_of_proc_is_read_from_any_place() -> io::Result<()> {
    let content = std::fs::read("/proc/version")?;
    let file = File::open("/proc/version").await?;
    for offset in [0, 1, 7, content.len() - 1, content.len(), content.len() + 5000] {
        let (count, bytes) = file.read_at(Vec::with_capacity(10_000), offset as u64).await?;
        assert_eq!(bytes, content.get(offset..).unwrap_or_default(), "from {offset}");
        assert_eq!(count, bytes.len());
    }
    let bufs = vec![Vec::with_capacity(5), Vec::with_capacity(5000)];
    let (count, bufs) = file.read_vectored_at(bufs, 0).await?;
    assert_eq!((count, bufs.concat()), (content.len(), content));
    Ok(())
}

#[corering::test]
async fn value_of_sys_is_shorter_than_it_says() -> io::Result<()> {
    let content = std::fs::read(VALUE)?;
    let file = File::open(VALUE).await?;
    assert!(file.metadata().await?.len() > content.len() as u64);
    assert_eq!(fs::read(VALUE).await?, content);
    assert_eq!(file.read_to_end().await?, content);
    let failed = file.read_exact_at(Vec::with_capacity(4096), 4096, 0).await;
    let failed = failed.expect_err("it is shorter");
    assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::UnexpectedEof, content.len()));
    Ok(())
}

#[corering::test]
async fn value_of_the_kernel_is_written_as_one() -> io::Result<()> {
    // What is written is what is there, so nothing changes for others.
    let path = "/proc/self/oom_score_adj";
    let before = std::fs::read_to_string(path)?;
    let file = OpenOptions::new().read(true).write(true).open(path).await?;
    let (count, _) = file.write_at(before.clone(), 0).await?;
    assert_eq!(count, before.len());
    fs::write(path, before.clone()).await?;
    assert_eq!(fs::read_to_string(path).await?, before);
    let failed = file.write_all_at("no number", 0).await.expect_err("it takes numbers");
    assert_eq!((failed.kind(), *failed.buf()), (ErrorKind::InvalidInput, "no number"));
    assert_eq!(failed.transferred(), 0);
    Ok(())
}

#[corering::test]
async fn files_of_the_kernel_refuse_what_disks_do() -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open("/proc/self/comm").await?;
    let error = file.allocate(0, 100).await.expect_err("it has no room to reserve");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(file.read_to_end().await?, std::fs::read("/proc/self/comm")?);
    // Nobody may do these, so they fail for root, too.
    for outcome in [
        File::create("/proc/corering").await.map(drop),
        fs::remove_file("/proc/self/comm").await,
        fs::rename("/proc/version", "/proc/versions").await,
        fs::create_dir("/sys/corering").await,
    ] {
        let kind = outcome.expect_err("it stays as it is").kind();
        assert!(matches!(kind, ErrorKind::NotFound | ErrorKind::PermissionDenied), "{kind}");
    }
    Ok(())
}

#[corering::test]
async fn process_that_is_gone_leaves_error_and_no_bytes() -> io::Result<()> {
    let mut child =
        std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn()?;
    let file = File::open(format!("/proc/{}/stat", child.id())).await?;
    assert!(!file.read_to_end().await?.is_empty());
    drop(child.stdin.take());
    child.wait()?;
    let error = file.read_to_end().await.expect_err("it is gone");
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    Ok(())
}

/// Nothing is mapped at the first page of a process.
#[corering::test]
async fn memory_that_is_not_there_is_an_error_of_the_disk() -> io::Result<()> {
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem").await?;
    let failed = memory.read_at(vec![7; 10], 16).await.expect_err("nothing is mapped there");
    assert_eq!((failed.error.raw_os_error(), &failed.buf()[..]), (Some(libc::EIO), &[7; 10][..]));
    let bufs = vec![Vec::with_capacity(4), Vec::with_capacity(4)];
    let failed = memory.read_vectored_at(bufs, 16).await.expect_err("nothing is mapped there");
    assert_eq!((failed.error.raw_os_error(), failed.buf().len()), (Some(libc::EIO), 2));
    let failed = memory.read_exact_at(Vec::with_capacity(8), 8, 16).await.expect_err("as before");
    assert_eq!((failed.error.raw_os_error(), failed.transferred()), (Some(libc::EIO), 0));
    let error = memory.read_to_end().await.expect_err("as before");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    let failed = memory.write_all_at("text", 16).await.expect_err("nothing is mapped there");
    assert_eq!((failed.error.raw_os_error(), *failed.buf()), (Some(libc::EIO), "text"));
    let failed = memory.write_vectored_at(vec!["text"], 16).await.expect_err("as before");
    assert_eq!((failed.error.raw_os_error(), &failed.buf()[..]), (Some(libc::EIO), &["text"][..]));
    Ok(())
}

#[corering::test]
async fn device_without_room_takes_nothing_and_says_so() -> io::Result<()> {
    let full = OpenOptions::new().read(true).write(true).open("/dev/full").await?;
    let failed = full.write_at("text", 0).await.expect_err("nothing fits");
    assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::StorageFull, 0));
    let failed = fs::write("/dev/full", pattern_text()).await.expect_err("nothing fits");
    assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::StorageFull, 0));
    assert_eq!(failed.into_parts().1, pattern_text());
    let error = fs::copy("/proc/version", "/dev/full").await.expect_err("nothing fits");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(full.read_exact_at(vec![1; 4], 4, 0).await?, [0; 4]);
    Ok(())
}

fn pattern_text() -> Vec<u8> {
    crate::pattern(300_000)
}
