//! Tests of files with a position.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::SeekFrom;
use std::rc::Rc;

use futures_util::poll;

use super::*;
use crate::buf::{BufResult, IoBufMut};
use crate::io::{Lend, OwnedRead, OwnedReadAt, OwnedWrite, PollWrite, copy, lines};
use crate::net::UnixStream;
use crate::runtime::Runtime;
use crate::test_support::drivers;

const KIB: usize = 1024;

/// Bytes in memory that remember what was read of them, and answer when they may.
struct Counted {
    bytes: RefCell<Vec<u8>>,
    reads: RefCell<Vec<(u64, usize)>>,
    held: Cell<bool>,
}

impl Counted {
    fn new(bytes: Vec<u8>) -> Rc<Self> {
        let (bytes, reads) = (RefCell::new(bytes), RefCell::default());
        Rc::new(Counted { bytes, reads, held: Cell::new(false) })
    }

    /// Where was read since the last call, and how many bytes were wanted there, in KiB.
    fn reads(&self) -> Vec<(usize, usize)> {
        self.reads.take().into_iter().map(|(at, len)| (at as usize / KIB, len / KIB)).collect()
    }
}

impl OwnedReadAt for Counted {
    async fn read_at<B: IoBufMut>(&self, buf: B, offset: u64) -> BufResult<usize, B> {
        self.reads.borrow_mut().push((offset, buf.capacity()));
        let read = self.bytes.read_at(buf, offset).await;
        while self.held.get() {
            yield_now().await;
        }
        read
    }

    async fn size(&self) -> io::Result<u64> {
        self.bytes.size().await
    }
}

async fn rest_of(reader: &mut impl Lend) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let bytes = reader.lend().await?;
        if bytes.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&bytes);
    }
}

#[corering::test]
async fn reads_and_writes_move_the_position() -> io::Result<()> {
    async fn body<S: OwnedReadAt + crate::io::OwnedWriteAt + 'static>(source: S) -> io::Result<()> {
        let mut cursor = Cursor::new(source);
        assert_eq!(cursor.write("01234567").await?, (8, "01234567"));
        cursor.write_all("89").await?;
        assert_eq!(cursor.position(), 10);
        assert_eq!(cursor.read(Vec::with_capacity(9)).await?.0, 0);
        assert_eq!(cursor.seek(SeekFrom::Start(2)).await?, 2);
        assert_eq!(cursor.read(Vec::with_capacity(3)).await?.1, b"234");
        assert_eq!(cursor.lend().await?, "56789");
        assert_eq!(cursor.seek(SeekFrom::Current(-4)).await?, 6);
        assert_eq!(cursor.read_exact(Vec::with_capacity(9), 2).await?, b"67");
        assert_eq!(cursor.seek(SeekFrom::End(2)).await?, 12);
        cursor.write_all("gap").await?;
        assert_eq!(cursor.seek(SeekFrom::End(-6)).await?, 9);
        assert_eq!(rest_of(&mut cursor).await?, b"9\0\0gap");
        let failed = cursor.read_exact(Vec::with_capacity(9), 1).await.expect_err("it is the end");
        assert_eq!((failed.kind(), cursor.position()), (ErrorKind::UnexpectedEof, 15));
        for to in [SeekFrom::Current(-16), SeekFrom::End(-16), SeekFrom::Current(i64::MIN)] {
            let error = cursor.seek(to).await.expect_err("there is nothing before the beginning");
            assert_eq!((error.kind(), cursor.position()), (ErrorKind::InvalidInput, 15));
        }
        assert_eq!(cursor.into_inner().size().await?, 15);
        Ok(())
    }
    let folder = Folder::new();
    body(opened(folder.file("file", b"")).await).await?;
    body(RefCell::new(Vec::new())).await?;
    body(Rc::new(RefCell::new(Vec::new()))).await
}

#[corering::test]
async fn pieces_double_and_one_is_read_ahead() -> io::Result<()> {
    let bytes = pattern(1200 * KIB);
    let source = Counted::new(bytes.clone());
    let mut cursor = Cursor::new(source.clone());
    let mut all = cursor.lend().await?.to_vec();
    assert_eq!(source.reads(), [(0, 16)], "nothing is read ahead of the first");
    all.extend_from_slice(&cursor.lend().await?);
    assert_eq!(source.reads(), [(16, 32), (48, 64)], "the next is under way");
    all.extend_from_slice(&cursor.lend().await?);
    assert_eq!(source.reads(), [(112, 128)]);
    all.extend(rest_of(&mut cursor).await?);
    let rest = [(240, 256), (496, 256), (752, 256), (1008, 256), (1200, 256)];
    assert_eq!(source.reads(), rest, "the end is asked for once");
    assert!(all == bytes);
    assert!(cursor.lend().await?.is_empty());
    assert_eq!(source.reads(), [(1200, 256)], "and once for each further call");
    Ok(())
}

