//! A file, and several buffers at once, to a socket, on both drivers.

#[path = "common/files.rs"]
mod files;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use corering::fs::File;
use corering::io::Watched;
use corering::net::{TcpStream, UnixStream, WriteAbandoned};
use corering::time::sleep;
use corering::yield_now;
use files::{content, file_of_memory, file_with_cold_bytes, is_told_of_memory};
use futures_util::future::{Either, select};

async fn file_of(bytes: Vec<u8>) -> File {
    // On a disk: not every file system of memory tells what the page cache has.
    File::from(file_with_cold_bytes(&bytes, 0..0).expect("the disk has room"))
}

fn pair() -> (UnixStream, StdStream) {
    let (ours, theirs) = StdStream::pair().expect("a pair can be made");
    (UnixStream::from(OwnedFd::from(ours)), theirs)
}

#[corering::test]
async fn a_part_of_a_file_arrives_as_it_is() -> std::io::Result<()> {
    let bytes = content(1_000_000);
    let file = file_of(bytes.clone()).await;
    for (offset, len) in [(0, 1_000_000), (0, 1), (5, 65_536), (123_456, 700_001), (999_999, 1)] {
        let (mut ours, mut theirs) = pair();
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).map(|_| received)
        });
        assert_eq!(ours.send_file(&file, offset, len).await?, len);
        ours.shutdown(Shutdown::Write).await?;
        let received = reader.join().expect("the reader does not panic")?;
        assert!(received == bytes[offset as usize..][..len as usize], "from {offset}, {len} bytes");
    }
    Ok(())
}

#[corering::test]
async fn what_is_not_in_memory_arrives_with_what_is() -> std::io::Result<()> {
    let bytes = content(400_000);
    for cold in [0..0, 0..65_536, 0..200_000, 65_536..300_000, 200_000..400_000, 0..400_000] {
        let file = File::from(file_with_cold_bytes(&bytes, cold.clone())?);
        let (mut ours, mut theirs) = pair();
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).map(|_| received)
        });
        assert_eq!(ours.send_file(&file, 0, 1 << 40).await?, 400_000);
        ours.shutdown(Shutdown::Write).await?;
        let received = reader.join().expect("the reader does not panic")?;
        assert!(received == bytes, "with {cold:?} cold");
    }
    Ok(())
}

#[corering::test(driver = "uring")]
async fn what_is_known_to_be_in_memory_is_sent_at_once() -> std::io::Result<()> {
    for std_file in [file_with_cold_bytes(&content(40_000), 0..0)?, file_of_memory(40_000)?] {
        let told = is_told_of_memory(&std_file, 0);
        let file = File::from(std_file);
        let (mut ours, mut theirs) = pair();
        yield_now().await;
        let before = corering::metrics().submitted;
        assert_eq!(ours.send_file(&file, 0, 40_000).await?, 40_000);
        // Where the file system does not tell what is in memory, the ring has to read.
        assert_eq!(corering::metrics().submitted == before, told);
        let mut received = vec![0; 40_000];
        theirs.read_exact(&mut received)?;
        assert!(received == content(40_000));
    }
    Ok(())
}

#[corering::test]
async fn the_end_of_the_file_ends_the_sending() -> std::io::Result<()> {
    let file = file_of(content(100_000)).await;
    let (mut ours, mut theirs) = pair();
    let reader = thread::spawn(move || {
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).map(|_| received.len())
    });
    assert_eq!(ours.send_file(&file, 40_000, u64::MAX).await?, 60_000);
    assert_eq!(ours.send_file(&file, 100_000, 10).await?, 0);
    assert_eq!(ours.send_file(&file, u64::MAX - 5, 10).await.unwrap_or(0), 0);
    assert_eq!(ours.send_file(&file, 0, 0).await?, 0);
    ours.shutdown(Shutdown::Write).await?;
    assert_eq!(reader.join().expect("the reader does not panic")?, 60_000);
    Ok(())
}

