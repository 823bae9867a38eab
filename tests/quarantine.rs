//! The kernel writes into no freed memory.
//!
//! AddressSanitizer does not see the kernel's writes. So here freed blocks are kept for a while, filled with a
//! pattern, and looked at before they are given back: whoever wrote into one is found out. Futures are
//! dropped in flight by the thousand meanwhile, while their peers send.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/child.rs"]
mod child;
#[allow(dead_code)]
#[path = "common/net.rs"]
mod net;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use child::Child;
use corering::buf::IoBuf;
use corering::net::{TcpStream, UnixStream};
use corering::time::within;
use corering::{Driver, Runtime, spawn, test_support, yield_now};
use net::{POLICIES, Random, nothing_is_in_flight, poll_once, unix_peer};

/// The system's allocator, which keeps freed blocks in quarantine.
struct Quarantine;

#[global_allocator]
static QUARANTINE: Quarantine = Quarantine;

/// Of freed memory at least the latest so many blocks, or bytes, stay unused.
const BLOCKS_MAX: usize = 1 << 16;
const BYTES_MAX: usize = 96 << 20;
/// Larger ones are given back at once.
const BLOCK_SIZE_MAX: usize = 8 << 20;
const PATTERN: u8 = 0xdf;

/// Freed blocks in which something was written.
static DAMAGED: AtomicUsize = AtomicUsize::new(0);
static FREED: Mutex<Freed> = Mutex::new(Freed::new());

/// Freed blocks, the oldest first, around in a ring.
struct Freed {
    blocks: [(usize, Layout); BLOCKS_MAX],
    oldest: usize,
    count: usize,
    bytes: usize,
}

impl Freed {
    const fn new() -> Self {
        Freed { blocks: [(0, Layout::new::<u8>()); BLOCKS_MAX], oldest: 0, count: 0, bytes: 0 }
    }

    fn keep(&mut self, address: usize, layout: Layout) {
        while self.count == BLOCKS_MAX || self.bytes + layout.size() > BYTES_MAX {
            self.release_oldest();
        }
        self.blocks[(self.oldest + self.count) % BLOCKS_MAX] = (address, layout);
        self.count += 1;
        self.bytes += layout.size();
    }

    fn release_oldest(&mut self) {
        let (address, layout) = self.blocks[self.oldest];
        self.oldest = (self.oldest + 1) % BLOCKS_MAX;
        self.count -= 1;
        self.bytes -= layout.size();
        if !is_untouched(address, layout) {
            DAMAGED.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the block came from this allocator with this layout, and its owner has freed it.
        unsafe { System.dealloc(address as *mut u8, layout) };
    }
}

fn is_untouched(address: usize, layout: Layout) -> bool {
    // SAFETY: a block in quarantine is mapped, so long, and was filled; its owner uses it no more.
    let bytes = unsafe { std::slice::from_raw_parts(address as *const u8, layout.size()) };
    // Each byte is as the one before it: this compares memory with itself, which is fast.
    bytes.first().is_none_or(|first| *first == PATTERN && bytes[1..] == bytes[..bytes.len() - 1])
}

// SAFETY: memory comes from the system's allocator and goes back to it with the layout it came with, once.
unsafe impl GlobalAlloc for Quarantine {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if layout.size() > BLOCK_SIZE_MAX {
            // SAFETY: the caller's promise is the same.
            return unsafe { System.dealloc(ptr, layout) };
        }
        // SAFETY: the block is so long, and its owner has given it up.
        unsafe { ptr.write_bytes(PATTERN, layout.size()) };
        FREED.lock().unwrap_or_else(PoisonError::into_inner).keep(ptr as usize, layout);
    }
}

/// Looks at everything that is in quarantine, and lets it go. Returns how many blocks were written to since
/// they were freed, in all tests so far.
fn damaged() -> usize {
    let mut freed = FREED.lock().unwrap_or_else(PoisonError::into_inner);
    while freed.count > 0 {
        freed.release_oldest();
    }
    DAMAGED.load(Ordering::Relaxed)
}

#[test]
fn write_of_the_kernel_into_freed_memory_is_seen() {
    if !child::is_child() {
        return Child::of("write_of_the_kernel_into_freed_memory_is_seen").passes();
    }
    let (reader, mut writer) = io::pipe().expect("descriptors are free");
    writer.write_all(b"too late").expect("a pipe holds eight bytes");
    let block = vec![0_u8; 4096];
    let address = block.as_ptr() as usize;
    drop(block);
    // SAFETY: the address is that of a block in quarantine, which is mapped and used by nobody: this is what
    // a careless runtime would have the kernel do.
    let read = unsafe { libc::syscall(libc::SYS_read, reader.as_raw_fd(), address, 8) };
    assert_eq!(read, 8);
    assert_eq!(damaged(), 1);
}

/// Peers that send without end, until this is dropped.
struct Senders {
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
    peers: Arc<Mutex<Vec<std::os::unix::net::UnixStream>>>,
}

