//! Sockets whose peers send, read or connect without end.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use corering::buf::IoBuf;
use corering::fs::{CachedFile, File, FileCache};
use corering::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use futures_util::StreamExt;

use crate::beside::Beside;

/// Bytes of one call.
const BYTES: usize = 512;

/// A thread that does something until it fails, or until this is dropped.
struct Feeder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feeder {
    fn repeat(mut once: impl FnMut() -> std::io::Result<()> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread =
            std::thread::spawn(move || while !stopped.load(Ordering::Relaxed) && once().is_ok() {});
        Feeder { stop, thread: Some(thread) }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a feeder does not panic");
        }
    }
}

/// A stream whose peer sends without end.
pub(crate) async fn fed() -> TcpStream {
    let (stream, mut peer) = tcp_peer().await;
    let bytes = vec![7; 64 * 1024];
    detached(move || peer.write_all(&bytes));
    stream
}

/// A stream whose peer reads without end.
pub(crate) async fn drained() -> TcpStream {
    let (stream, mut peer) = tcp_peer().await;
    let mut bytes = vec![0; 256 * 1024];
    detached(move || match peer.read(&mut bytes)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    });
    stream
}

/// Ends with its stream.
fn detached(once: impl FnMut() -> std::io::Result<()> + Send + 'static) {
    let mut feeder = Feeder::repeat(once);
    drop(feeder.thread.take());
    std::mem::forget(feeder);
}

async fn tcp_peer() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is up");
    let address = listener.local_addr().expect("it is bound");
    let peer = std::net::TcpStream::connect(address).expect("it listens");
    (listener.accept().await.expect("it has connected"), peer)
}

fn pair() -> (UnixStream, StdUnixStream) {
    let (ours, theirs) = StdUnixStream::pair().expect("descriptors are left");
    (OwnedFd::from(ours).into(), theirs)
}

fn room() -> Vec<u8> {
    Vec::with_capacity(BYTES)
}

pub(crate) async fn rows(beside: &Beside) {
    receives(beside).await;
    sends(beside).await;
    ends(beside).await;
}

async fn receives(beside: &Beside) {
    let mut stream = fed().await;
    beside
        .endless("net::stream::recv", async move || {
            assert!(!stream.recv().await.expect("the peer is there").is_empty());
        })
        .await;
    let mut stream = fed().await;
    beside
        .endless("net::stream::read", async move || {
            assert_ne!(stream.read(room()).await.expect("the peer is there").0, 0);
        })
        .await;
    // What was received whole is read in small parts.
    let mut stream = fed().await;
    drop(stream.recv().await.expect("the peer is there"));
    beside
        .endless("net::stream::read", async move || {
            let part = Vec::with_capacity(1);
            assert_ne!(stream.read(part).await.expect("the peer is there").0, 0);
        })
        .await;
    let mut stream = fed().await;
    beside
        .endless("net::stream::read_exact", async move || {
            stream.read_exact(room(), BYTES).await.expect("the peer is there");
        })
        .await;
    let mut stream = fed().await;
    beside
        .endless("net::readiness::peek", async move || {
            assert!(!stream.peek().await.expect("the peer is there").is_empty());
        })
        .await;
    let mut stream = fed().await;
    beside
        .endless("net::readiness::peek", async move || {
            stream.readable().await.expect("the peer is there");
            stream.try_read(room()).expect("it is readable");
        })
        .await;
    let (mut stream, mut peer) = pair();
    detached(move || peer.write_all(&[7]));
    beside
        .endless("net::stream::recv", async move || {
            assert!(!stream.recv().await.expect("the peer is there").is_empty());
        })
        .await;
}

async fn sends(beside: &Beside) {
    let stream = drained().await;
    beside
        .endless("net::readiness::writable", async move || {
            stream.writable().await.expect("there is room");
        })
        .await;
    let mut stream = drained().await;
    beside
        .endless("net::stream::write", async move || {
            stream.write(vec![7; BYTES]).await.expect("the peer is there");
        })
        .await;
    // A stream that has never received, and one that has.
    let mut stream = drained().await;
    beside
        .endless("net::stream::write_all", async move || {
            stream.write_all(vec![7; BYTES]).await.expect("the peer is there");
        })
        .await;
    let mut stream = drained().await;
    beside
        .endless("net::stream::write_all", async move || {
            stream.write_all("").await.expect("there is nothing to send");
        })
        .await;
    let mut stream = drained().await;
    beside
        .endless("net::stream::send_all", async move || {
            let parts = vec![vec![7; BYTES], vec![7; BYTES]];
            stream.send_all(parts).await.expect("the peer is there");
        })
        .await;
    for len in [BYTES, 64 * 1024] {
        let file = file_of(len).await;
        let mut stream = drained().await;
        beside
            .endless("net::stream::send_file", async move || {
                let sent = stream.send_file(&file, 0, len as u64).await;
                assert_eq!(sent.expect("the peer is there"), len as u64);
            })
            .await;
        let file = file_of(len).await;
        let mut stream = drained().await;
        beside
            .endless("net::stream::send_file_after", async move || {
                let sent = stream.send_file_after("head", &file, 0, len as u64).await;
                assert_eq!(sent.expect("the peer is there").0, len as u64);
            })
            .await;
        let cached = cached_of(len).await;
        let mut stream = drained().await;
        beside
            .endless("net::send_cached::send_cached_after", async move || {
                let sent = stream.send_cached_after("head", &cached, 0, len as u64).await;
                assert_eq!(sent.expect("the peer is there").0, len as u64);
            })
            .await;
    }
}