#[corering::test]
async fn dropped_in_the_middle_it_leaves_word_of_what_was_sent() -> std::io::Result<()> {
    let bytes = content(8_000_000);
    let file = file_of(bytes.clone()).await;
    let (mut ours, mut theirs) = pair();
    let arrived = Watched::new(OwnedFd::from(theirs.try_clone()?));
    let arrived = async {
        arrived.readable().await.expect("a socket can be watched");
        sleep(Duration::from_millis(20)).await;
    };
    // Nobody reads, so it cannot end.
    match select(pin!(ours.send_file(&file, 0, 8_000_000)), pin!(arrived)).await {
        Either::Left((sent, _)) => panic!("the socket took 8 MB: {sent:?}"),
        Either::Right(((), _)) => {}
    }
    let failed = ours.write_all("after").await.expect_err("the caller must hear of it");
    let abandoned = WriteAbandoned::of(&failed.error).expect("it says what became of the file");
    assert!(abandoned.written > 0);
    let reader = thread::spawn(move || {
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).map(|_| received)
    });
    ours.write_all("after").await?;
    ours.shutdown(Shutdown::Write).await?;
    let received = reader.join().expect("the reader does not panic")?;
    let (file_part, after) = received.split_at(abandoned.written);
    assert!(file_part == &bytes[..abandoned.written]);
    assert_eq!(after, b"after");
    Ok(())
}

#[corering::test]
async fn dropped_after_any_number_of_polls_it_leaves_word_of_every_byte() -> std::io::Result<()> {
    let bytes = content(700_000);
    let file = file_of(bytes.clone()).await;
    // A head that leaves with the file, and one that the socket does not take at once.
    for head_bytes in [0, 100, 500_000] {
        dropped_with(content(head_bytes), &file, &bytes).await?;
    }
    // What is short, and what the ring has to read.
    dropped_with(content(100), &file_of(content(9_000)).await, &content(9_000)).await?;
    let read = File::from(file_of_memory(700_000)?);
    dropped_with(content(100), &read, &bytes).await
}

async fn dropped_with(head: Vec<u8>, file: &File, in_file: &[u8]) -> std::io::Result<()> {
    let bytes = [&head, in_file].concat();
    for polls in 1..50 {
        let (mut ours, mut theirs) = pair();
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).map(|_| received)
        });
        {
            let mut sending =
                pin!(ours.send_file_after(head.clone(), file, 0, in_file.len() as u64));
            let mut left = polls;
            poll_fn(|cx| match sending.as_mut().poll(cx) {
                Poll::Pending if left > 1 => {
                    left -= 1;
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
            .await;
        }
        let written = match ours.write_all("after").await {
            Err(failed) => {
                let written = WriteAbandoned::of(&failed.error).expect("of the file").written;
                ours.write_all("after").await?;
                written
            }
            // Nothing was sent before the drop, or everything.
            Ok(_) => usize::MAX,
        };
        ours.shutdown(Shutdown::Write).await?;
        let received = reader.join().expect("the reader does not panic")?;
        let (sent, after) = received.split_at(received.len() - 5);
        assert_eq!(after, b"after");
        assert!(sent == &bytes[..sent.len()]);
        match written {
            usize::MAX => assert!([0, bytes.len()].contains(&sent.len())),
            written => assert_eq!(sent.len(), written),
        }
    }
    Ok(())
}

#[corering::test]
async fn a_head_and_a_file_arrive_as_one() -> std::io::Result<()> {
    for (head_bytes, file_bytes, cold) in [
        (0, 50_000, 0..0),
        (100, 0, 0..0),
        (100, 5, 0..0),
        (100, 200_000, 0..0),
        (100, 200_000, 0..100_000),
        (100, 200_000, 65_536..200_000),
        (30_000, 200_000, 0..200_000),
        (400_000, 50_000, 0..0),
    ] {
        let bytes = content(head_bytes + file_bytes);
        let (head, in_file) = bytes.split_at(head_bytes);
        let file = File::from(file_with_cold_bytes(in_file, cold)?);
        let (mut ours, mut theirs) = pair();
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).map(|_| received)
        });
        // Also if more is asked for than the file has.
        let (sent, returned) = ours.send_file_after(head.to_vec(), &file, 0, 1 << 20).await?;
        assert_eq!(sent as usize, file_bytes);
        assert!(returned == head);
        ours.shutdown(Shutdown::Write).await?;
        assert!(reader.join().expect("the reader does not panic")? == bytes);
    }
    Ok(())
}

