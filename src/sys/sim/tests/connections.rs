//! Listening, connecting, accepting, and what goes wrong there.

use super::machine::*;
use crate::sys::ring::Wait;
use crate::sys::sim::Fault;
use io_uring::{opcode, types};
use socket2::SockAddr;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

#[test]
fn connect_is_refused_where_nobody_listens() {
    for seed in 0..20 {
        let mut machine = Machine::new(seed);
        let client = machine.socket();
        let nowhere = SockAddr::from("127.0.0.1:9".parse::<SocketAddr>().unwrap());
        assert_eq!(machine.run(connect(&client, &nowhere)), -libc::ECONNREFUSED);
        // The socket may try again elsewhere.
        let (listener, address) = machine.listener("0.0.0.0:0");
        let there = SockAddr::from(SocketAddr::from(([127, 0, 0, 1], address.port())));
        assert_eq!(machine.run(connect(&client, &there)), 0);
        assert_eq!(machine.run(connect(&client, &there)), -libc::EISCONN);
        machine.world.close(client);
        machine.world.close(listener);
        machine.assert_clean();
    }
}

#[test]
fn both_ends_know_each_other() {
    let mut machine = Machine::new(1);
    let (listener, address) = machine.listener("127.0.0.1:0");
    let client = machine.socket();
    let to = SockAddr::from(address);
    let connecting = machine.push(connect(&client, &to));
    let mut storage = socket2::SockAddrStorage::zeroed();
    let mut len = storage.size_of();
    let entry = opcode::Accept::new(fd(&listener), (&raw mut storage).cast(), &raw mut len);
    let accepting = machine.push(entry.build());
    let server = own(machine.wait(accepting).result);
    machine.wait(connecting);
    // SAFETY: the accept has written `len` bytes of an address.
    let told = unsafe { SockAddr::new(storage, len) };
    let local = machine.world.local_addr(client.as_raw_fd()).unwrap();
    assert_eq!(told.as_socket(), local.as_socket());
    assert_eq!(machine.world.peer_addr(server.as_raw_fd()).unwrap().as_socket(), told.as_socket());
    let peer = machine.world.peer_addr(client.as_raw_fd()).unwrap();
    assert_eq!(peer.as_socket(), Some(address));
    let other = machine.world.local_addr(server.as_raw_fd()).unwrap();
    assert_eq!(other.as_socket(), Some(address));
}

#[test]
fn unix_names_connect_too() {
    let mut machine = Machine::new(2);
    let name = SockAddr::unix("/run/echo").unwrap();
    let listener = machine.world.socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).unwrap();
    machine.world.bind(listener.as_raw_fd(), &name).unwrap();
    machine.world.listen(listener.as_raw_fd(), 1).unwrap();
    let client = machine.world.socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).unwrap();
    assert_eq!(machine.run(connect(&client, &name)), 0);
    let peer = machine.world.peer_addr(client.as_raw_fd()).unwrap();
    assert_eq!(peer.as_pathname(), name.as_pathname());
    assert!(machine.world.local_addr(client.as_raw_fd()).unwrap().is_unnamed());
}

#[test]
fn multishot_accept_brings_every_connection() {
    for seed in 0..50 {
        let mut machine = Machine::new(seed);
        let (listener, address) = machine.listener("127.0.0.1:0");
        let accepting = machine.push(opcode::AcceptMulti::new(fd(&listener)).build());
        let to = SockAddr::from(address);
        let clients: Vec<_> = (0..5).map(|_| machine.socket()).collect();
        for client in &clients {
            machine.push(connect(client, &to));
        }
        for _ in 0..5 {
            let cqe = machine.wait(accepting);
            assert_ne!(cqe.flags & F_MORE, 0);
            machine.world.close(own(cqe.result));
        }
        machine.push(opcode::AsyncCancel::new(accepting).build());
        let last = machine.wait(accepting);
        assert_eq!((last.result, last.flags), (-libc::ECANCELED, 0));
        machine.settle();
        for client in clients.into_iter().chain([listener]) {
            machine.world.close(client);
        }
        machine.assert_clean();
    }
}

#[test]
fn accept_fails_as_told_and_keeps_or_loses_the_connection() {
    let mut machine = Machine::new(3);
    let (listener, address) = machine.listener("127.0.0.1:0");
    let operation = opcode::Accept::CODE;
    machine.world.fail(Fault { operation, nth: 1, errno: libc::EMFILE });
    machine.world.fail(Fault { operation, nth: 3, errno: libc::ECONNABORTED });
    let to = SockAddr::from(address);
    let (first, second) = (machine.socket(), machine.socket());
    assert_eq!(machine.run(connect(&first, &to)), 0);
    assert_eq!(machine.run(accept(&listener)), -libc::EMFILE);
    let server = own(machine.run(accept(&listener)));
    assert_eq!(machine.run(connect(&second, &to)), 0);
    assert_eq!(machine.run(accept(&listener)), -libc::ECONNABORTED);
    let mut piece = [0; 1];
    assert_eq!(machine.run(recv(&second, &mut piece)), -libc::ECONNRESET);
    machine.send_all(&first, b"x");
    assert_eq!(machine.run(recv(&server, &mut piece)), 1);
}