impl Senders {
    fn new() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let peers = Arc::new(Mutex::new(Vec::<std::os::unix::net::UnixStream>::new()));
        let send = |_| {
            let (over, peers) = (over.clone(), peers.clone());
            thread::spawn(move || {
                let message = [0x42; 700];
                while !over.load(Ordering::Relaxed) {
                    // A peer whose stream is gone goes, too. Sending never waits.
                    lock(&peers).retain_mut(|peer| match peer.write(&message) {
                        Ok(_) => true,
                        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
                    });
                    thread::yield_now();
                }
            })
        };
        let threads = (0..2).map(send).collect();
        Senders { over, threads, peers }
    }

    /// A stream to which bytes come at any time.
    fn stream(&self) -> io::Result<UnixStream> {
        let (stream, peer) = unix_peer()?;
        lock(&self.peers).push(peer);
        Ok(stream)
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("it does not panic"));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a body on both drivers, with each receive policy.
fn on_each_policy<F: Future<Output = io::Result<()>>>(name: &str, body: impl Fn() -> F) {
    for policy in POLICIES {
        let name = format!("{name}, {policy:?}");
        let configure = |builder: corering::Builder| builder.receive_policy(policy);
        test_support::run_configured(&name, None, configure, &body);
        assert_eq!(damaged(), 0, "{name}");
    }
}

#[test]
fn reads_dropped_in_flight_are_not_written_to() {
    on_each_policy("reads_dropped_in_flight_are_not_written_to", || async {
        let senders = Senders::new();
        let mut random = Random(1);
        for _ in 0..100 {
            let mut streams = Vec::new();
            for _ in 0..20 {
                let mut stream = senders.stream()?;
                let mut read = stream.read(Vec::with_capacity(64 + random.below(1000)));
                let _early = poll_once(&mut read).await;
                if random.below(2) == 0 {
                    yield_now().await;
                }
                drop(read);
                // Half of the streams go at once, the others when all have had their turn.
                if random.below(2) == 0 {
                    streams.push(stream);
                }
            }
            for stream in &mut streams {
                let received = within(Duration::from_secs(30), stream.recv()).await?;
                assert!(received.iter().all(|byte| *byte == 0x42));
            }
        }
        Ok(())
    });
}

#[test]
fn streams_dropped_while_they_receive_are_not_written_to() {
    on_each_policy("streams_dropped_while_they_receive_are_not_written_to", || async {
        let senders = Senders::new();
        let mut random = Random(2);
        let mut held = Vec::new();
        for number in 0..2000 {
            let mut stream = senders.stream()?;
            if let Poll::Ready(received) = poll_once(&mut stream.recv()).await {
                held.push(received?);
            }
            for _ in 0..random.below(3) {
                yield_now().await;
            }
            if number % 4 == 0
                && let Poll::Ready(received) = poll_once(&mut stream.recv()).await
            {
                held.push(received?);
            }
            held.truncate(8);
        }
        assert!(held.iter().all(|received| received.iter().all(|byte| *byte == 0x42)));
        Ok(())
    });
}

#[test]
fn writes_dropped_in_flight_send_no_freed_memory() {
    test_support::run("writes_dropped_in_flight_send_no_freed_memory", None, || async {
        for _ in 0..100 {
            let (mut stream, mut peer) = unix_peer()?;
            let mut write = stream.write_all(vec![0x42; 1 << 19]);
            assert!(poll_once(&mut write).await.is_pending());
            drop(write);
            drop(stream);
            let mut buffer = vec![0; 1 << 16];
            // The kernel takes more of it as long as there is room.
            for _ in 0..20 {
                if let Ok(count) = peer.read(&mut buffer) {
                    assert!(
                        buffer[..count].iter().all(|byte| *byte == 0x42),
                        "freed memory was sent"
                    );
                }
                yield_now().await;
            }
        }
        nothing_is_in_flight().await;
        io::Result::Ok(())
    });
    assert_eq!(damaged(), 0);
}

/// Longer than what the buffers of two Unix sockets hold.
const LONG: usize = 1 << 19;
static STATIC: [u8; LONG] = [0x42; LONG];

/// Sends a buffer whole, and then drops the write of another half way.
async fn send_whole_and_half<B: IoBuf>(make: impl Fn() -> B) -> io::Result<()> {
    let (mut stream, mut peer) = unix_peer()?;
    let mut write = stream.write_all(make());
    let mut received = 0;
    let buf = loop {
        if let Poll::Ready(written) = poll_once(&mut write).await {
            break written?;
        }
        received += receive_some(&mut peer);
        yield_now().await;
    };
    drop(write);
    while received < LONG {
        received += receive_some(&mut peer);
    }
    assert_eq!((received, buf.bytes_len()), (LONG, LONG));

    let mut write = stream.write_all(buf);
    assert!(poll_once(&mut write).await.is_pending());
    while receive_some(&mut peer) == 0 {
        yield_now().await;
    }
    assert!(poll_once(&mut write).await.is_pending());
    drop(write);
    drop(stream);
    // The kernel takes more of it as long as there is room.
    for _ in 0..20 {
        receive_some(&mut peer);
        yield_now().await;
    }
    nothing_is_in_flight().await;
    Ok(())
}