#[corering::test]
async fn neither_head_nor_file_is_held_back_at_the_end() -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    // What is short is read by the ring, though it is in memory: the head goes before it.
    for (file_bytes, len) in [(0, 1 << 20), (5, 5), (5, 1 << 20), (20_000, 1 << 20)] {
        let file = file_of(content(file_bytes)).await;
        // A thread that gets no CPU for long may see a head leave alone: the kernel waits 200 ms.
        let mut segments = [0; 3];
        for sent in &mut segments {
            let mut stream = TcpStream::connect(listener.local_addr()?).await?;
            stream.send_file_after("head", &file, 0, len).await?;
            let mut unsent = -1;
            // SAFETY: the kernel writes one integer, which outlives the call.
            let told = unsafe { libc::ioctl(stream.as_fd().as_raw_fd(), SIOCOUTQNSD, &mut unsent) };
            assert_eq!((told, unsent), (0, 0), "after a file of {file_bytes} bytes");
            *sent = segments_sent(&stream);
        }
        assert!(segments.contains(&1), "head and {file_bytes} bytes in {segments:?} segments");
    }
    Ok(())
}

/// How many segments with data a connection has sent: `tcpi_data_segs_out` of `linux/tcp.h`.
fn segments_sent(stream: &TcpStream) -> u32 {
    const DATA_SEGS_OUT: usize = 156 / size_of::<u32>();
    let mut info = [0_u32; 64];
    let mut len = size_of_val(&info) as libc::socklen_t;
    let (fd, info_ptr) = (stream.as_fd().as_raw_fd(), (&raw mut info).cast());
    // SAFETY: the kernel writes no more than `len` bytes to the array.
    let told =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info_ptr, &raw mut len) };
    assert_eq!(told, 0, "a TCP socket tells of itself");
    info[DATA_SEGS_OUT]
}

/// Asks for the bytes that have not been sent once: `linux/sockios.h`.
const SIOCOUTQNSD: libc::Ioctl = 0x894B;

#[corering::test(driver = "uring")]
async fn a_head_and_what_is_in_memory_leave_without_the_ring() -> std::io::Result<()> {
    let std_file = file_with_cold_bytes(&content(40_000), 0..0)?;
    let told = is_told_of_memory(&std_file, 0);
    let file = File::from(std_file);
    let (mut ours, _theirs) = pair();
    yield_now().await;
    let before = corering::metrics();
    ours.send_file_after("head", &file, 0, 40_000).await?;
    let after = corering::metrics();
    let (submitted, calls) = (after.submitted - before.submitted, after.attempts - before.attempts);
    // Two questions, the head, and the file as it is; before 6.5 a question that is not answered,
    // a copy, and both at once. Where the file system does not tell, the ring has to read.
    let known = submitted == 0 && [3, 4].contains(&calls);
    assert_eq!(known, told, "{submitted} submitted, {calls} calls");
    Ok(())
}

#[corering::test(driver = "uring")]
async fn a_head_and_a_beginning_in_memory_leave_by_one_call() -> std::io::Result<()> {
    let bytes = content(200_000);
    let std_file = file_with_cold_bytes(&bytes, 65_536..200_000)?;
    // A file system of memory gives nothing up. To ask is to have it read, but not what is before.
    let told = is_told_of_memory(&std_file, 0) && !is_told_of_memory(&std_file, 199_999);
    let file = File::from(std_file);
    let (mut ours, mut theirs) = pair();
    let mut received = vec![0; 4 + 65_536];
    {
        let mut sending = pin!(ours.send_file_after("head", &file, 0, 200_000));
        let calls = corering::metrics().attempts;
        assert!(poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await.is_pending());
        // The first question, a copy, and both at once; then a question and a copy of what is not
        // there. Where the file did not give all of its end up, there may be more to ask, or less.
        let calls = corering::metrics().attempts - calls;
        assert!(calls == 5 || !told, "{calls} calls");
        if told {
            theirs.read_exact(&mut received)?;
            assert!(received[..4] == *b"head" && received[4..] == bytes[..65_536]);
        }
    }
    Ok(())
}

