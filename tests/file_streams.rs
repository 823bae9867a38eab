//! Files that have no places: read and written through `File`, whatever offset is named.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use corering::fs::File;
use corering::time::within;

/// Takes over what a call has just opened.
fn opened(result: i32) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// Reads while nothing is there, which has to wait, and once more when `happen` has happened.
async fn read_when(
    file: &File,
    len: usize,
    happen: impl FnOnce() -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let early = within(Duration::from_millis(1), file.read_at(Vec::with_capacity(len), 0)).await;
    assert_eq!(early.expect_err("nothing has happened").error.kind(), ErrorKind::TimedOut);
    let read = file.read_at(Vec::with_capacity(len), 0);
    let read = corering::spawn(read);
    corering::yield_now().await;
    happen()?;
    Ok(read.await.expect("it does not panic")?.1)
}

#[corering::test]
async fn eventfd_is_read_and_written_by_every_call() -> io::Result<()> {
    // SAFETY: the call takes no pointer.
    let counter = opened(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
    let bell = File::from(counter.try_clone()?);
    let file = File::from(counter);
    let number = |number: u64| number.to_ne_bytes().to_vec();
    bell.write_at(number(3), 0).await?;
    assert_eq!(file.read_at(Vec::with_capacity(8), 0).await?.1, number(3));
    bell.write_all_at(number(4), 100).await?;
    assert_eq!(file.read_exact_at(Vec::with_capacity(8), 8, 100).await?, number(4));
    bell.write_vectored_at(vec![number(5)], 0).await?;
    assert_eq!(file.read_vectored_at(vec![Vec::with_capacity(8)], 0).await?.1, [number(5)]);
    let ring = async {
        corering::yield_now().await;
        bell.write_at(number(6), 0).await
    };
    let (read, rung) = futures_util::join!(file.read_at(Vec::with_capacity(8), 0), ring);
    rung?;
    assert_eq!(read?.1, number(6));
    Ok(())
}

#[corering::test]
async fn timerfd_is_read_when_it_has_expired() -> io::Result<()> {
    // SAFETY: the call takes no pointer.
    let timer = opened(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) })?;
    let setter = timer.try_clone()?;
    let file = File::from(timer);
    let read = read_when(&file, 8, || {
        let once = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec { tv_sec: 0, tv_nsec: 1 },
        };
        let fd = std::os::fd::AsRawFd::as_raw_fd(&setter);
        // SAFETY: the kernel reads the time during the call, and no old one is asked for.
        match unsafe { libc::timerfd_settime(fd, 0, &raw const once, std::ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
    assert_eq!(read.await?, 1_u64.to_ne_bytes());
    Ok(())
}

#[corering::test]
async fn clone_of_inotify_never_blocks_the_shard() -> io::Result<()> {
    // What is read by its mode alone.
    // SAFETY: the call takes no pointer.
    let file = File::from(opened(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })?);
    let clone = file.try_clone()?;
    let kind = async |handle: &File| {
        let read =
            within(Duration::from_millis(1), handle.read_at(Vec::with_capacity(64), 0)).await;
        read.expect_err("nothing is watched").kind()
    };
    assert_eq!(kind(&file).await, ErrorKind::TimedOut);
    let of_clone = kind(&clone).await;
    assert!(matches!(of_clone, ErrorKind::TimedOut | ErrorKind::Unsupported), "{of_clone}");
    // The mode is put back, on which the clone would have relied.
    drop(file);
    assert_eq!(kind(&clone).await, of_clone);
    Ok(())
}

#[corering::test]
async fn inotify_is_read_when_file_has_appeared() -> io::Result<()> {
    let folder = std::env::temp_dir().join(format!("corering-watched-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    // SAFETY: the call takes no pointer.
    let watch = opened(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })?;
    let path = std::ffi::CString::new(folder.to_str().expect("it is ASCII"))?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&watch);
    // SAFETY: the path ends with a NUL and outlives the call.
    if unsafe { libc::inotify_add_watch(fd, path.as_ptr(), libc::IN_CREATE) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let file = File::from(watch);
    let read = read_when(&file, 4096, || fs::write(folder.join("appears"), "")).await?;
    assert!(read.windows(7).any(|part| part == b"appears"), "{read:?}");
    fs::remove_dir_all(&folder)
}

#[corering::test]
async fn terminal_gives_one_line_after_the_other() -> io::Result<()> {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: both numbers are written during the call; nothing else is asked for or set.
    let result = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut keyboard = fs::File::from(opened(master)?);
    let file = File::from(opened(slave)?);
    let first = read_when(&file, 100, || keyboard.write_all(b"one\ntwo\n")).await?;
    assert_eq!(first, b"one\n");
    assert_eq!(file.read_at(Vec::with_capacity(100), 0).await?.1, b"two\n");
    keyboard.write_all(b"three\n")?;
    let read = file.read_vectored_at(vec![Vec::with_capacity(100)], 7).await?.1;
    assert_eq!(read, [b"three\n"]);
    // What is written there is echoed, and so were the lines; the terminal adds carriage returns.
    file.write_all_at("written", 3).await?;
    let mut shown = [0; 24];
    keyboard.read_exact(&mut shown)?;
    assert_eq!(&shown, b"one\r\ntwo\r\nthree\r\nwritten");
    Ok(())
}
