//! Bytes that go in come out, and streams end as TCP's do.

use super::machine::*;
use crate::sys::ring::Wait;
use crate::sys::sim::Fault;
use io_uring::{opcode, types};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::time::Duration;

#[test]
fn bytes_arrive_in_order_over_200_seeds() {
    for seed in 0..200 {
        let mut machine = Machine::new(seed);
        let (client, server) = machine.pair();
        let bytes = pattern(5_000);
        let (mut sent, mut got, mut piece) = (0, Vec::new(), vec![0; 700]);
        let mut sending = Some(machine.push(send(&client, &bytes)));
        let mut receiving = machine.push(recv(&server, &mut piece));
        while got.len() < bytes.len() {
            machine.enter(Wait::Forever);
            for cqe in std::mem::take(&mut machine.reaped) {
                assert!(cqe.result > 0, "seed {seed}: {cqe:?}");
                if Some(cqe.user_data) == sending {
                    sent += cqe.result as usize;
                    let rest = &bytes[sent..];
                    sending = (!rest.is_empty()).then(|| machine.push(send(&client, rest)));
                } else {
                    assert_eq!(cqe.user_data, receiving);
                    got.extend_from_slice(&piece[..cqe.result as usize]);
                    if got.len() < bytes.len() {
                        receiving = machine.push(recv(&server, &mut piece));
                    }
                }
            }
        }
        while sending.is_some_and(|sending| machine.wait(sending).result < 0) {}
        assert_eq!(got, bytes, "seed {seed}");
        machine.world.close(client);
        machine.world.close(server);
        machine.assert_clean();
    }
}

#[test]
fn some_sends_and_some_receives_are_short() {
    let (mut short_sends, mut short_receives) = (0, 0);
    for seed in 0..50 {
        let mut machine = Machine::new(seed);
        let (client, server) = machine.pair();
        let bytes = pattern(100);
        let sent = machine.run(send(&client, &bytes));
        short_sends += usize::from(sent < 100);
        let mut piece = vec![0; 100];
        let received = machine.run(recv(&server, &mut piece));
        short_receives += usize::from(received < sent);
        assert!(received >= 1 && received <= sent);
    }
    assert!(short_sends > 0 && short_receives > 0, "{short_sends} {short_receives}");
}

#[test]
fn half_close_ends_one_direction_after_its_bytes() {
    for seed in 0..50 {
        let mut machine = Machine::new(seed);
        let (client, server) = machine.pair();
        machine.send_all(&client, b"question");
        let shut = opcode::Shutdown::new(fd(&client), libc::SHUT_WR).build();
        assert_eq!(machine.run(shut), 0);
        assert_eq!(machine.run(send(&client, b"more")), -libc::EPIPE);
        assert_eq!(machine.receive_all(&server), (b"question".to_vec(), 0));
        machine.send_all(&server, b"answer");
        machine.world.close(server);
        assert_eq!(machine.receive_all(&client), (b"answer".to_vec(), 0));
        machine.world.close(client);
        machine.assert_clean();
    }
}

#[test]
fn close_with_unread_bytes_resets_the_peer() {
    for seed in 0..50 {
        let mut machine = Machine::new(seed);
        let (client, server) = machine.pair();
        machine.send_all(&client, b"never read");
        machine.settle();
        machine.world.close(server);
        let mut piece = [0; 10];
        assert_eq!(machine.run(recv(&client, &mut piece)), -libc::ECONNRESET);
        assert_eq!(machine.run(recv(&client, &mut piece)), 0, "the error is told once");
        assert_eq!(machine.run(send(&client, b"x")), -libc::EPIPE);
        machine.world.close(client);
        machine.assert_clean();
    }
}

#[test]
fn bytes_for_a_closed_peer_come_back_as_a_reset() {
    let mut machine = Machine::new(3);
    let (client, server) = machine.pair();
    machine.world.close(server);
    let mut piece = [0; 10];
    assert_eq!(machine.run(recv(&client, &mut piece)), 0, "the peer closed in order");
    machine.send_all(&client, b"anyone?");
    machine.settle();
    // After an end of stream, a reset is reported as a broken pipe.
    assert_eq!(machine.run(send(&client, b"x")), -libc::EPIPE);
}