#[corering::test(driver = "uring")]
async fn a_head_and_a_short_file_leave_as_one() -> std::io::Result<()> {
    let file = file_of(content(9_000)).await;
    let (mut ours, _theirs) = pair();
    yield_now().await;
    let before = corering::metrics();
    ours.send_file_after("head", &file, 0, 9_000).await?;
    let after = corering::metrics();
    // The file is read by the ring; the send is alone in its round, and a call.
    assert_eq!(after.submitted - before.submitted, 1);
    assert_eq!(after.attempts - before.attempts, 1);
    Ok(())
}

#[corering::test]
async fn a_peer_that_does_not_read_is_not_asked_again_and_again() -> std::io::Result<()> {
    let file = file_of(content(3_000_000)).await;
    let (mut ours, theirs) = pair();
    let sending = corering::spawn(async move { ours.send_file(&file, 0, 3_000_000).await });
    // It may take a while until the socket is full.
    let mut rests = false;
    for _ in 0..100 {
        let before = corering::metrics();
        sleep(Duration::from_millis(20)).await;
        let after = corering::metrics();
        rests = after.attempts == before.attempts && after.rounds - before.rounds < 10;
        if rests {
            break;
        }
    }
    assert!(rests, "the socket is tried on and on");
    drop(theirs);
    sending.await.expect("it does not panic").expect_err("nobody reads");
    Ok(())
}

/// It would have the shard wait for the disk.
#[corering::test]
async fn what_is_not_in_memory_goes_by_no_sendfile() -> std::io::Result<()> {
    let warm_file = file_with_cold_bytes(&content(10), 0..0)?;
    let std_file = file_with_cold_bytes(&content(400_000), 0..400_000)?;
    // To ask is to have it read, but not what is before.
    let is_cold = is_told_of_memory(&warm_file, 0) && !is_told_of_memory(&std_file, 399_999);
    let file = File::from(std_file);
    for head in ["", "head"] {
        let (mut ours, mut theirs) = pair();
        let reader = thread::spawn(move || {
            let mut received = vec![0; head.len() + 400_000];
            theirs.read_exact(&mut received).map(|()| received)
        });
        let before = corering::metrics().sendfiles;
        ours.send_file_after(head, &file, 0, 400_000).await?;
        let calls = corering::metrics().sendfiles - before;
        // The second time all of it is in memory.
        assert!(!is_cold || (calls == 0) == head.is_empty(), "{calls} calls");
        let received = reader.join().expect("it does not panic")?;
        assert!(received == [head.as_bytes(), &content(400_000)].concat());
    }
    Ok(())
}

/// `sendfile(2)` needs a mode of the socket in which the ring would not wait.
#[corering::test]
async fn a_stream_waits_as_before_after_it_has_sent_a_file() -> std::io::Result<()> {
    let file = file_of(content(3_000_000)).await;
    let (mut ours, mut theirs) = pair();
    let peer = thread::spawn(move || {
        let mut received = vec![0; 3_000_000];
        let mut turn = || -> std::io::Result<()> {
            // The socket is full before anything is read.
            thread::sleep(Duration::from_millis(20));
            theirs.read_exact(&mut received)?;
            assert!(received == content(3_000_000));
            thread::sleep(Duration::from_millis(20));
            theirs.write_all(b"next")
        };
        (0..3).try_for_each(|_| turn())
    });
    assert_eq!(ours.send_file(&file, 0, 3_000_000).await?, 3_000_000);
    assert_eq!(&*ours.recv().await?, b"next");
    ours.write_all(content(3_000_000)).await?;
    assert_eq!(ours.read(Vec::with_capacity(9)).await?.1, b"next");
    assert_eq!(ours.send_file(&file, 0, 3_000_000).await?, 3_000_000);
    assert_eq!(&*ours.recv().await?, b"next");
    peer.join().expect("it does not panic")
}

#[corering::test]
async fn an_error_gives_the_head_back() {
    let file = file_of(content(1_000_000)).await;
    let (mut ours, theirs) = pair();
    drop(theirs);
    let failed = ours.send_file_after("head", &file, 0, 1_000_000).await.expect_err("nobody reads");
    assert_eq!((failed.error.kind(), *failed.buf()), (std::io::ErrorKind::BrokenPipe, "head"));
}

