//! What happens when peers send more than is read, connect more than is accepted, and read less than is
//! sent: each costs its own connection only.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;

use corering::net::{TcpListener, TcpStream};
use corering::{Builder, Driver, ReceivePolicy, spawn, test_support};
use net::{
    POLICIES, TOO_MUCH, drop_in_flight, echo, listener, pattern, poll_once, tcp_pair, tcp_peer,
    unix_peer, until, until_metrics,
};

/// Runs a body on both drivers, with each receive policy and a group of so many buffers of 4 KiB.
fn with_group<F: Future<Output = io::Result<()>>>(name: &str, buffers: u16, body: impl Fn() -> F) {
    for policy in POLICIES {
        let configure =
            |builder: Builder| builder.receive_policy(policy).buffer_group(buffers, 4096);
        test_support::run_configured(&format!("{name}, {policy:?}"), None, configure, &body);
    }
}

fn by_completion() -> bool {
    test_support::current_driver() == Driver::Uring
}

/// Answers every connection of a listener, for as long as the test goes on.
fn serve(listener: TcpListener) {
    drop(spawn(async move {
        while let Ok(stream) = listener.accept().await {
            drop(spawn(echo(stream)));
        }
    }));
}

/// So many clients, each of which asks so often and checks every answer.
async fn all_are_answered(address: SocketAddr, clients: usize, rounds: usize) -> io::Result<()> {
    let clients: Vec<_> = (0..clients)
        .map(|number| {
            spawn(async move {
                let mut client = TcpStream::connect(address).await?;
                for round in 0..rounds {
                    let message = pattern(1 + (number * 37 + round * 501) % 5000);
                    let len = message.len();
                    let message = client.write_all(message).await?;
                    assert!(client.read_exact(Vec::with_capacity(len), len).await? == message);
                }
                io::Result::Ok(())
            })
        })
        .collect();
    for client in clients {
        client.await.expect("it does not panic")?;
    }
    Ok(())
}

#[test]
fn one_that_sends_without_end_leaves_the_others_their_answers() {
    // With 4 buffers the one can take them all; with 64 its queue is bounded before that.
    for buffers in [4, 64] {
        let name = format!("one_that_sends_without_end, {buffers} buffers");
        with_group(&name, buffers, || async {
            let (mut unread, mut sender) = tcp_peer().await?;
            let sender = thread::spawn(move || {
                let piece = pattern(1 << 16);
                while sender.write_all(&piece).is_ok() {}
            });
            // Read once, so that receiving is armed, and then never again.
            let first = unread.recv().await?;
            let (listener, address) = listener().await?;
            serve(listener);
            all_are_answered(address, 200, 3).await?;
            assert!(corering::metrics().group_buffers_out <= u64::from(buffers));
            drop((first, unread));
            // What the kernel had of the stream goes with the next visit; then the peer sees its end.
            until(|| sender.is_finished()).await;
            sender.join().expect("it does not panic");
            Ok(())
        });
    }
}

#[test]
fn connection_is_served_while_the_program_holds_every_buffer() {
    with_group("connection_is_served_while_the_program_holds_every_buffer", 4, || async {
        let (mut first, mut peer) = tcp_peer().await?;
        let mut held = Vec::new();
        // More than there are, of the group and of those that are lent.
        while held.len() < 40 {
            peer.write_all(b"hold this")?;
            held.push(first.recv().await?);
        }
        let (mut other, mut other_peer) = tcp_peer().await?;
        for number in 0..10_u8 {
            other_peer.write_all(&[number; 100])?;
            let mut received = 0;
            while received < 100 {
                let bytes = other.recv().await?;
                assert!(bytes.iter().all(|byte| *byte == number));
                received += bytes.len();
                held.push(bytes);
            }
        }
        assert!(held[..40].iter().all(|bytes| **bytes == *b"hold this"));
        let rounds = corering::metrics().rounds;
        assert!(rounds < 5_000, "{rounds} rounds for 50 messages: it spins");
        drop(held);
        let metrics = corering::metrics();
        assert_eq!((metrics.group_buffers_out, metrics.lent_buffers_out), (0, 0));
        Ok(())
    });
}

#[test]
fn empty_buffer_group_lets_connections_wait_in_line() {
    with_group("empty_buffer_group_lets_connections_wait_in_line", 2, || async {
        let (listener, address) = listener().await?;
        serve(listener);
        all_are_answered(address, 100, 5).await?;
        Ok(())
    });
}