#[test]
fn closing_a_listener_resets_who_was_not_accepted() {
    let mut machine = Machine::new(4);
    let (listener, address) = machine.listener("127.0.0.1:0");
    let client = machine.socket();
    assert_eq!(machine.run(connect(&client, &SockAddr::from(address))), 0);
    machine.world.close(listener);
    let mut piece = [0; 1];
    assert_eq!(machine.run(recv(&client, &mut piece)), -libc::ECONNRESET);
}

#[test]
fn shutting_a_listener_down_ends_its_accepts() {
    let mut machine = Machine::new(9);
    let (listener, _) = machine.listener("127.0.0.1:0");
    let accepting = machine.push(opcode::AcceptMulti::new(fd(&listener)).build());
    machine.settle();
    machine.world.shutdown(listener.as_raw_fd(), libc::SHUT_RD).unwrap();
    let ended = machine.wait(accepting);
    assert_eq!((ended.result, ended.flags), (-libc::EINVAL, 0));
}

#[test]
fn a_full_backlog_delays_and_then_refuses() {
    let mut machine = Machine::new(5);
    let (listener, address) = machine.listener("127.0.0.1:0");
    machine.world.listen(listener.as_raw_fd(), 0).unwrap();
    let to = SockAddr::from(address);
    let (first, second) = (machine.socket(), machine.socket());
    assert_eq!(machine.run(connect(&first, &to)), 0);
    assert_eq!(machine.run(connect(&second, &to)), -libc::ETIMEDOUT);
    assert!(machine.world.elapsed().as_secs() > 60);
}

#[test]
fn an_address_is_bound_once_unless_shared() {
    let machine = Machine::new(6);
    let address = SockAddr::from("127.0.0.1:80".parse::<SocketAddr>().unwrap());
    let bind = |shared: bool| {
        let socket = machine.world.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
        let value = i32::from(shared).to_ne_bytes();
        let number = socket.as_raw_fd();
        machine.world.set_option(number, libc::SOL_SOCKET, libc::SO_REUSEPORT, &value).unwrap();
        let bound = machine.world.bind(number, &address);
        bound.and_then(|()| machine.world.listen(number, 1)).map(|()| socket)
    };
    let _first = bind(true).unwrap();
    let _second = bind(true).unwrap();
    assert_eq!(bind(false).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn options_are_remembered_and_an_error_is_told_once() {
    let mut machine = Machine::new(7);
    let client = machine.socket();
    let number = client.as_raw_fd();
    let one = 1_i32.to_ne_bytes();
    machine.world.set_option(number, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one).unwrap();
    let mut value = [0; 4];
    let len = machine.world.option(number, libc::IPPROTO_TCP, libc::TCP_NODELAY, &mut value);
    assert_eq!((len.unwrap(), value), (4, one));
    machine.world.option(number, libc::SOL_SOCKET, libc::SO_TYPE, &mut value).unwrap();
    assert_eq!(i32::from_ne_bytes(value), libc::SOCK_STREAM);
}

#[test]
fn polls_report_readiness_once_or_at_every_event() {
    for seed in 0..50 {
        let mut machine = Machine::new(seed);
        let (client, server) = machine.pair();
        let events = (libc::POLLIN | libc::POLLRDHUP) as u32;
        let once = machine.push(opcode::PollAdd::new(fd(&server), events).build());
        let always = machine.push(opcode::PollAdd::new(fd(&server), events).multi(true).build());
        machine.settle();
        assert!(machine.reaped.is_empty());
        machine.send_all(&client, b"x");
        assert_eq!(machine.wait(once).result, i32::from(libc::POLLIN));
        assert_eq!(machine.wait(always).flags, F_MORE);
        machine.world.close(client);
        let ended = machine.wait(always);
        assert_ne!(ended.result & i32::from(libc::POLLRDHUP), 0, "{ended:?}");
        assert_eq!(ended.flags, F_MORE);
        let shut = opcode::Shutdown::new(fd(&server), libc::SHUT_WR).build();
        assert_eq!(machine.run(shut), 0);
        let hung_up = machine.wait(always);
        assert_ne!(hung_up.result & i32::from(libc::POLLHUP), 0, "{hung_up:?}");
        let removed = machine.push(opcode::PollRemove::new(always).build());
        while machine.wait(always).flags & F_MORE != 0 {}
        assert!([0, -libc::EALREADY].contains(&machine.wait(removed).result));
    }
}

#[test]
fn a_poll_of_something_real_stays_pending() {
    let mut machine = Machine::new(8);
    let doorbell = crate::sys::eventfd::EventFd::new().unwrap();
    let number = types::Fd(std::os::fd::AsFd::as_fd(&doorbell).as_raw_fd());
    doorbell.ring();
    let poll = machine.push(opcode::PollAdd::new(number, 1).multi(true).build());
    machine.settle();
    machine.enter(Wait::No);
    assert!(machine.reaped.is_empty());
    assert_eq!(machine.run(opcode::AsyncCancel2::new(types::CancelBuilder::fd(number)).build()), 0);
    assert_eq!(machine.wait(poll).result, -libc::ECANCELED);
    let gone = types::Fd(1_000_000);
    assert_eq!(machine.run(opcode::PollAdd::new(gone, 1).build()), -libc::EBADF);
    let mut piece = [0; 1];
    let entry = opcode::Recv::new(number, piece.as_mut_ptr(), 1).build();
    assert_eq!(machine.run(entry), -libc::ENOTSOCK);
}
