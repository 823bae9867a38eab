//! A server that does something wrong, for testing clients: what is wrong is in `fault.rs`.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use corering::net::TcpStream;
use corering::time::sleep;
use socket2::SockRef;

use super::Shop;
use crate::server::fault::{Fault, Mode};
use crate::server::requests::Requests;
use crate::server::site::{Next, Owed};

pub(super) async fn connection(mut stream: TcpStream, shop: &'static Shop, fault: Fault) {
    let Ok(first) = stream.recv().await else { return };
    // An error is the end of the connection, whichever side caused it.
    let _ = match first.starts_with(b"GET ") {
        true => http(stream, first.to_vec(), shop, fault).await,
        false => echo(stream, first.to_vec(), shop, fault).await,
    };
}

/// Stops the whole shard for a while, again and again.
pub(super) async fn stop_now_and_then(stall: Duration, every: Duration) {
    loop {
        sleep(every - stall).await;
        std::thread::sleep(stall);
    }
}

async fn echo(
    stream: TcpStream,
    mut bytes: Vec<u8>,
    shop: &'static Shop,
    fault: Fault,
) -> io::Result<()> {
    let place = fault.place(shop.stage.arguments.size.max(1), 0);
    let mut answers = Answers { stream, fault, place, sent: 0 };
    while !bytes.is_empty() {
        shop.work.echoes(bytes.len());
        answers.send(bytes).await?;
        bytes = answers.stream.recv().await?.to_vec();
    }
    Ok(())
}

async fn http(
    stream: TcpStream,
    mut bytes: Vec<u8>,
    shop: &'static Shop,
    fault: Fault,
) -> io::Result<()> {
    let pages = shop.stage.site.pages;
    let body_bytes = shop.stage.arguments.size;
    let place = fault.place(pages.page_bytes(), pages.page_bytes() - body_bytes);
    let mut answers = Answers { stream, fault, place, sent: 0 };
    let (mut requests, mut owed) = (Requests::default(), Owed::default());
    while !bytes.is_empty() {
        shop.work.requests(requests.receive(&bytes, &mut owed));
        while let Some(Next::Bytes(page)) = pages.next(&owed) {
            answers.send(page.to_vec()).await?;
            pages.sent(&mut owed, page.len());
        }
        if owed.is_last() {
            break;
        }
        bytes = answers.stream.recv().await?.to_vec();
    }
    Ok(())
}

/// The answers of one connection, as one sequence of bytes with a fault somewhere.
struct Answers {
    stream: TcpStream,
    fault: Fault,
    /// The byte that the fault stands before, or in.
    place: u64,
    sent: u64,
}

impl Answers {
    async fn send(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        if self.fault.mode == Mode::Slow {
            let second = bytes.split_off(bytes.len() / 2);
            self.stream.write_all(bytes).await?;
            sleep(self.fault.pause).await;
            self.stream.write_all(second).await?;
            return Ok(());
        }
        let right = self.place.saturating_sub(self.sent);
        if (bytes.len() as u64) <= right {
            self.sent += bytes.len() as u64;
            self.stream.write_all(bytes).await?;
            return Ok(());
        }
        // Less than the length of the bytes, as was just seen.
        let right = right as usize;
        if self.fault.mode == Mode::Wrong {
            bytes[right] ^= 1;
            // It happens once.
            self.place = u64::MAX;
            self.stream.write_all(bytes).await?;
            return Ok(());
        }
        bytes.truncate(right);
        self.stream.write_all(bytes).await?;
        match self.fault.mode {
            Mode::Stall => {
                // Until the client gives up, or the server ends.
                self.until_the_peer_ends().await?;
            }
            Mode::Reset => {
                // To close with a linger of nothing is how a reset is made: socket(7).
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
            }
            _ => {
                // Closed with something unread, it would be reset.
                self.stream.shutdown(Shutdown::Write).await?;
                self.until_the_peer_ends().await?;
            }
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    async fn until_the_peer_ends(&mut self) -> io::Result<()> {
        while !self.stream.recv().await?.is_empty() {}
        Ok(())
    }
}
