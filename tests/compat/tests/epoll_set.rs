//! An epoll set of another library inside the shard's own wait: `corering::io::Watched` of its descriptor
//! tells when the library has something to do. Here it is mio's; libuv and sd-event hand theirs out, too,
//! and a program that uses libcurl keeps one for its sockets.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use corering::io::Watched;
use corering::net::TcpStream;
use corering::{select_biased, spawn, sync::Notify};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream as Client};
use mio::{Events, Interest, Poll, Token};

/// An echo server that knows nothing of corering: mio's poll, two listeners and their clients.
struct Echo {
    poll: Poll,
    listeners: [TcpListener; 2],
    clients: HashMap<Token, Client>,
    next: usize,
    /// How many clients were accepted by each listener.
    accepted: [usize; 2],
}

impl Echo {
    fn new() -> io::Result<(Self, [SocketAddr; 2])> {
        let poll = Poll::new()?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listeners = [TcpListener::bind(any)?, TcpListener::bind(any)?];
        for (number, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(number), Interest::READABLE)?;
        }
        let addresses = [listeners[0].local_addr()?, listeners[1].local_addr()?];
        let echo = Echo { poll, listeners, clients: HashMap::new(), next: 2, accepted: [0; 2] };
        Ok((echo, addresses))
    }

    /// Does what there is to do, and never waits.
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        self.poll.poll(events, Some(Duration::ZERO))?;
        for event in events.iter() {
            match event.token() {
                Token(number @ (0 | 1)) => self.accept(number)?,
                token => self.answer(token, event)?,
            }
        }
        Ok(())
    }

    fn accept(&mut self, number: usize) -> io::Result<()> {
        while let Some((mut client, _)) = would_block(self.listeners[number].accept())? {
            let token = Token(self.next);
            self.next += 1;
            self.accepted[number] += 1;
            self.poll.registry().register(&mut client, token, Interest::READABLE)?;
            self.clients.insert(token, client);
        }
        Ok(())
    }

    fn answer(&mut self, token: Token, event: &Event) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&token) else { return Ok(()) };
        assert!(event.is_readable(), "nothing else was asked for");
        let mut buf = [0; 4096];
        while let Some(count) = would_block(client.read(&mut buf))? {
            if count == 0 {
                self.clients.remove(&token);
                return Ok(());
            }
            client.write_all(&buf[..count])?;
        }
        Ok(())
    }
}

/// `None` where a call would have waited.
fn would_block<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Serves until it is told to end. The shard waits for mio's sockets with its own, in one call.
async fn serve(mut echo: Echo, end: &Notify) -> io::Result<[usize; 2]> {
    // A duplicate of the descriptor is the same set.
    let set = Watched::new(echo.poll.registry().as_fd().try_clone_to_owned()?);
    let mut events = Events::with_capacity(64);
    let mut ends = end.notified();
    loop {
        select_biased! {
            readable = set.readable().fuse() => readable?,
            () = ends => return Ok(echo.accepted),
        }
        echo.turn(&mut events)?;
    }
}

/// Sends lines and sees each come back, by a stream of corering's.
async fn talk(address: SocketAddr, lines: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for number in 0..lines {
        let line = format!("line {number}\n").into_bytes();
        let line = stream.write_all(line).await?;
        let answer = stream.read_exact(Vec::with_capacity(line.len()), line.len()).await?;
        assert_eq!(answer, line);
    }
    stream.close().await
}

#[corering::test]
async fn sockets_of_mio_are_served_beside_those_of_the_shard() -> io::Result<()> {
    let (echo, addresses) = Echo::new()?;
    let end = std::rc::Rc::new(Notify::new());
    let server = spawn({
        let end = end.clone();
        async move { serve(echo, &end).await }
    });
    let clients = (0..20).map(|number| talk(addresses[number % 2], 50));
    try_join_all(clients).await?;
    end.notify_one();
    assert_eq!(server.await.expect("no panic")?, [10, 10]);
    Ok(())
}

#[corering::test]
async fn epoll_set_is_readable_only_while_it_has_events() -> io::Result<()> {
    let (mut echo, addresses) = Echo::new()?;
    let set = Watched::new(echo.poll.registry().as_fd().try_clone_to_owned()?);
    let mut events = Events::with_capacity(8);
    let mut wait = Box::pin(set.readable());
    assert!((&mut wait).now_or_never().is_none(), "nobody has come");
    let peer = std::net::TcpStream::connect(addresses[1])?;
    wait.await?;
    echo.turn(&mut events)?;
    assert_eq!(echo.accepted, [0, 1]);
    // What was taken wakes nobody again.
    let mut wait = Box::pin(set.readable());
    assert!((&mut wait).now_or_never().is_none(), "nothing has come");
    corering::yield_now().await;
    assert!((&mut wait).now_or_never().is_none(), "nothing has come");
    drop(peer);
    wait.await?;
    echo.turn(&mut events)?;
    assert!(echo.clients.is_empty(), "its end was seen");
    Ok(())
}
