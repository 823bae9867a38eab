//! What is known of descriptors: no error, end or forgotten future leaves a stream that waits for
//! what is there already.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use corering::net::WriteAbandoned;
use corering::time::within;
use corering::{ReceivePolicy, Runtime, test_support, yield_now};
use net::{POLICIES, poll_once, tcp_peer};
use socket2::SockRef;

/// Long enough for whatever is there.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a body on both drivers, with each receive policy.
fn on_each_policy<F: Future<Output = io::Result<()>>>(
    name: &str,
    body: impl Fn(ReceivePolicy) -> F,
) {
    for policy in POLICIES {
        let name = format!("{name}, {policy:?}");
        test_support::run_configured(&name, None, |it| it.receive_policy(policy), || body(policy));
    }
}

#[test]
fn end_follows_reset_that_was_waited_for() {
    on_each_policy("end_follows_reset_that_was_waited_for", |_| async {
        for room in [64, 16 * 1024] {
            let (mut stream, mut peer) = tcp_peer().await?;
            peer.write_all(b"bytes")?;
            assert_eq!(within(LIMIT, stream.read(Vec::with_capacity(room))).await?.1, b"bytes");
            let mut next = stream.read(Vec::with_capacity(room));
            assert!(poll_once(&mut next).await.is_pending());
            SockRef::from(&peer).set_linger(Some(Duration::ZERO))?;
            drop(peer);
            let reset = within(LIMIT, next).await.expect_err("the peer has reset it");
            assert_eq!(reset.error.kind(), ErrorKind::ConnectionReset);
            for _ in 0..3 {
                assert!(within(LIMIT, stream.recv()).await?.is_empty());
            }
        }
        Ok(())
    });
}

#[test]
fn end_follows_reset_behind_bytes_that_were_read_in_parts() {
    on_each_policy("end_follows_reset_behind_bytes_that_were_read_in_parts", |_| async {
        let (mut stream, mut peer) = tcp_peer().await?;
        assert!(poll_once(&mut stream.recv()).await.is_pending());
        peer.write_all(b"bytes")?;
        yield_now().await;
        assert_eq!(&*within(LIMIT, stream.recv()).await?, b"bytes");
        SockRef::from(&peer).set_linger(Some(Duration::ZERO))?;
        drop(peer);
        yield_now().await;
        let reset = within(LIMIT, stream.recv()).await.expect_err("the peer has reset it");
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        assert!(within(LIMIT, stream.recv()).await?.is_empty());
        Ok(())
    });
}

/// It is not asked what is left behind in the end: forgetting leaks a buffer and its descriptor.
#[test]
fn forgotten_write_gives_its_place_back() {
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let places = runtime.block_on(async {
            let (mut stream, mut peer) = tcp_peer().await?;
            for _ in 0..3 {
                let mut write = stream.write_all(vec![0; net::TOO_MUCH]);
                assert!(poll_once(&mut write).await.is_pending(), "a socket holds less");
                std::mem::forget(write);
                let told = within(LIMIT, stream.write_all("next")).await.expect_err("it is told");
                let abandoned = WriteAbandoned::of(&told.error).expect("of the forgotten one");
                peer.read_exact(&mut vec![0; abandoned.written])?;
            }
            io::Result::Ok(corering::metrics().slots_in_use)
        });
        assert_eq!(places.expect("sockets work"), 0, "{driver}");
    }
}
