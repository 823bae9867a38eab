//! `tokio::select!` and `corering::select_biased!` over the library's futures.

#[allow(dead_code)] // A part of it is used.
#[path = "../../common/net.rs"]
mod net;

use std::future::{pending, ready};
use std::io::{self, Write};

use corering::{select_biased, yield_now};
use futures_util::FutureExt;

use net::unix_peer;

#[corering::test]
async fn receives_that_lose_a_select_lose_no_byte() -> io::Result<()> {
    let (mut stream, mut peer) = unix_peer()?;
    let mut received = Vec::new();
    for number in 0..200_u8 {
        if number % 2 == 0 {
            peer.write_all(&[number])?;
        }
        if number % 3 == 0 {
            tokio::select! {
                biased;
                bytes = stream.recv() => received.extend_from_slice(&bytes?),
                () = yield_now() => {}
            }
        } else {
            select_biased! {
                bytes = stream.recv().fuse() => received.extend_from_slice(&bytes?),
                () = yield_now() => {}
            }
        }
    }
    while received.len() < 100 {
        received.extend_from_slice(&stream.recv().await?);
    }
    assert!(received.into_iter().eq((0..200).step_by(2)));
    Ok(())
}

#[corering::test]
async fn select_takes_the_first_that_is_ready() {
    for _ in 0..50 {
        let ours = select_biased! {
            () = pending().fuse() => 1,
            () = ready(()).fuse() => 2,
            () = ready(()).fuse() => 3,
        };
        let of_tokio = tokio::select! {
            biased;
            () = pending() => 1,
            () = ready(()) => 2,
            () = ready(()) => 3,
        };
        assert_eq!((ours, of_tokio), (2, 2));
    }
}