#[test]
fn burst_that_empties_the_group_tears_no_connection_down() {
    let configure =
        |builder: Builder| builder.receive_policy(ReceivePolicy::Completion).buffer_group(2, 4096);
    test_support::run_configured("burst_that_empties_the_group", None, configure, || async {
        let mut streams = Vec::new();
        for _ in 0..50 {
            let (mut stream, peer) = unix_peer()?;
            drop_in_flight(stream.recv()).await;
            streams.push((stream, peer));
        }
        for (number, (_, peer)) in streams.iter_mut().enumerate() {
            peer.write_all(&[number as u8; 1000])?;
        }
        let mut held = Vec::new();
        for (number, (stream, _)) in streams.iter_mut().enumerate() {
            let received = stream.recv().await?;
            assert_eq!(*received, [number as u8; 1000]);
            held.push(received);
        }
        if by_completion() {
            let metrics = corering::metrics();
            assert!(metrics.buffer_group_empty > 0 && metrics.heap_receives > 0, "{metrics}");
            assert_eq!(metrics.group_buffers_out, 2);
        }
        let rounds = corering::metrics().rounds;
        assert!(rounds < 1000, "{rounds} rounds for 50 messages: it spins");
        drop(held);
        // Once buffers are back, all receive as before.
        for (number, (stream, peer)) in streams.iter_mut().enumerate() {
            peer.write_all(&[number as u8; 10])?;
            assert_eq!(*stream.recv().await?, [number as u8; 10]);
        }
        io::Result::Ok(())
    });
}

#[test]
fn stream_that_leaves_the_line_for_a_buffer_lets_the_others_have_it() {
    let configure =
        |builder: Builder| builder.receive_policy(ReceivePolicy::Completion).buffer_group(1, 4096);
    let on_ring = Some(Driver::Uring);
    test_support::run_configured("stream_that_leaves_the_line", on_ring, configure, || async {
        let (mut holding, mut peer) = unix_peer()?;
        peer.write_all(b"the only buffer")?;
        let held = holding.recv().await?;
        let (mut leaving, mut leaving_peer) = unix_peer()?;
        let (mut staying, mut staying_peer) = unix_peer()?;
        leaving_peer.write_all(b"for nobody")?;
        staying_peer.write_all(b"for somebody")?;
        // Both find the group empty, in this order.
        assert!(poll_once(&mut leaving.recv()).await.is_pending());
        assert!(poll_once(&mut staying.recv()).await.is_pending());
        corering::yield_now().await;
        let _ = poll_once(&mut leaving.recv()).await;
        drop(leaving);
        assert_eq!(&*staying.recv().await?, b"for somebody");
        drop(held);
        peer.write_all(b"again")?;
        assert_eq!(&*holding.recv().await?, b"again");
        io::Result::Ok(())
    });
}

#[test]
fn stream_that_nobody_reads_holds_a_bounded_number_of_buffers() {
    let configure =
        |builder: Builder| builder.receive_policy(ReceivePolicy::Completion).max_queued_buffers(4);
    test_support::run_configured("stream_that_nobody_reads", None, configure, || async {
        let (mut stream, mut peer) = unix_peer()?;
        drop_in_flight(stream.recv()).await;
        let mut sent = Vec::new();
        // One message at a time, so that each is a completion of its own.
        for number in 0..200_u8 {
            peer.write_all(&[number; 64])?;
            sent.extend_from_slice(&[number; 64]);
            corering::yield_now().await;
            corering::yield_now().await;
        }
        if by_completion() {
            until_metrics(|metrics| metrics.paused_multishots > 0).await;
        }
        // One may have come between the fourth and the cancel.
        let out = corering::metrics().group_buffers_out;
        assert!(out <= 8, "{out} buffers wait for a reader that may take 4");
        let mut received = Vec::new();
        while received.len() < sent.len() {
            received.extend_from_slice(&stream.recv().await?);
        }
        assert!(received == sent);
        io::Result::Ok(())
    });
}

