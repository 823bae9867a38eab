//! A server that echoes and clients that compare, in every way that the runtime offers, as numbers
//! from a seed decide.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use corering::buf::{IoBuf, IoBufMut};
use corering::net::{TcpListener, TcpReadHalf, TcpStream, TcpWriteHalf, WriteAbandoned};
use corering::sync::oneshot;
use corering::time::{SingleOperation, timeout, within};
use corering::{BufError, BufResult, Builder, JoinHandle, ReceivePolicy, RecvBuf};
use futures_util::future::{Either, select};

use crate::simulated::{Numbers, defaults, drop_after, pause};

/// Sizes so small that queues and the buffer group run out, next to the usual ones.
pub(crate) fn configuration(numbers: &mut Numbers) -> Builder {
    let policies =
        [ReceivePolicy::Adaptive, ReceivePolicy::Completion, ReceivePolicy::Notification];
    let (buffers, bytes) = numbers.of(&[(2, 200), (4, 512), (16, 16_384), (128, 16_384)]);
    defaults()
        .receive_policy(numbers.of(&policies))
        .ring_entries(numbers.of(&[1, 2, 8, 256]))
        .buffer_group(buffers, bytes)
        .max_queued_buffers(numbers.of(&[1, 8]))
        .max_queued_accepts(numbers.of(&[1, 64]))
}

pub(crate) async fn serve_clients(mut numbers: Numbers) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = corering::spawn(serve(listener, stopped, numbers.fork()));
    let count = numbers.within(1..6);
    let clients: Vec<_> =
        (0..count).map(|_| corering::spawn(client(address, numbers.fork()))).collect();
    for client in clients {
        client.await.unwrap();
    }
    // Connections that nobody accepted yet are ended with their listener.
    stop.send(()).unwrap();
    for connection in server.await.unwrap() {
        connection.await.unwrap();
    }
}

/// Accepts connections until stopped, with accepts given up in between.
async fn serve(
    listener: TcpListener,
    stopped: oneshot::Receiver<()>,
    mut numbers: Numbers,
) -> Vec<JoinHandle<()>> {
    let mut connections = Vec::new();
    let mut stopped = pin!(stopped);
    loop {
        let accepted = match select(pin!(accept(&listener, &mut numbers)), stopped.as_mut()).await {
            Either::Left((Some(accepted), _)) => accepted.unwrap(),
            Either::Left((None, _)) => continue,
            Either::Right(_) => return connections,
        };
        let mut connection_numbers = numbers.fork();
        connections.push(corering::spawn(async move {
            // A client that goes away abruptly resets its connection: no failure of the server's.
            if let Err(error) = answer(accepted, &mut connection_numbers).await {
                let gone = [
                    io::ErrorKind::ConnectionReset,
                    io::ErrorKind::BrokenPipe,
                    io::ErrorKind::NotConnected,
                ];
                assert!(gone.contains(&error.kind()), "{error}");
            }
        }));
    }
}

async fn accept(listener: &TcpListener, numbers: &mut Numbers) -> Option<io::Result<TcpStream>> {
    match numbers.within(0..3) {
        0 => Some(listener.accept().await),
        1 => drop_after(numbers.moment(), listener.accept()).await,
        _ => unless_timed_out(within(numbers.moment(), listener.accept()).await),
    }
}

fn unless_timed_out<T>(result: io::Result<T>) -> Option<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => None,
        other => Some(other),
    }
}

/// Echoes until the client has ended its side.
async fn answer(stream: TcpStream, numbers: &mut Numbers) -> io::Result<()> {
    if numbers.once_in(2) {
        let (mut reader, mut writer) = stream.into_split();
        while let Some(bytes) = receive(&mut reader, None, numbers).await? {
            send(&mut writer, &bytes, numbers).await?;
        }
        return match numbers.once_in(2) {
            true => writer.shutdown(Shutdown::Write).await,
            false => Ok(()),
        };
    }
    let mut stream = stream;
    while let Some(bytes) = receive(&mut stream, None, numbers).await? {
        send(&mut stream, &bytes, numbers).await?;
    }
    match numbers.within(0..3) {
        0 => stream.close().await,
        1 => stream.shutdown(Shutdown::Write).await,
        _ => Ok(()),
    }
}

