//! Rows of copies: what was received and not written is for the next call of the reader.

use std::io;
use std::net::Shutdown;

use corering::io::{CopyError, copy, copy_bidirectional};
use corering::net::{ByteStream, Family};
use futures_util::TryFutureExt;

use crate::moments::{Boxed, Moment, World, drop_at};

/// Copies from one stream to the other, to the end.
type Copy<F> =
    for<'a> fn(&'a mut ByteStream<F>, &'a mut ByteStream<F>) -> Boxed<'a, Result<u64, CopyError>>;

fn copies<F: Family>() -> [(&'static str, Copy<F>); 2] {
    [
        ("io::copy", |from, to| Box::pin(copy(from, to))),
        ("io::copy_bidirectional", |from, to| {
            Box::pin(copy_bidirectional(from, to).map_ok(|(there, _)| there))
        }),
    ]
}

/// All rows at one moment.
pub(crate) async fn lose_no_byte<F: Family>(
    world: &World,
    moment: Moment,
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for (row, copy) in copies() {
        let (mut client, mut from) = pair().await?;
        let (mut to, mut server) = pair().await?;
        for _ in 0..4 {
            let mut sent = false;
            let send = async || {
                sent = true;
                client.write_all("abc").await.expect("there is room");
            };
            let ended = drop_at(world, moment, copy(&mut from, &mut to), send).await;
            assert!(ended.is_none(), "{row}, {moment:?}: nothing has ended");
            if !sent {
                client.write_all("abc").await?;
            }
        }
        client.shutdown(Shutdown::Write).await?;
        server.shutdown(Shutdown::Write).await?;
        // Whatever was left goes with the next one.
        copy(&mut from, &mut to).await?;
        to.close().await?;
        let mut received = Vec::new();
        loop {
            let bytes = server.recv().await?;
            if bytes.is_empty() {
                break;
            }
            received.extend_from_slice(&bytes);
        }
        assert_eq!(received, b"abc".repeat(4), "{row}, {moment:?}");
    }
    Ok(())
}
