//! Places beyond 4 GiB, and more than 2 GiB in one call.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::ptr;

use corering::buf::{IoBuf, IoBufMut};
use corering::fs::{self, File, OpenOptions};
use corering::net::{TcpListener, TcpStream};

use crate::{Folder, child};

const GIB: u64 = 1 << 30;

/// What one call moves at most (`MAX_RW_COUNT`).
const CALL_MAX: usize = 0x7fff_f000;

async fn sparse(folder: &Folder, len: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).open(folder.join("sparse")).await?;
    file.set_len(len).await?;
    Ok(file)
}

#[corering::test]
async fn places_beyond_4_gib_are_like_any_other() -> io::Result<()> {
    let folder = Folder::new();
    let file = sparse(&folder, 0).await?;
    // On both sides of where 32 bits end, with and without a sign, and far behind.
    let mut len = 0;
    for place in [2 * GIB - 3, 4 * GIB - 3, 5 * GIB + 1, 1 << 40, (1 << 43) + 7] {
        file.write_all_at("across", place).await?;
        file.write_vectored_at(vec!["one", "two"], place + 100).await?;
        len = place + 106;
        assert_eq!(file.metadata().await?.len(), len);
        assert_eq!(file.read_at(Vec::with_capacity(6), place).await?.1, b"across");
        assert_eq!(file.read_exact_at(Vec::with_capacity(4), 4, place + 2).await?, b"ross");
        let bufs = vec![Vec::with_capacity(3), Vec::with_capacity(30)];
        let (count, bufs) = file.read_vectored_at(bufs, place + 100).await?;
        assert_eq!((count, bufs.concat()), (6, b"onetwo".to_vec()));
        assert_eq!(file.read_at(Vec::with_capacity(6), len).await?.0, 0);
        file.prefetch(place, 100).await?;
        file.sync_data().await?;
    }
    file.allocate(6 * GIB, 4096).await?;
    assert_eq!(fs::metadata(folder.join("sparse")).await?.len(), len);
    assert!(file.metadata().await?.blocks() < 1000);
    assert_eq!(fs::copy(folder.join("sparse"), folder.join("copy")).await?, len);
    let copy = File::open(folder.join("copy")).await?;
    assert_eq!(copy.read_exact_at(Vec::with_capacity(6), 6, 4 * GIB - 3).await?, b"across");
    assert_eq!(copy.read_exact_at(Vec::with_capacity(6), 6, len - 6).await?, b"onetwo");
    assert!(copy.metadata().await?.blocks() < 1000);
    Ok(())
}

#[corering::test]
async fn file_is_sent_from_beyond_4_gib() -> io::Result<()> {
    let folder = Folder::new();
    let file = sparse(&folder, 0).await?;
    file.write_all_at("sent", 5 * GIB).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (client, server) =
        futures_util::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    let (mut client, mut server) = (client?, server?);
    assert_eq!(server.send_file(&file, 5 * GIB, u64::MAX).await?, 4);
    assert_eq!(client.read_exact(Vec::with_capacity(4), 4).await?, b"sent");
    Ok(())
}

#[corering::test]
async fn place_that_no_file_has_is_an_error_and_changes_nothing() -> io::Result<()> {
    let folder = Folder::new();
    let file = sparse(&folder, 10).await?;
    for place in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX - 1, u64::MAX] {
        let is_refused = |error: &io::Error| {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::InvalidInput | ErrorKind::FileTooLarge), "{error}");
        };
        let failed = file.write_at("text", place).await.expect_err("no file has it");
        is_refused(&failed.error);
        is_refused(&file.write_all_at("text", place).await.expect_err("no file has it").error);
        is_refused(
            &file.write_vectored_at(vec!["text"], place).await.expect_err("as before").error,
        );
        is_refused(&file.set_len(place).await.expect_err("no file is so long"));
        is_refused(&file.allocate(place, 10).await.expect_err("no file has it"));
        match file.read_at(Vec::with_capacity(10), place).await {
            Ok((count, _)) => assert_eq!(count, 0),
            Err(failed) => is_refused(&failed.error),
        }
    }
    assert_eq!(file.metadata().await?.len(), 10);
    Ok(())
}

/// Much room that takes little memory: the same piece of memory, again and again.
struct Wide {
    begin: *mut u8,
    len: usize,
    initialized: usize,
}

const PIECE: usize = 4 << 20;