#[test]
fn listener_that_nobody_asks_holds_a_bounded_number_of_connections() {
    let configure = |builder: Builder| builder.max_queued_accepts(8);
    test_support::run_configured("listener_that_nobody_asks", None, configure, || async {
        let (listener, address) = listener().await?;
        drop_in_flight(listener.accept()).await;
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(std::net::TcpStream::connect(address)?);
            corering::yield_now().await;
            corering::yield_now().await;
        }
        if by_completion() {
            until_metrics(|metrics| metrics.paused_multishots > 0).await;
            // Those that were brought are the completions so far, apart from cancels.
            let brought = corering::metrics().completions;
            assert!(brought < 20, "{brought} connections wait for one who may take 8");
        }
        for client in &clients {
            assert_eq!(listener.accept().await?.peer_addr()?, client.local_addr()?);
        }
        io::Result::Ok(())
    });
}

#[test]
fn peers_that_never_read_cost_their_connections_only() {
    with_group("peers_that_never_read_cost_their_connections_only", 16, || async {
        let mut stalled = Vec::new();
        let mut writers = Vec::new();
        for _ in 0..10 {
            let (mut stream, peer) = tcp_peer().await?;
            stalled.push(peer);
            writers.push(spawn(
                async move { stream.write_all(vec![1; TOO_MUCH / 2]).await.map(drop) },
            ));
        }
        let (listener, address) = listener().await?;
        serve(listener);
        all_are_answered(address, 20, 5).await?;
        assert!(writers.iter().all(|writer| !writer.is_finished()));
        for writer in writers {
            writer.abort();
        }
        Ok(())
    });
}

#[test]
fn two_that_echo_to_each_other_without_reading_first_do_not_stop_the_shard() {
    with_group("two_that_echo_to_each_other", 4, || async {
        let (one, other) = tcp_pair().await?;
        let (mut one_reads, mut one_writes) = one.into_split();
        let (mut other_reads, mut other_writes) = other.into_split();
        let sent = pattern(1 << 21);
        let (left, right) = (sent.clone(), sent.clone());
        let first = spawn(async move { one_writes.write_all(left).await.map(|_| one_writes) });
        let second =
            spawn(async move { other_writes.write_all(right).await.map(|_| other_writes) });
        let mut from_other = Vec::new();
        let mut from_one = Vec::new();
        while from_other.len() < sent.len() || from_one.len() < sent.len() {
            if from_other.len() < sent.len() {
                from_other.extend_from_slice(&one_reads.recv().await?);
            }
            if from_one.len() < sent.len() {
                from_one.extend_from_slice(&other_reads.recv().await?);
            }
        }
        assert!(from_other == sent && from_one == sent);
        drop(first.await.expect("it does not panic")?);
        drop(second.await.expect("it does not panic")?);
        Ok(())
    });
}

#[test]
fn scarce_buffers_cost_each_message_few_refusals_and_cancels() {
    const CONNECTIONS: usize = 64;
    const MESSAGES: usize = 100;
    for held in [127, 120, 96] {
        let name = format!("scarce_buffers, {held} of 128 held");
        let by_completion = |builder: Builder| {
            builder.receive_policy(ReceivePolicy::Completion).buffer_group(128, 4096)
        };
        test_support::run_configured(&name, None, by_completion, || async move {
            let (mut holding, mut peer) = tcp_peer().await?;
            let mut kept = Vec::new();
            while kept.len() < held {
                peer.write_all(b"kept")?;
                kept.push(holding.recv().await?);
            }
            let (listener, address) = listener().await?;
            serve(listener);
            let before = corering::metrics();
            let clients = thread::spawn(move || -> io::Result<()> {
                let mut clients = Vec::new();
                for _ in 0..CONNECTIONS {
                    clients.push(std::net::TcpStream::connect(address)?);
                }
                // All ask at once, so that each round meets more messages than buffers.
                for _ in 0..MESSAGES {
                    for client in &mut clients {
                        client.write_all(b"a message")?;
                    }
                    for client in &mut clients {
                        client.read_exact(&mut [0; 9])?;
                    }
                }
                Ok(())
            });
            until(|| clients.is_finished()).await;
            clients.join().expect("it does not panic")?;
            let after = corering::metrics();
            let refusals = after.buffer_group_empty - before.buffer_group_empty;
            let cancels = after.cancels - before.cancels;
            let messages = (CONNECTIONS * MESSAGES) as u64;
            println!("{messages} messages, {refusals} refusals, {cancels} cancels");
            assert!(refusals <= messages, "{refusals} refusals for {messages} messages");
            assert!(cancels <= messages, "{cancels} cancels for {messages} messages");
            io::Result::Ok(())
        });
    }
}
