//! The `O_NONBLOCK` of descriptors that came from outside: it is somebody else's, too.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::rc::Rc;

use corering::fs::File;
use corering::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use net::nothing_is_in_flight;

fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    // SAFETY: F_GETFL takes no argument.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    assert!(flags >= 0, "the descriptor is open");
    flags & libc::O_NONBLOCK != 0
}

fn set_nonblocking(fd: &impl AsRawFd, nonblocking: bool) {
    let flag = if nonblocking { libc::O_NONBLOCK } else { 0 };
    // SAFETY: F_SETFL takes a number; of a descriptor of these tests no other flag is set.
    assert!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flag) } >= 0);
}

fn is_uring() -> bool {
    corering::test_support::current_driver() == corering::Driver::Uring
}

/// Lets a future begin to wait, and asks `holds` meanwhile.
async fn while_waiting<T: 'static>(
    future: impl Future<Output = T> + 'static,
    holds: impl Fn() -> bool,
) -> corering::JoinHandle<T> {
    let task = corering::spawn(future);
    for _ in 0..5 {
        corering::yield_now().await;
        corering::io::nop().await.expect("the runtime lives");
    }
    assert!(!task.is_finished(), "there is nothing yet");
    assert!(holds(), "the mode has changed");
    task
}

#[corering::test]
async fn file_of_a_pipe_leaves_the_mode_to_those_that_share_it() -> io::Result<()> {
    for nonblocking in [false, true] {
        let (shared_reader, shared_writer) = io::pipe()?;
        set_nonblocking(&shared_reader, nonblocking);
        set_nonblocking(&shared_writer, nonblocking);
        let shared_reader = Rc::new(shared_reader);
        let reader = Rc::new(File::from(OwnedFd::from(shared_reader.try_clone()?)));
        let writer = File::from(OwnedFd::from(shared_writer.try_clone()?));
        let as_it_was = || {
            is_nonblocking(&*shared_reader) == nonblocking
                && is_nonblocking(&shared_writer) == nonblocking
        };
        let reads = reader.clone();
        let read = async move { reads.read_at(Vec::with_capacity(8), 0).await };
        let read = while_waiting(read, as_it_was).await;
        writer.write_at("one", 0).await.map_err(io::Error::from)?;
        let (_, bytes) = read.await.expect("it does not panic").map_err(io::Error::from)?;
        assert_eq!(bytes, b"one");
        let reads = reader.clone();
        let read = async move { reads.read_vectored_at(vec![Vec::with_capacity(8)], 0).await };
        let read = while_waiting(read, as_it_was).await;
        writer.write_vectored_at(vec!["tw", "o"], 0).await.map_err(io::Error::from)?;
        let (count, _) = read.await.expect("it does not panic").map_err(io::Error::from)?;
        assert_eq!(count, 3);
        // More than it holds, so that the writer waits.
        let written = async move { writer.write_all_at(vec![7; 1 << 18], 0).await.map(drop) };
        let written = while_waiting(written, as_it_was).await;
        let mut left = 1 << 18;
        while left > 0 {
            let read = reader.read_at(Vec::with_capacity(1 << 16), 0).await;
            left -= read.map_err(io::Error::from)?.0;
        }
        written.await.expect("it does not panic").map_err(io::Error::from)?;
        assert!(as_it_was());
    }
    Ok(())
}

#[corering::test]
async fn child_reads_what_a_file_of_the_same_pipe_has_left() -> io::Result<()> {
    let (shared, mut writer) = io::pipe()?;
    let file = File::from(OwnedFd::from(shared.try_clone()?));
    writer.write_all(b"x")?;
    assert_eq!(file.read_at(Vec::with_capacity(1), 0).await.map_err(io::Error::from)?.1, b"x");
    let child = Command::new("cat").stdin(shared).stdout(Stdio::piped()).spawn()?;
    let waits = corering::spawn_blocking(move || child.wait_with_output());
    corering::yield_now().await;
    writer.write_all(b"for the child")?;
    drop(writer);
    let output = waits.await.expect("it does not panic")?;
    assert!(output.status.success());
    assert_eq!(output.stdout, b"for the child");
    drop(file);
    Ok(())
}