async fn client(address: SocketAddr, mut numbers: Numbers) {
    pause(numbers.moment()).await;
    if numbers.once_in(4) {
        drop(drop_after(numbers.moment(), TcpStream::connect(address)).await);
    }
    let stream = TcpStream::connect(address).await.unwrap();
    match numbers.within(0..6) {
        0 => ping_pong(stream, &mut numbers).await,
        1 => leave_abruptly(stream, &mut numbers).await,
        _ => exchange(stream, numbers).await,
    }
}

/// Many small messages, each of which fits the smallest of the world's buffers.
async fn ping_pong(mut stream: TcpStream, numbers: &mut Numbers) {
    for _ in 0..numbers.within(1..100) {
        let len = numbers.within(1..257);
        let message = numbers.bytes(len);
        send(&mut stream, &message, numbers).await.unwrap();
        let mut echoed = Vec::new();
        while echoed.len() < len {
            let left = len - echoed.len();
            let bytes = receive(&mut stream, Some(left), numbers).await.unwrap();
            echoed.extend(bytes.expect("the server ends only after its client"));
        }
        assert!(echoed == message, "another message came back");
    }
    stream.close().await.unwrap();
}

/// Goes away in the middle of an exchange.
async fn leave_abruptly(mut stream: TcpStream, numbers: &mut Numbers) {
    let message = numbers.bytes(20_000);
    let writing = send(&mut stream, &message, numbers);
    let moment = Numbers::new(message[0].into()).moment();
    drop(drop_after(moment, writing).await);
    if numbers.once_in(2) {
        let moment = numbers.moment();
        drop(drop_after(moment, receive(&mut stream, Some(1), numbers)).await);
    }
}

/// Sends messages of all sizes while another task compares what comes back, up to the end of the
/// stream.
async fn exchange(stream: TcpStream, mut numbers: Numbers) {
    let mut message = Vec::new();
    for _ in 0..numbers.within(1..6) {
        let most = numbers.of(&[2, 300, 3_000, 20_000]);
        let len = numbers.within(1..most);
        message.extend(numbers.bytes(len));
    }
    if numbers.once_in(8) {
        message.extend(numbers.bytes(100_000));
    }
    let message: Rc<[u8]> = message.into();
    let (mut reader, mut writer) = stream.into_split();
    let mut sender_numbers = numbers.fork();
    let sent = message.clone();
    let sender = corering::spawn(async move {
        send(&mut writer, &sent, &mut sender_numbers).await.unwrap();
        writer.shutdown(Shutdown::Write).await.unwrap();
    });
    let mut echoed = 0;
    while echoed < message.len() {
        let left = message.len() - echoed;
        let bytes = receive(&mut reader, Some(left), &mut numbers).await.unwrap();
        let bytes = bytes.expect("the server ends only after its client");
        let difference = bytes.iter().zip(&message[echoed..]).position(|(is, was)| is != was);
        if let Some(place) = difference {
            let tail = &bytes[place..];
            let tail = &tail[..tail.len().min(8)];
            let from = message.windows(tail.len()).position(|window| window == tail);
            panic!("byte {} of the echo is wrong; its like were sent at {from:?}", echoed + place);
        }
        echoed += bytes.len();
    }
    assert_eq!(receive(&mut reader, None, &mut numbers).await.unwrap(), None);
    sender.await.unwrap();
}

/// A stream, or its receiving half.
trait Receives {
    fn recv(&mut self) -> impl SingleOperation<Output = io::Result<RecvBuf>>;
    fn read<B: IoBufMut>(&mut self, buf: B) -> impl SingleOperation<Output = BufResult<usize, B>>;
    fn read_exact<B: IoBufMut>(
        &mut self,
        buf: B,
        n: usize,
    ) -> impl SingleOperation<Output = Result<B, BufError<B>>>;
}

/// A stream, or its sending half.
trait Sends {
    fn write<B: IoBuf>(&mut self, buf: B) -> impl SingleOperation<Output = BufResult<usize, B>>;
    fn write_all<B: IoBuf>(
        &mut self,
        buf: B,
    ) -> impl SingleOperation<Output = Result<B, BufError<B>>>;
}