#[test]
fn an_operation_in_flight_keeps_the_socket_open() {
    let mut machine = Machine::new(4);
    let (client, server) = machine.pair();
    let mut piece = [0; 10];
    let number = fd(&client).0;
    let pending = machine.push(recv(&client, &mut piece));
    machine.settle();
    machine.world.close(client);
    let mut other = [0; 10];
    let peer = machine.push(recv(&server, &mut other));
    machine.settle();
    assert!(machine.reaped.is_empty(), "no end of stream while a receive is in flight");
    let by_number = types::CancelBuilder::fd(types::Fd(number));
    // The number is closed, unless a test on another thread has just been given it.
    let refused = machine.run(opcode::AsyncCancel2::new(by_number).build());
    assert!([-libc::EBADF, -libc::ENOENT].contains(&refused), "{refused}");
    assert_eq!(machine.run(opcode::AsyncCancel::new(pending).build()), 0);
    assert_eq!(machine.wait(pending).result, -libc::ECANCELED);
    assert_eq!(machine.wait(peer).result, 0);
}

#[test]
fn a_peer_that_never_receives_stops_the_sender() {
    let mut machine = Machine::new(5);
    let (client, _server) = machine.pair();
    let bytes = pattern(1 << 20);
    let mut sent = 0;
    let refused = loop {
        match machine.world.send_now(client.as_raw_fd(), &bytes) {
            Ok(count) => sent += count,
            Err(error) if sent > 4 << 20 => panic!("no bound: {error}"),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    let stuck = machine.push(send(&client, &bytes));
    machine.settle();
    assert!(sent > 0 && machine.world.elapsed() < Duration::from_secs(3_600));
    machine.run(opcode::AsyncCancel::new(stuck).build());
}

#[test]
fn gathered_messages_keep_the_order_of_their_pieces() {
    for seed in 0..50 {
        let mut machine = Machine::new(seed);
        let (client, server) = machine.pair();
        let parts = [b"one ".to_vec(), b"two ".to_vec(), b"three".to_vec()];
        let mut pieces = parts.each_ref().map(|part| libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        });
        // SAFETY: a message header of zeroes is an empty one.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (pieces.as_mut_ptr(), 3);
        let sent = match seed % 2 {
            0 => {
                machine.run(opcode::SendMsg::new(fd(&client), &raw const message).build()) as usize
            }
            // SAFETY: the message describes `parts`.
            _ => unsafe {
                machine.world.send_message_now(client.as_raw_fd(), &raw const message).unwrap()
            },
        };
        let whole = parts.concat();
        machine.send_all(&client, &whole[sent..]);
        machine.world.close(client);
        let mut got = Vec::new();
        loop {
            let (mut left, mut right) = ([0_u8; 2], [0_u8; 5]);
            let mut pieces = [&mut left[..], &mut right[..]].map(|part| libc::iovec {
                iov_base: part.as_mut_ptr().cast(),
                iov_len: part.len(),
            });
            (message.msg_iov, message.msg_iovlen) = (pieces.as_mut_ptr(), 2);
            let entry = opcode::RecvMsg::new(fd(&server), &raw mut message).build();
            let count = machine.run(entry) as usize;
            if count == 0 {
                break;
            }
            got.extend_from_slice(&[&left[..], &right[..]].concat()[..count]);
        }
        assert_eq!(got, whole, "seed {seed}");
    }
}

#[test]
fn faults_strike_direct_calls_too() {
    let mut machine = Machine::new(7);
    let (client, _server) = machine.pair();
    let operation = opcode::Send::CODE;
    machine.world.fail(Fault { operation, nth: 2, errno: libc::ENOBUFS });
    assert!(machine.run(send(&client, b"x")) > 0);
    let error = machine.world.send_now(client.as_raw_fd(), b"x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
}

#[test]
fn received_now_and_sent_now_need_no_ring() {
    let mut machine = Machine::new(6);
    let (client, server) = machine.pair();
    let mut piece = [0_u8; 100];
    let mut receive = |machine: &Machine| {
        let fd = server.as_raw_fd();
        // SAFETY: the pointer and the length describe `piece`.
        let count = unsafe { machine.world.recv_now(fd, piece.as_mut_ptr(), piece.len()) };
        count.map(|count| piece[..count].to_vec())
    };
    assert_eq!(receive(&machine).unwrap_err().kind(), ErrorKind::WouldBlock);
    let sent = machine.world.send_now(client.as_raw_fd(), b"at once").unwrap();
    machine.settle();
    let mut got = Vec::new();
    while got.len() < sent {
        got.extend(receive(&machine).unwrap());
    }
    assert_eq!(got, b"at once"[..sent]);
}