#[corering::test]
async fn a_peer_that_is_gone_is_an_error_and_not_a_signal() {
    let file = file_of(content(1_000_000)).await;
    let (mut ours, theirs) = pair();
    drop(theirs);
    let error = ours.send_file(&file, 0, 1_000_000).await.expect_err("nobody is there");
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[corering::test]
async fn files_that_are_taken_at_once_let_others_run_between() -> std::io::Result<()> {
    const BYTES: usize = 64 * 1024;
    let file = file_of(content(BYTES)).await;
    let (mut ours, mut theirs) = pair();
    let turns = Rc::new(Cell::new(0));
    let counter = turns.clone();
    let other = corering::spawn(async move {
        loop {
            counter.set(counter.get() + 1);
            yield_now().await;
        }
    });
    // There is always room, so nothing has to be waited for. Of the budget's units they would take half.
    for _ in 0..64 {
        assert_eq!(ours.send_file(&file, 0, BYTES as u64).await?, BYTES as u64);
        theirs.read_exact(&mut [0; BYTES])?;
    }
    assert!(turns.get() > 1, "the shard was kept for {} turns", turns.get());
    other.abort();
    drop(theirs);
    Ok(())
}

/// Where the socket is always ready, nothing else tells a task to give way.
#[corering::test]
async fn streams_that_are_always_ready_let_others_run() -> std::io::Result<()> {
    let (mut ours, mut theirs) = pair();
    let flood = thread::spawn(move || {
        let chunk = [7; 65_536];
        while theirs.write_all(&chunk).is_ok() {}
    });
    let reader = corering::spawn(async move {
        loop {
            match ours.recv().await {
                Ok(bytes) if !bytes.is_empty() => {}
                _ => return,
            }
        }
    });
    // Each of these rounds needs the loop, which the reader would keep for itself.
    for _ in 0..100 {
        corering::time::sleep(Duration::from_micros(100)).await;
        corering::yield_now().await;
    }
    reader.abort();
    assert!(reader.await.expect_err("it does not end by itself").is_cancelled());
    flood.join().expect("the flood ends with its reader");
    Ok(())
}

#[corering::test]
async fn several_buffers_arrive_as_one() -> std::io::Result<()> {
    let (mut ours, mut theirs) = pair();
    let bufs: Vec<Vec<u8>> = (0..50).map(|n| content(n * 1000)).collect();
    let expected = bufs.concat();
    let reader = thread::spawn(move || {
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).map(|_| received)
    });
    let back = ours.send_all(bufs.clone()).await?;
    assert!(back == bufs);
    assert!(ours.send_all(Vec::<Vec<u8>>::new()).await?.is_empty());
    assert!(ours.send_all(vec![Vec::<u8>::new()]).await?[0].is_empty());
    ours.shutdown(Shutdown::Write).await?;
    assert!(reader.join().expect("the reader does not panic")? == expected);
    Ok(())
}

/// All that a peer receives, once there is no more.
fn collect(mut peer: StdStream) -> thread::JoinHandle<std::io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).map(|_| received)
    })
}

#[corering::test]
async fn file_that_sendfile_refuses_is_copied() -> std::io::Result<()> {
    // It is read by read(2) alone.
    let expected = std::fs::read("/proc/self/cmdline")?;
    let file = File::open("/proc/self/cmdline").await?;
    for head in ["", "head"] {
        let (mut ours, theirs) = pair();
        let reader = collect(theirs);
        let (sent, _) = ours.send_file_after(head, &file, 0, 1 << 40).await?;
        assert_eq!(sent, expected.len() as u64);
        ours.close().await?;
        let received = reader.join().expect("the reader does not panic")?;
        assert!(received == [head.as_bytes(), &expected].concat());
    }
    Ok(())
}

#[corering::test]
async fn pipe_is_sent_until_its_end() -> std::io::Result<()> {
    let content = content(300_000);
    for (head, len) in [("", 1 << 40), ("head", 1 << 40), ("head", 200_000), ("", 10)] {
        let (reader, mut writer) = std::io::pipe()?;
        let file = File::from(OwnedFd::from(reader));
        let bytes = content.clone();
        let writing = thread::spawn(move || writer.write_all(&bytes));
        let (mut ours, theirs) = pair();
        let reader = collect(theirs);
        let (sent, _) = ours.send_file_after(head, &file, 77, len).await?;
        assert_eq!(sent, len.min(300_000));
        drop(file);
        let _written = writing.join().expect("the writer does not panic");
        ours.close().await?;
        let received = reader.join().expect("the reader does not panic")?;
        assert!(received == [head.as_bytes(), &content[..sent as usize]].concat());
    }
    Ok(())
}