macro_rules! receives {
    ($($stream:ident,)*) => {
        $(impl Receives for $stream {
            fn recv(&mut self) -> impl SingleOperation<Output = io::Result<RecvBuf>> {
                $stream::recv(self)
            }

            fn read<B: IoBufMut>(&mut self, buf: B) -> impl SingleOperation<Output = BufResult<usize, B>> {
                $stream::read(self, buf)
            }

            fn read_exact<B: IoBufMut>(&mut self, buf: B, n: usize) -> impl SingleOperation<Output = Result<B, BufError<B>>> {
                $stream::read_exact(self, buf, n)
            }
        })*
    };
}

macro_rules! sends {
    ($($stream:ident,)*) => {
        $(impl Sends for $stream {
            fn write<B: IoBuf>(&mut self, buf: B) -> impl SingleOperation<Output = BufResult<usize, B>> {
                $stream::write(self, buf)
            }

            fn write_all<B: IoBuf>(&mut self, buf: B) -> impl SingleOperation<Output = Result<B, BufError<B>>> {
                $stream::write_all(self, buf)
            }
        })*
    };
}

receives! { TcpStream, TcpReadHalf, }
sends! { TcpStream, TcpWriteHalf, }

/// The next bytes, in one of all ways, some of which give up and try again; `None` at the end of
/// the stream. `expected`: that many will come at least.
async fn receive(
    stream: &mut impl Receives,
    expected: Option<usize>,
    numbers: &mut Numbers,
) -> io::Result<Option<Vec<u8>>> {
    loop {
        let size = numbers.of(&[1, 100, 5_000, 40_000]);
        let room = Vec::with_capacity(numbers.within(1..size + 1));
        let bytes = match numbers.within(0..8) {
            0 | 1 => stream.recv().await?.to_vec(),
            2 => match drop_after(numbers.moment(), stream.recv()).await {
                Some(received) => received?.to_vec(),
                None => continue,
            },
            3 => match unless_timed_out(within(numbers.moment(), stream.recv()).await) {
                Some(received) => received?.to_vec(),
                None => continue,
            },
            4 => stream.read(room).await?.1,
            5 => match timeout(numbers.moment(), stream.read(room)).await {
                Ok(read) => read?.1,
                Err(_elapsed) => continue,
            },
            6 => match within(numbers.moment(), stream.read(room)).await {
                Ok((count, bytes)) => {
                    assert_eq!(count, bytes.len());
                    bytes
                }
                Err(failed) => {
                    let (error, room) = failed.into_parts();
                    assert!(room.is_empty() && room.capacity() > 0, "the buffer comes back");
                    match unless_timed_out(Err::<(), _>(error)) {
                        Some(failed) => return failed.map(|()| None),
                        None => continue,
                    }
                }
            },
            _ => match expected {
                Some(expected) => {
                    let len = numbers.within(1..expected.min(size) + 1);
                    stream.read_exact(Vec::with_capacity(size), len).await?
                }
                None => continue,
            },
        };
        return Ok(if bytes.is_empty() { None } else { Some(bytes) });
    }
}

/// Sends all bytes, in one of all ways; where a write was given up, goes on where it had stopped.
async fn send(stream: &mut impl Sends, bytes: &[u8], numbers: &mut Numbers) -> io::Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        let part = rest[..numbers.within(1..rest.len() + 1)].to_vec();
        let moment = numbers.moment();
        let result = match numbers.within(0..6) {
            0 | 1 => stream.write_all(rest.to_vec()).await.map(|rest| rest.len()),
            2 => stream.write(part).await.map(|(count, _)| count),
            3 => match drop_after(moment, stream.write_all(part)).await {
                Some(result) => result.map(|part| part.len()),
                // The next write tells how much of this one was sent.
                None => continue,
            },
            4 => match drop_after(moment, stream.write(part)).await {
                Some(result) => result.map(|(count, _)| count),
                None => continue,
            },
            _ => within(moment, stream.write_all(part)).await.map(|part| part.len()),
        };
        sent += match result {
            Ok(count) => count,
            Err(failed) => match WriteAbandoned::of(&failed.error) {
                Some(abandoned) => abandoned.written,
                // What had been sent by then is told by the next write.
                None if failed.error.kind() == io::ErrorKind::TimedOut => 0,
                None => return Err(failed.error),
            },
        };
    }
    Ok(())
}