impl Wide {
    fn new(len: usize) -> Self {
        assert_eq!(len % PIECE, 0);
        // SAFETY: the name is a string.
        let memory = unsafe { libc::memfd_create(c"wide".as_ptr(), libc::MFD_CLOEXEC) };
        // SAFETY: the descriptor was just made, and nobody else has it.
        let memory = unsafe { <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(memory) };
        memory.set_len(PIECE as u64).expect("it is little");
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let (private, shared) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::MAP_SHARED);
        let whole = private | libc::MAP_NORESERVE;
        // SAFETY: a mapping of its own, wherever there is room.
        let begin = unsafe { libc::mmap(ptr::null_mut(), len, rights, whole, -1, 0) }.cast::<u8>();
        assert_ne!(begin.cast(), libc::MAP_FAILED);
        for offset in (0..len).step_by(PIECE) {
            let fixed = shared | libc::MAP_FIXED;
            // SAFETY: it replaces a part of the mapping above.
            let piece = unsafe {
                libc::mmap(begin.add(offset).cast(), PIECE, rights, fixed, memory.as_raw_fd(), 0)
            };
            assert_ne!(piece, libc::MAP_FAILED);
        }
        Wide { begin, len, initialized: 0 }
    }

    fn initialized(len: usize) -> Self {
        // A mapping is made of zeroes.
        Wide { initialized: len, ..Wide::new(len) }
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        // SAFETY: the mapping is its own, and no longer used.
        unsafe { libc::munmap(self.begin.cast(), self.len) };
    }
}

// SAFETY: the mapping stays where it is, and goes with the value. That a byte shows in several places is
// nothing that anybody relies on.
unsafe impl IoBuf for Wide {
    fn bytes_ptr(&self) -> *const u8 {
        self.begin
    }

    fn bytes_len(&self) -> usize {
        self.initialized
    }
}

// SAFETY: as above; all of it was mapped to be written.
unsafe impl IoBufMut for Wide {
    fn bytes_mut_ptr(&mut self) -> *mut u8 {
        self.begin
    }

    fn capacity(&self) -> usize {
        self.len
    }

    unsafe fn set_len(&mut self, len: usize) {
        self.initialized = len;
    }
}

#[corering::test]
async fn more_than_2_gib_is_read_and_written_in_several_calls() -> io::Result<()> {
    let folder = Folder::new();
    let short = File::open(folder.file("short", b"0123456789")).await?;
    let null = OpenOptions::new().write(true).open("/dev/null").await?;
    // Lengths of which 32 bits keep nothing, or little.
    for len in [2 * GIB as usize, 4 * GIB as usize, 4 * GIB as usize + PIECE] {
        let (count, wide) = short.read_at(Wide::new(len), 0).await?;
        assert_eq!((count, wide.bytes_len()), (10, 10));
        let (count, _) = null.write_at(Wide::initialized(len), 0).await?;
        assert_eq!(count, CALL_MAX);
        let wide = null.write_all_at(Wide::initialized(len), 0).await?;
        assert_eq!(wide.bytes_len(), len);
        let (count, _) = null.write_vectored_at(vec![wide, Wide::initialized(PIECE)], 0).await?;
        assert_eq!(count, CALL_MAX);
    }
    let len = 2 * GIB as usize + PIECE;
    let zero = File::open("/dev/zero").await?;
    let wide = zero.read_exact_at(Wide::new(len), len, 0).await?;
    assert_eq!(wide.bytes_len(), len);
    Ok(())
}

#[corering::test]
async fn large_buffer_comes_back_from_a_device_without_room() -> io::Result<()> {
    let len = 3 * GIB as usize;
    let full = OpenOptions::new().write(true).open("/dev/full").await?;
    let failed = full.write_all_at(Wide::initialized(len), 0).await.err().expect("nothing fits");
    assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::StorageFull, 0));
    assert_eq!(failed.buf().bytes_len(), len);
    Ok(())
}

/// The first call takes what fits below the limit, and the second is told of it.
#[test]
fn write_across_a_limit_of_5_gib_says_how_much_went() {
    const TEST: &str = "large::write_across_a_limit_of_5_gib_says_how_much_went";
    if !child::is_child() {
        return child::Child::of(TEST).limit(libc::RLIMIT_FSIZE, 5 * GIB).passes();
    }
    corering::test_support::run(TEST, None, || async {
        let folder = Folder::new();
        let file = sparse(&folder, 0).await?;
        let place = 5 * GIB - 100;
        let failed = file.write_all_at(vec![7; 300], place).await.expect_err("the limit is there");
        assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::FileTooLarge, 100));
        assert_eq!(file.read_exact_at(Vec::with_capacity(100), 100, place).await?, [7; 100]);
        assert_eq!(file.metadata().await?.len(), 5 * GIB);
        io::Result::Ok(())
    });
}
