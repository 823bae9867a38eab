//! What is known of descriptors: no error, end or forgotten future leaves a stream that waits for
//! what is there already.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use corering::{IoFuture, ReceivePolicy, test_support, yield_now};
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
            assert_eq!(stream.read(Vec::with_capacity(room)).timeout(LIMIT).await?.1, b"bytes");
            let mut next = stream.read(Vec::with_capacity(room));
            assert!(poll_once(&mut next).await.is_pending());
            SockRef::from(&peer).set_linger(Some(Duration::ZERO))?;
            drop(peer);
            let reset = next.timeout(LIMIT).await.expect_err("the peer has reset it");
            assert_eq!(reset.error.kind(), ErrorKind::ConnectionReset);
            for _ in 0..3 {
                assert!(stream.recv().timeout(LIMIT).await?.is_empty());
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
        assert_eq!(&*stream.recv().timeout(LIMIT).await?, b"bytes");
        SockRef::from(&peer).set_linger(Some(Duration::ZERO))?;
        drop(peer);
        yield_now().await;
        let reset = stream.recv().timeout(LIMIT).await.expect_err("the peer has reset it");
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        assert!(stream.recv().timeout(LIMIT).await?.is_empty());
        Ok(())
    });
}