async fn cached_of(len: usize) -> Rc<CachedFile> {
    let path = path("cached");
    std::fs::write(&path, vec![7; len]).expect("the build's folder is writable");
    let folder = path.parent().expect("it is in the build's folder");
    let folder = File::open(folder).await.expect("it is there");
    let cache: FileCache = FileCache::builder().beneath(&folder);
    let cached = cache.get(path.file_name().expect("it has a name")).await;
    std::fs::remove_file(&path).expect("it is ours");
    cached.expect("it was just written")
}

async fn file_of(len: usize) -> File {
    let path = path("sent");
    std::fs::write(&path, vec![7; len]).expect("the build's folder is writable");
    let file = File::open(&path).await.expect("it was just written");
    std::fs::remove_file(path).expect("it is ours");
    file
}

fn path(name: &str) -> PathBuf {
    let name = format!("budget-{}-{name}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

async fn ends(beside: &Beside) {
    let (stream, _peer) = pair();
    beside
        .endless("net::stream::shutdown", async move || {
            stream.shutdown(Shutdown::Write).await.expect("it is connected");
        })
        .await;
    beside
        .endless("net::stream::close", async || {
            pair().0.close().await.expect("nothing is in flight");
        })
        .await;
    let mut stream = Some(pair());
    beside
        .endless("net::stream::detach", async move || {
            let (ours, peer) = stream.take().expect("it comes back each time");
            let detached = ours.detach().await.expect("nothing is in flight");
            stream = Some((detached.into_stream(), peer));
        })
        .await;
    let mut stream = Some(pair());
    beside
        .endless("net::stream::into_std", async move || {
            let (ours, peer) = stream.take().expect("it comes back each time");
            let (ours, _received) = ours.into_std().await.expect("nothing is in flight");
            stream = Some((ours.into(), peer));
        })
        .await;
    beside
        .endless("net::halves::close", async || {
            let (reader, writer) = pair().0.into_split();
            reader.close().await.expect("nothing is in flight");
            writer.close().await.expect("it is connected");
        })
        .await;
}

pub(crate) async fn more_rows(beside: &Beside) {
    listeners(beside).await;
    datagrams(beside).await;
}

async fn listeners(beside: &Beside) {
    let name = path("accept");
    let _ = std::fs::remove_file(&name);
    let listener = std::rc::Rc::new(UnixListener::bind(&name).await.expect("it is writable"));
    let to = name.clone();
    let feeder = Feeder::repeat(move || StdUnixStream::connect(&to).map(drop));
    let accepting = listener.clone();
    beside
        .endless("net::listener::accept", async move || {
            drop(accepting.accept().await.expect("descriptors are left"));
        })
        .await;
    let incoming = listener.clone();
    beside
        .endless("net::listener::incoming", async move || {
            drop(incoming.incoming().next().await.expect("it does not end"));
        })
        .await;
    // A listener that is full does not let its feeder go.
    drop(listener);
    drop(feeder);
    std::fs::remove_file(&name).expect("it is ours");
    connects(beside, &name).await;
}

async fn connects(beside: &Beside, name: &Path) {
    let listener = StdUnixListener::bind(name).expect("it is writable");
    detached(move || listener.accept().map(drop));
    let to = name.to_owned();
    beside
        .endless("net::unix::connect", async move || {
            drop(UnixStream::connect(&to).await.expect("it listens"));
        })
        .await;
    beside
        .endless("net::unix::bind", async || {
            UnixListener::bind("/proc/none").await.expect_err("nothing can be made there");
        })
        .await;
    std::fs::remove_file(name).expect("it is ours");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is up");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    beside
        .endless("net::tcp::connect", async move || {
            TcpStream::connect(address).await.expect_err("nobody listens");
        })
        .await;
    beside
        .endless("net::tcp::bind", async || {
            drop(TcpListener::bind("127.0.0.1:0").await.expect("ports are left"));
        })
        .await;
}

async fn datagrams(beside: &Beside) {
    beside
        .endless("net::udp::bind", async || {
            drop(UdpSocket::bind("127.0.0.1:0").await.expect("ports are left"));
        })
        .await;
    for connected in [false, true] {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback is up");
        let to = socket.local_addr().expect("it is bound");
        let flood = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
        if connected {
            socket.connect(flood.local_addr().expect("it is bound")).await.expect("it is there");
        }
        // The end of our socket is told to who floods it: then it ends.
        flood.connect(to).expect("it is there");
        let _feeder = Feeder::repeat(move || flood.send(&[7; BYTES]).map(drop));
        let leaf = if connected { "net::udp::recv" } else { "net::udp::recv_from" };
        beside
            .endless(leaf, async move || match connected {
                true => drop(socket.recv(room()).await.expect("the peer is there")),
                false => drop(socket.recv_from(room()).await.expect("the peer is there")),
            })
            .await;
    }
    let sink = UdpSocket::bind("127.0.0.1:0").await.expect("loopback is up");
    let to = sink.local_addr().expect("it is bound");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback is up");
    let bytes = || vec![7; BYTES].slice(..);
    beside
        .endless("net::udp::send_to", async move || {
            socket.send_to(bytes(), to).await.expect("the sink is there");
        })
        .await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback is up");
    beside
        .endless("net::udp::connect", async move || {
            socket.connect(to).await.expect("the sink is there");
        })
        .await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback is up");
    socket.connect(to).await.expect("the sink is there");
    beside
        .endless("net::udp::send", async move || {
            socket.send(bytes()).await.expect("the sink is there");
        })
        .await;
}