#[corering::test]
async fn seek_begins_with_a_small_piece_and_nothing_ahead() -> io::Result<()> {
    let bytes = pattern(1200 * KIB);
    let source = Counted::new(bytes.clone());
    let mut cursor = Cursor::new(source.clone());
    for _ in 0..4 {
        cursor.lend().await?;
    }
    source.reads();
    for place in [700, 10, 500, 300] {
        cursor.seek(SeekFrom::Start(place * KIB as u64)).await?;
        assert_eq!(cursor.lend().await?, bytes[place as usize * KIB..][..16 * KIB]);
        assert_eq!(source.reads(), [(place as usize, 16)]);
    }
    // Within what was lent and put back, nothing is read anew.
    let place = cursor.position();
    let piece = cursor.lend().await?;
    source.reads();
    cursor.put_back(piece);
    assert_eq!(cursor.position(), place);
    cursor.seek(SeekFrom::Current(1000)).await?;
    assert_eq!(cursor.lend().await?, bytes[place as usize + 1000..][..32 * KIB - 1000]);
    assert_eq!(source.reads(), []);
    Ok(())
}

#[corering::test]
async fn reads_into_buffers_ask_for_just_that() -> io::Result<()> {
    let source = Counted::new(pattern(100 * KIB));
    let mut cursor = Cursor::new(source.clone());
    for _ in 0..3 {
        cursor.read(Vec::with_capacity(2 * KIB)).await?;
    }
    cursor.read_exact(Vec::with_capacity(8 * KIB), 4 * KIB).await?;
    assert_eq!(source.reads(), [(0, 2), (2, 2), (4, 2), (6, 4)]);
    Ok(())
}

#[corering::test]
async fn dropped_reads_take_nothing_and_leave_the_position() -> io::Result<()> {
    let bytes = pattern(600 * KIB);
    let source = Counted::new(bytes.clone());
    let mut cursor = Cursor::new(source.clone());
    let mut all = Vec::new();
    while all.len() < bytes.len() {
        source.held.set(true);
        let position = cursor.position();
        assert_eq!(position as usize, all.len());
        if all.len() % 3 == 0 {
            let mut exact = std::pin::pin!(cursor.read_exact(Vec::with_capacity(9), 9));
            let _ = poll!(exact.as_mut());
        } else {
            let _ = poll!(std::pin::pin!(cursor.lend()));
        }
        source.held.set(false);
        // One that had been read ahead was ready.
        if cursor.position() != position {
            cursor.seek(SeekFrom::Start(position)).await?;
        }
        all.extend_from_slice(&cursor.lend().await?);
    }
    assert!(all == bytes);
    Ok(())
}

#[corering::test]
async fn file_that_grows_is_seen_to_grow() -> io::Result<()> {
    for len in [0, 5, 16, 48, 112, 240] {
        let bytes = pattern(len * KIB);
        let source = Counted::new(bytes.clone());
        let mut cursor = Cursor::new(source.clone());
        let mut all = Vec::new();
        while all.len() < bytes.len() {
            all.extend_from_slice(&cursor.lend().await?);
        }
        // Whatever was read ahead has found the end.
        source.bytes.borrow_mut().extend_from_slice(b"grown");
        assert_eq!(cursor.lend().await?, "grown", "{len} KiB");
        assert!(cursor.lend().await?.is_empty());
        source.bytes.borrow_mut().extend_from_slice(b"more");
        assert_eq!(cursor.lend().await?, "more", "{len} KiB");
    }
    Ok(())
}

#[corering::test]
async fn end_that_a_dropped_read_found_is_asked_for_anew() -> io::Result<()> {
    let source = Counted::new(Vec::new());
    let mut cursor = Cursor::new(source.clone());
    source.held.set(true);
    assert!(poll!(std::pin::pin!(cursor.lend())).is_pending());
    assert_eq!(source.reads().len(), 1);
    source.held.set(false);
    // The read has found the end, and has nobody to say it to.
    source.bytes.borrow_mut().extend_from_slice(b"late");
    assert_eq!(cursor.lend().await?, "late");
    Ok(())
}

