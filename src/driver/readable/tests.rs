//! The budget of a task, and what is known of a descriptor.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::*;
use crate::buf::RecvBuf;
use crate::driver::CutBy;
use crate::op;
use crate::task::yield_now;
use crate::util::budget;
use crate::util::test_waker::Poller;

fn pair() -> io::Result<(SharedFd, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((SharedFd::opened_socket(OwnedFd::from(ours), true, CutBy::MarkOrControl), theirs))
}

/// Polls for bytes, with so much of a budget: all, or nothing.
fn poll(
    wait: &mut ReadableWait,
    fd: &SharedFd,
    poller: &Poller,
    pays: bool,
) -> Poll<io::Result<RecvBuf>> {
    budget::begin_poll();
    if !pays {
        budget::exhaust();
    }
    let polled = wait
        .poll(fd, &mut Context::from_waker(poller.waker()), |driver| op::recv::lent(driver, fd));
    budget::begin_poll();
    polled
}

#[corering::test]
async fn refused_receive_keeps_word_and_wakes() -> io::Result<()> {
    let (fd, mut peer) = pair()?;
    let (mut wait, poller) = (ReadableWait::default(), Poller::new());
    for (round, byte) in (b'a'..=b'y').enumerate() {
        // The socket is drained, and the wait may have begun or not.
        if round % 3 == 0 {
            assert!(poll(&mut wait, &fd, &poller, true).is_pending());
        }
        peer.write_all(&[byte])?;
        // The kernel tells of the byte, if it was asked.
        for _ in 0..round % 4 {
            yield_now().await;
        }
        let mut wakes = poller.wakes();
        let received = loop {
            match poll(&mut wait, &fd, &poller, round % 2 == 0) {
                Poll::Ready(received) => break received?,
                Poll::Pending => {
                    // Refused, or about to wait: it is woken either way.
                    while poller.wakes() == wakes {
                        yield_now().await;
                    }
                    wakes = poller.wakes();
                }
            }
        };
        assert_eq!(&*received, [byte]);
    }
    drop(wait);
    assert_eq!(poller.kept(), 0);
    Ok(())
}
