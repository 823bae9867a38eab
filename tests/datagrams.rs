//! Receives of datagrams that are given up, and what they leave for the next.

#[path = "common/net.rs"]
#[allow(dead_code)] // Each test file uses a part.
mod net;

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};

use corering::net::UdpSocket;
use corering::test_support::drivers;
use corering::{Runtime, yield_now};
use futures_util::FutureExt;
use net::drop_in_flight;

/// A socket, and one that sends to it.
async fn pair() -> io::Result<(UdpSocket, UdpSocket)> {
    let (receiver, sender) =
        (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    sender.connect(receiver.local_addr()?).await?;
    Ok((receiver, sender))
}

/// Lets errors wait in a queue of their own, and one come that nobody reads (`IP_RECVERR`).
async fn leave_an_error_unread(socket: &UdpSocket) -> io::Result<()> {
    let (on, len) = (1_i32, size_of::<i32>() as libc::socklen_t);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the option is one integer, which the kernel reads during the call.
    let set = unsafe {
        libc::setsockopt(fd, libc::IPPROTO_IP, libc::IP_RECVERR, (&raw const on).cast(), len)
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
    // Not at an address where a socket of another test may be given the port meanwhile.
    let nobody = std::net::UdpSocket::bind("127.0.7.9:0")?.local_addr()?;
    socket.send_to("anybody there", nobody).await?;
    // The error itself is told once; what stays is its entry in the queue.
    let told = socket.recv(Vec::with_capacity(1)).await.expect_err("nobody is there");
    assert_eq!(told.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}

#[corering::test]
async fn dropped_receives_take_no_datagram() -> io::Result<()> {
    for unread_error in [false, true] {
        let (receiver, sender) = pair().await?;
        if unread_error {
            leave_an_error_unread(&receiver).await?;
        }
        for n in 0..100_u8 {
            drop_in_flight(Box::pin(receiver.recv(Vec::with_capacity(9)))).await;
            // Given up in the round in which it began, or in a later one.
            if n % 2 == 0 {
                yield_now().await;
            }
            sender.send(vec![n]).await?;
            assert_eq!(receiver.recv(Vec::with_capacity(9)).await?.1, [n]);
        }
    }
    Ok(())
}

#[corering::test]
async fn receives_dropped_before_datagrams_come_leave_them_all() -> io::Result<()> {
    for unread_error in [false, true] {
        let (receiver, sender) = pair().await?;
        if unread_error {
            leave_an_error_unread(&receiver).await?;
        }
        for _ in 0..100 {
            drop_in_flight(Box::pin(receiver.recv(Vec::with_capacity(9)))).await;
        }
        for n in 0..100_u8 {
            sender.send(vec![n]).await?;
        }
        for n in 0..100_u8 {
            assert_eq!(receiver.recv(Vec::with_capacity(9)).await?.1, [n]);
        }
    }
    Ok(())
}

#[corering::test]
async fn datagram_that_waits_is_there_at_once() -> io::Result<()> {
    let (receiver, sender) = pair().await?;
    sender.send("datagram").await?;
    let received = receiver.recv(Vec::with_capacity(9)).now_or_never();
    assert_eq!(received.expect("it is there")?.1, b"datagram");
    Ok(())
}

/// The poll that watches the socket ends where its completion finds no place.
#[test]
fn receives_that_wait_are_woken_through_a_ring_of_four_places() {
    for driver in drivers() {
        let builder = Runtime::builder().driver(driver).ring_entries(4);
        let runtime = builder.build().expect("the driver was named, so it runs");
        let received = runtime.block_on(async {
            let mut pairs = Vec::new();
            for _ in 0..50 {
                pairs.push(pair().await?);
            }
            for round in 0..20_u8 {
                let receives = pairs.iter().map(|(receiver, _)| receiver.recv(vec![0; 9]));
                let sends = async {
                    yield_now().await;
                    for (_, sender) in &pairs {
                        sender.send(vec![round]).await?;
                    }
                    Ok(())
                };
                let receives = futures_util::future::try_join_all(receives);
                let receives = async { receives.await.map_err(io::Error::from) };
                let (received, ()) = futures_util::future::try_join(receives, sends).await?;
                assert!(received.iter().all(|(_, buf)| buf[..] == [round]));
            }
            io::Result::Ok(())
        });
        received.expect("sockets work");
    }
}