/// Takes what has come, if anything has, which was not freed before it was sent.
fn receive_some(peer: &mut std::os::unix::net::UnixStream) -> usize {
    let mut buffer = vec![0; 1 << 16];
    let count = peer.read(&mut buffer).unwrap_or(0);
    assert!(buffer[..count].iter().all(|byte| *byte == 0x42), "freed memory was sent");
    count
}

#[test]
fn buffers_of_every_kind_outlive_a_dropped_write() {
    test_support::run("buffers_of_every_kind_outlive_a_dropped_write", None, || async {
        let text = "B".repeat(LONG);
        send_whole_and_half(|| text.clone()).await?;
        send_whole_and_half(|| Box::<str>::from(&*text)).await?;
        send_whole_and_half(|| Box::<[u8]>::from(text.as_bytes())).await?;
        send_whole_and_half(|| bytes::Bytes::from(text.clone())).await?;
        send_whole_and_half(|| &STATIC).await?;
        // The operation's reference is the last one.
        send_whole_and_half(|| Arc::<[u8]>::from(text.as_bytes())).await?;
        send_whole_and_half(|| Arc::<str>::from(&*text)).await?;
        send_whole_and_half(|| Arc::new(text.clone().into_bytes())).await?;
        send_whole_and_half(|| Rc::<[u8]>::from(text.as_bytes())).await?;
        send_whole_and_half(|| Rc::<str>::from(&*text)).await?;
        send_whole_and_half(|| Rc::new(text.clone().into_bytes())).await?;
        io::Result::Ok(())
    });
    assert_eq!(damaged(), 0);
}

#[test]
fn shared_buffer_cannot_be_changed_while_it_is_sent() {
    test_support::run("shared_buffer_cannot_be_changed_while_it_is_sent", None, || async {
        let mut bytes: Arc<[u8]> = STATIC.as_slice().into();
        let mut text: Rc<str> = "B".repeat(LONG).into();
        let ((mut one, _peer), (mut other, _its_peer)) = (unix_peer()?, unix_peer()?);
        let mut write_bytes = one.write_all(bytes.clone());
        let mut write_text = other.write_all(text.clone());
        assert!(poll_once(&mut write_bytes).await.is_pending());
        assert!(poll_once(&mut write_text).await.is_pending());
        assert!(Arc::get_mut(&mut bytes).is_none());
        assert!(Rc::get_mut(&mut text).is_none());
        drop((write_bytes, write_text));
        drop((one, other));
        nothing_is_in_flight().await;
        assert!(Arc::get_mut(&mut bytes).is_some());
        assert!(Rc::get_mut(&mut text).is_some());
        io::Result::Ok(())
    });
}

#[test]
fn connects_accepts_and_time_limits_leave_no_write_behind() {
    const TEST: &str = "connects_accepts_and_time_limits_leave_no_write_behind";
    test_support::run(TEST, None, || async {
        let (listener, address) = net::listener().await?;
        let senders = Senders::new();
        for number in 0..500_usize {
            let mut connect = Box::pin(TcpStream::connect(address));
            for _ in 0..number % 5 {
                if poll_once(&mut connect).await.is_ready() {
                    break;
                }
                yield_now().await;
            }
            drop(connect);
            drop(poll_once(&mut listener.accept()).await);
            let mut stream = senders.stream()?;
            drop(within(Duration::ZERO, stream.read(Vec::with_capacity(700))).await);
        }
        io::Result::Ok(())
    });
    assert_eq!(damaged(), 0);
}

#[test]
fn runtime_that_ends_while_peers_send_leaves_no_write_behind() {
    for driver in test_support::drivers() {
        for policy in POLICIES {
            let senders = Senders::new();
            for _ in 0..10 {
                end_while_peers_send(driver, policy, &senders);
            }
            // Whatever the kernel still had would be written by now, into memory long freed.
            drop(senders);
            assert_eq!(damaged(), 0, "{driver}, {policy:?}");
        }
    }
}

fn end_while_peers_send(driver: Driver, policy: corering::ReceivePolicy, senders: &Senders) {
    let builder = Runtime::builder().driver(driver).receive_policy(policy);
    let runtime = builder.build().expect("the driver is there");
    let mut outside = Vec::new();
    runtime.block_on(async {
        for number in 0..30 {
            let mut stream = senders.stream().expect("descriptors are free");
            let task = spawn(async move {
                loop {
                    if number % 2 == 0 {
                        drop(stream.recv().await);
                    } else {
                        drop(stream.read(Vec::with_capacity(300)).await);
                    }
                }
            });
            drop(task);
            let mut stream = senders.stream().expect("descriptors are free");
            let _armed = poll_once(&mut stream.recv()).await;
            outside.push(stream);
        }
        for _ in 0..10 {
            yield_now().await;
        }
    });
    assert_eq!(runtime.shut_down().leaked_operations, 0, "{driver}");
    // Streams that outlive the runtime give their memory up last.
    drop(outside);
}