#[corering::test]
async fn lines_of_a_file_are_those_of_the_standard_library() -> io::Result<()> {
    use std::io::BufRead;
    let mut bytes: Vec<u8> = pattern(3_000_000).iter().map(|byte| b'a' + byte % 26).collect();
    let mut end = 0;
    while end < bytes.len() {
        bytes[end] = b'\n';
        end += 1 + (end * 7919) % 300 + if end % 50 == 0 { 40_000 } else { 0 };
    }
    let folder = Folder::new();
    let path = folder.file("text", &bytes);
    let mut ours = lines(Cursor::new(File::open(&path).await?));
    for theirs in bytes.lines() {
        assert_eq!(ours.next_line().await?, Some(theirs?));
    }
    assert_eq!(ours.next_line().await?, None);
    let mut maps = lines(Cursor::new(File::open("/proc/self/maps").await?));
    let mut last = String::new();
    while let Some(line) = maps.next_line().await? {
        last = line;
    }
    assert!(last.contains("[vsyscall]") || last.contains("[stack]"), "{last}");
    Ok(())
}

#[corering::test]
async fn dropped_write_happens_before_the_next() -> io::Result<()> {
    let folder = Folder::new();
    for yields in 0..4 {
        let path = folder.file("file", b"");
        let mut cursor = Cursor::new(opened(&path).await);
        {
            let mut writing = std::pin::pin!(cursor.write(vec![b'a'; 100_000]));
            let _ = poll!(writing.as_mut());
            for _ in 0..yields {
                yield_now().await;
            }
        }
        cursor.write_all("behind").await?;
        assert_eq!(cursor.position(), 100_006);
        let written = std::fs::read(&path)?;
        assert!(written.ends_with(b"abehind") && written.len() == 100_006);
    }
    Ok(())
}

#[corering::test]
async fn write_that_failed_unseen_is_told_once() -> io::Result<()> {
    let mut cursor = Cursor::new(opened("/dev/full").await);
    assert_eq!(poll_fn(|cx| cursor.poll_write(cx, b"taken")).await?, 5);
    assert_eq!(cursor.flush().await.expect_err("it is full").kind(), ErrorKind::StorageFull);
    assert_eq!(cursor.position(), 0);
    cursor.flush().await?;
    {
        let mut writing = std::pin::pin!(cursor.write("dropped"));
        let _ = poll!(writing.as_mut());
    }
    let failed = cursor.write("next").await.expect_err("of this or the one before");
    assert_eq!((failed.kind(), *failed.buf()), (ErrorKind::StorageFull, "next"));
    cursor.shutdown().await
}

#[corering::test]
async fn seek_behind_a_dropped_write_stays_where_it_went() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"0123456789");
    let mut cursor = Cursor::new(opened(&path).await);
    {
        let mut writing = std::pin::pin!(cursor.write("abc"));
        let _ = poll!(writing.as_mut());
    }
    cursor.set_position(7);
    assert_eq!(cursor.read(Vec::with_capacity(9)).await?.1, b"789");
    cursor.set_position(0);
    assert_eq!(cursor.lend().await?, "abc3456789", "the write came first");
    Ok(())
}

#[corering::test]
async fn write_shows_in_what_is_read_next() -> io::Result<()> {
    let folder = Folder::new();
    let mut cursor = Cursor::new(opened(folder.file("file", &pattern(200 * KIB))).await);
    for _ in 0..2 {
        cursor.lend().await?;
    }
    let piece = cursor.lend().await?;
    cursor.put_back(piece);
    let position = cursor.position();
    cursor.write_all("new").await?;
    cursor.seek(SeekFrom::Start(position)).await?;
    assert_eq!(cursor.lend().await?[..3], *b"new");
    Ok(())
}

#[corering::test]
async fn copies_go_from_file_to_file_to_socket() -> io::Result<()> {
    let folder = Folder::new();
    let bytes = pattern(900 * KIB + 17);
    let path = folder.file("from", &bytes);
    let mut from = Cursor::new(File::open(&path).await?);
    let mut to = Cursor::new(opened(folder.file("to", b"")).await);
    assert_eq!(copy(&mut from, &mut to).await?, bytes.len() as u64);
    to.flush().await?;
    assert_eq!(to.position(), bytes.len() as u64);
    assert!(std::fs::read(folder.join("to"))? == bytes);
    to.seek(SeekFrom::Start(0)).await?;
    let (mut one, mut other) = UnixStream::pair()?;
    let sending = spawn(async move {
        let count = copy(&mut to, &mut one).await?;
        one.close().await?;
        Ok::<_, io::Error>(count)
    });
    let received = rest_of(&mut other).await?;
    assert!(received == bytes);
    assert_eq!(sending.await.expect("it does not panic")?, bytes.len() as u64);
    Ok(())
}