#[corering::test]
async fn sockets_from_outside_keep_their_mode() -> io::Result<()> {
    for nonblocking in [false, true] {
        let (shared, mut peer) = std::os::unix::net::UnixStream::pair()?;
        shared.set_nonblocking(nonblocking)?;
        let shared = Rc::new(shared);
        let mut unix = UnixStream::from(OwnedFd::from(shared.try_clone()?));
        let received = async move {
            let bytes = unix.recv().await?.to_vec();
            unix.write_all(bytes).await?;
            io::Result::Ok(unix)
        };
        let as_it_was = || is_nonblocking(&*shared) == nonblocking;
        let received = while_waiting(received, as_it_was).await;
        peer.write_all(b"one")?;
        let mut unix = received.await.expect("it does not panic")?;
        let read = async move { unix.read(Vec::with_capacity(8)).await.map(|(_, bytes)| bytes) };
        let read = while_waiting(read, as_it_was).await;
        peer.write_all(b"two")?;
        let bytes = read.await.expect("it does not panic").map_err(io::Error::from)?;
        assert_eq!(bytes, b"two");
        assert!(as_it_was());

        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let mut peer = std::net::TcpStream::connect(listener.local_addr()?)?;
        let shared = listener.accept()?.0;
        shared.set_nonblocking(nonblocking)?;
        let mut tcp = TcpStream::from(OwnedFd::from(shared.try_clone()?));
        let received = async move { tcp.recv().await.map(|bytes| bytes.to_vec()) };
        let received = while_waiting(received, || is_nonblocking(&shared) == nonblocking).await;
        peer.write_all(b"three")?;
        assert_eq!(received.await.expect("it does not panic")?, b"three");

        let shared = std::net::UdpSocket::bind("127.0.0.1:0")?;
        shared.set_nonblocking(nonblocking)?;
        let udp = UdpSocket::from(shared.try_clone()?);
        let received = async move { udp.recv_from(Vec::with_capacity(8)).await.map(|_| ()) };
        let received = while_waiting(received, || is_nonblocking(&shared) == nonblocking).await;
        shared.send_to(b"four", shared.local_addr()?)?;
        received.await.expect("it does not panic").map_err(io::Error::from)?;
    }
    Ok(())
}

#[corering::test]
async fn terminal_keeps_its_mode_on_epoll_and_gets_it_back_on_a_ring() -> io::Result<()> {
    for nonblocking in [false, true] {
        let (mut master, mut slave) = (0, 0);
        let null = std::ptr::null_mut::<u8>();
        let opened =
            // SAFETY: the two numbers outlive the call, and the others may be null.
            unsafe { libc::openpty(&mut master, &mut slave, null.cast(), null.cast(), null.cast()) };
        assert_eq!(opened, 0);
        // SAFETY: the call has opened both for us.
        let mut keyboard = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(master) });
        // SAFETY: as above.
        let shared = Rc::new(unsafe { OwnedFd::from_raw_fd(slave) });
        set_nonblocking(&*shared, nonblocking);
        let terminal = Rc::new(File::from(shared.try_clone()?));
        let reads = terminal.clone();
        let read = async move { reads.read_at(Vec::with_capacity(8), 0).await };
        // A ring answers EAGAIN for a terminal that has O_NONBLOCK: there nothing else works.
        let kept = || is_nonblocking(&*shared) == nonblocking || (is_uring() && nonblocking);
        let read = while_waiting(read, kept).await;
        keyboard.write_all(b"line\n")?;
        let (_, bytes) = read.await.expect("it does not panic").map_err(io::Error::from)?;
        assert_eq!(bytes, b"line\n");
        terminal.write_all_at("prompt", 0).await.map_err(io::Error::from)?;
        let mut shown = [0; 12];
        keyboard.read_exact(&mut shown)?;
        assert_eq!(&shown, b"line\r\nprompt");
        drop(terminal);
        nothing_is_in_flight().await;
        assert_eq!(is_nonblocking(&*shared), nonblocking);
    }
    Ok(())
}

/// What has no flag for it: the mode is changed meanwhile.
#[corering::test]
async fn mode_that_had_to_change_is_put_back() -> io::Result<()> {
    for nonblocking in [false, true] {
        let shared = std::net::TcpListener::bind("127.0.0.1:0")?;
        shared.set_nonblocking(nonblocking)?;
        let listener = TcpListener::from(OwnedFd::from(shared.try_clone()?));
        let accepted = async move { listener.accept().await.map(drop) };
        let accepted = while_waiting(accepted, || true).await;
        drop(std::net::TcpStream::connect(shared.local_addr()?)?);
        accepted.await.expect("it does not panic")?;
        nothing_is_in_flight().await;
        assert_eq!(is_nonblocking(&shared), nonblocking);

        let flags = if nonblocking { libc::TFD_NONBLOCK } else { 0 };
        // SAFETY: the call takes numbers, and what it returns is ours.
        let shared =
            unsafe { OwnedFd::from_raw_fd(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags)) };
        let timer = Rc::new(File::from(shared.try_clone()?));
        let reads = timer.clone();
        let read = async move { reads.read_at(Vec::with_capacity(8), 0).await };
        let read = while_waiting(read, || true).await;
        let soon = libc::timespec { tv_sec: 0, tv_nsec: 1 };
        let once = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: soon,
        };
        // SAFETY: the time outlives the call, and the former one is not asked for.
        let set =
            unsafe { libc::timerfd_settime(shared.as_raw_fd(), 0, &once, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        let (count, _) = read.await.expect("it does not panic").map_err(io::Error::from)?;
        assert_eq!(count, 8);
        nothing_is_in_flight().await;
        let given_back = Rc::into_inner(timer).expect("the task has ended").try_into_std();
        assert_eq!(is_nonblocking(&given_back.expect("nothing uses it")), nonblocking);
    }
    Ok(())
}
