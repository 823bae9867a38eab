//! Rows of what ends a stream, or a side of it: that happens, at whatever moment it is dropped.

use std::io;
use std::net::Shutdown;

use corering::net::{ByteStream, Family};
use futures_util::TryFutureExt;

use crate::moments::{Boxed, Moment, World, drop_at};
use crate::writes::fill;

/// Ends a stream that it takes.
type End<F> = fn(ByteStream<F>) -> Boxed<'static, io::Result<()>>;

fn ends<F: Family>() -> Vec<(&'static str, End<F>)> {
    vec![
        ("ByteStream::close", |stream| Box::pin(stream.close())),
        ("ByteStream::detach", |stream| {
            // The simulated kernel hears of a stream that is dropped, and not of a bare descriptor.
            Box::pin(stream.detach().map_ok(|detached| drop(detached.into_stream())))
        }),
        ("ReadHalf::close", |stream| Box::pin(stream.into_split().0.close())),
        ("WriteHalf::close", |stream| Box::pin(stream.into_split().1.close())),
    ]
}

/// What gives the stream to the standard library.
#[allow(dead_code, reason = "a simulated descriptor is none of the standard library's")]
pub(crate) fn into_std<F: Family>() -> (&'static str, End<F>) {
    ("ByteStream::into_std", |stream| Box::pin(stream.into_std().map_ok(drop)))
}

/// Receives until the end, which comes.
async fn reaches_end<F: Family>(peer: &mut ByteStream<F>) -> io::Result<()> {
    while !peer.recv().await?.is_empty() {}
    Ok(())
}

/// One row at one moment, of a stream with or without something in flight.
pub(crate) async fn is_closed<F: Family>(
    world: &World,
    moment: Moment,
    (row, end): (&str, End<F>),
    busy: bool,
    (mut ours, mut peer): (ByteStream<F>, ByteStream<F>),
) -> io::Result<()> {
    if busy {
        let write = Box::pin(ours.write_all(vec![7; world.too_much]));
        drop(drop_at(world, Moment::InFlight, write, async || ()).await);
        let receive = Box::pin(ours.recv());
        assert!(drop_at(world, Moment::InFlight, receive, async || ()).await.is_none(), "{row}");
    }
    let read = async || {
        peer.recv().await.expect("it is not reset");
    };
    let ended = drop_at(world, moment, end(ours), read).await.transpose();
    ended.unwrap_or_else(|error| panic!("{row}, {moment:?}, busy {busy}: {error}"));
    reaches_end(&mut peer).await
}

/// Each end of a stream whose wait for room was dropped just before, at one moment.
pub(crate) async fn close_after_a_wait<F: Family>(
    world: &World,
    moment: Moment,
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for (row, end) in ends() {
        let (mut ours, mut peer) = pair().await?;
        fill(world, &mut ours).await?;
        let wait = Box::pin(ours.writable());
        assert!(drop_at(world, moment, wait, async || ()).await.is_none(), "there is no room");
        end(ours).await.unwrap_or_else(|error| panic!("{row}, {moment:?}: {error}"));
        reaches_end(&mut peer).await?;
    }
    Ok(())
}

/// All rows of ends at one moment.
pub(crate) async fn close<F: Family>(
    world: &World,
    moment: Moment,
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for row in ends() {
        for busy in [false, true] {
            is_closed(world, moment, row, busy, pair().await?).await?;
        }
    }
    Ok(())
}

/// Ends the sending side of a stream that goes on.
type Shut<F> = fn(&mut ByteStream<F>) -> Boxed<'static, io::Result<()>>;

fn shuts<F: Family>() -> [(&'static str, Shut<F>); 2] {
    [
        ("ByteStream::shutdown", |stream| Box::pin(stream.shutdown(Shutdown::Write))),
        ("WriteHalf::shutdown", |stream| Box::pin(stream.split().1.shutdown(Shutdown::Write))),
    ]
}

/// The rows of shutdowns at one moment: once polled, they happen.
pub(crate) async fn shut_down<F: Family>(
    world: &World,
    moment: Moment,
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for (row, shut) in shuts() {
        let (mut ours, mut peer) = pair().await?;
        let shut = drop_at(world, moment, shut(&mut ours), async || ()).await.transpose()?;
        assert_eq!(shut.is_some(), moment != Moment::NotBegun, "{row} waits for nothing");
        if shut.is_none() {
            ours.write_all("goes on").await?;
            assert_eq!(&*peer.read_exact(vec![0; 7], 7).await?, b"goes on", "{row}");
            drop(ours);
        }
        reaches_end(&mut peer).await?;
    }
    Ok(())
}