#[corering::test]
async fn head_of_what_can_never_be_sent_does_not_leave() -> std::io::Result<()> {
    let write_only = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    let (socket, mut behind) = StdStream::pair()?;
    behind.write_all(b"not to be read")?;
    let files = [
        (File::open("/").await?, 0, Some(libc::EISDIR)),
        (File::from(write_only), 0, Some(libc::EBADF)),
        (File::open("/proc/version").await?, u64::MAX - 5, Some(libc::EINVAL)),
        (File::from(OwnedFd::from(socket)), 0, None),
    ];
    // A short head goes with the file on a ring, and a long one before it.
    for (head, len) in [(0, 10), (4, 10), (4, 100_000), (20_000, 10)] {
        for (file, offset, expected) in &files {
            let (mut ours, mut theirs) = pair();
            let sent = ours.send_file_after(vec![7; head], file, *offset, len).await;
            let failed = sent.expect_err("it cannot be read");
            assert_eq!(failed.error.raw_os_error(), *expected, "{file:?}: {failed}");
            match expected {
                None => assert_eq!(failed.kind(), std::io::ErrorKind::InvalidInput),
                Some(_) => assert_eq!(failed.buf().len(), head),
            }
            theirs.set_nonblocking(true)?;
            let error = theirs.read(&mut [0]).expect_err("nothing has left");
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
    }
    Ok(())
}

/// A file of the disk of which nothing is in memory. It takes room: a hole is filled without the disk.
fn cold_file(len: u64) -> std::io::Result<std::fs::File> {
    let mut file = file_with_cold_bytes(&[], 0..0)?;
    let piece = vec![7; 8 << 20];
    for _ in 0..len / (8 << 20) {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    // SAFETY: the call takes a descriptor and numbers; a length of 0 is the whole file.
    let error = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(error, 0, "advice is taken");
    Ok(file)
}

/// The reader of the cold file goes on only when the others have been served.
#[corering::test]
async fn hot_files_are_served_beside_a_cold_one_of_1_gib() -> std::io::Result<()> {
    const COLD_BYTES: u64 = 1 << 30;
    const ROUNDS: u64 = 20;
    let hot = file_with_cold_bytes(&content(32 << 10), 0..0)?;
    let is_told = is_told_of_memory(&hot, 0);
    let hot = Rc::new(File::from(hot));
    let cold = File::from(cold_file(COLD_BYTES)?);
    let (mut stream, mut theirs) = pair();
    let (go_on, goes_on) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || {
        let mut piece = vec![0; 1 << 20];
        theirs.read_exact(&mut piece)?;
        goes_on.recv().expect("the others are served");
        let mut received = piece.len() as u64;
        loop {
            match theirs.read(&mut piece)? {
                0 => return std::io::Result::Ok(received),
                count => received += count as u64,
            }
        }
    });
    let before = corering::metrics().sendfiles;
    let sending = corering::spawn(async move {
        let (sent, _) = stream.send_file_after("head", &cold, 0, COLD_BYTES).await?;
        stream.close().await?;
        std::io::Result::Ok(sent)
    });
    let served = (0..64).map(|_| {
        let hot = hot.clone();
        corering::spawn(async move {
            let (mut ours, mut theirs) = UnixStream::pair()?;
            for _ in 0..ROUNDS {
                ours.send_file(&hot, 0, 32 << 10).await?;
                let received = Vec::with_capacity(32 << 10);
                assert!(theirs.read_exact(received, 32 << 10).await? == content(32 << 10));
            }
            std::io::Result::Ok(())
        })
    });
    for task in served.collect::<Vec<_>>() {
        task.await.expect("it does not panic")?;
    }
    assert!(!sending.is_finished(), "its reader waits for this");
    go_on.send(()).expect("the reader is there");
    assert_eq!(sending.await.expect("it does not panic")?, COLD_BYTES);
    assert_eq!(reader.join().expect("it does not panic")?, COLD_BYTES + 4);
    // Those of the hot files, and none of the cold one.
    let calls = corering::metrics().sendfiles - before;
    assert!(calls == 64 * ROUNDS || !is_told, "{calls} calls");
    Ok(())
}