#[corering::test]
async fn cursor_that_is_dropped_writes_what_it_took() -> io::Result<()> {
    let folder = Folder::new();
    let bytes = pattern(300 * KIB);
    let path = folder.file("to", b"");
    let mut to = Cursor::new(opened(&path).await);
    copy(&mut Cursor::new(bytes.clone()), &mut to).await?;
    drop(to);
    while std::fs::metadata(&path)?.len() < bytes.len() as u64 {
        yield_now().await;
    }
    assert!(std::fs::read(&path)? == bytes);
    let mut given_up = Cursor::new(opened(&path).await);
    assert_eq!(poll_fn(|cx| given_up.poll_write(cx, b"taken")).await?, 5);
    given_up.into_inner().metadata().await?;
    Ok(())
}

#[corering::test]
async fn pipe_is_read_and_written_by_a_cursor_in_its_order() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let mut reader = Cursor::new(File::from(OwnedFd::from(reader)));
    let mut writer = Cursor::new(File::from(OwnedFd::from(writer)));
    let bytes = pattern(500 * KIB);
    let sent = bytes.clone();
    let writing = spawn(async move {
        writer.write_all(sent).await?;
        writer.flush().await
    });
    assert!(rest_of(&mut reader).await? == bytes);
    writing.await.expect("it does not panic")
}

#[corering::test]
async fn places_that_no_file_has_are_refused() -> io::Result<()> {
    let folder = Folder::new();
    let mut cursor = Cursor::new(opened(folder.file("file", b"text")).await);
    for place in [u64::MAX, 1 << 63] {
        assert_eq!(cursor.seek(SeekFrom::Start(place)).await?, place);
        assert_eq!(cursor.lend().await.expect_err("none").kind(), ErrorKind::InvalidInput);
        let failed = cursor.read(Vec::with_capacity(1)).await.expect_err("none");
        assert_eq!(failed.kind(), ErrorKind::InvalidInput);
        let failed = cursor.write("x").await.expect_err("none");
        assert_eq!((failed.kind(), *failed.buf()), (ErrorKind::InvalidInput, "x"));
        assert_eq!(cursor.position(), place);
    }
    cursor.set_position(u64::MAX - 1);
    assert_eq!(cursor.seek(SeekFrom::Current(1)).await?, u64::MAX);
    let error = cursor.seek(SeekFrom::Current(1)).await.expect_err("it is beyond all");
    assert_eq!((error.kind(), cursor.position()), (ErrorKind::InvalidInput, u64::MAX));
    cursor.set_position(1 << 62);
    assert!(cursor.lend().await?.is_empty(), "it is only far behind the end");
    Ok(())
}

#[corering::test]
async fn appending_file_is_written_at_its_end_by_a_cursor() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("log", b"first ");
    let mut cursor = Cursor::new(OpenOptions::new().append(true).open(&path).await?);
    cursor.write_all("second ").await?;
    assert_eq!(cursor.position(), 7);
    cursor.set_position(0);
    cursor.write_all("third").await?;
    assert_eq!(std::fs::read(path)?, b"first second third");
    Ok(())
}

#[test]
fn cursor_goes_on_in_another_runtime() -> io::Result<()> {
    let folder = Folder::new();
    let bytes = pattern(400 * KIB);
    let path = folder.file("file", &bytes);
    for first in drivers() {
        let mut cursor = None;
        let mut all = Vec::new();
        for driver in [first].into_iter().chain(drivers()).chain([first, first]) {
            let runtime = Runtime::builder().driver(driver).build()?;
            runtime.block_on(async {
                let cursor = match &mut cursor {
                    Some(cursor) => cursor,
                    none => none.insert(Cursor::new(File::open(&path).await?)),
                };
                all.extend_from_slice(&cursor.lend().await?);
                Ok::<_, io::Error>(())
            })?;
        }
        assert!(all.len() > 200 * KIB && bytes.starts_with(&all), "{} bytes", all.len());
    }
    Ok(())
}
