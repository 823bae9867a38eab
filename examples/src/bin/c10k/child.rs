//! The process of the clients, as that of the server sees it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use corering::io::{Lines, lines};
use corering::net::{UnixReadHalf, UnixStream, UnixWriteHalf};
use corering::process::{self, Command};
use corering::time::timeout;

use crate::Arguments;
use crate::clients::Message;

/// How long the clients may take to end before they are killed.
const GRACE: Duration = Duration::from_secs(5);

/// The running process of the clients. It ends when its socket to this process does, however that
/// happens.
pub(crate) struct Child {
    process: process::Child,
    messages: Lines<UnixReadHalf>,
    orders: UnixWriteHalf,
}

impl Child {
    /// Starts this program again, as clients of `addresses`.
    pub(crate) async fn start(arguments: &Arguments, addresses: &[SocketAddr]) -> io::Result<Self> {
        let (own, its) = StdUnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        // In a group of its own: Ctrl-C is for the server, which ends the clients in order.
        command.stdin(OwnedFd::from(its)).process_group(0).kill_on_drop(true);
        let Arguments { clients, questions, every, deadline, driver, as_clients: _ } = arguments;
        command.args(["--clients", &clients.to_string(), "--questions", &questions.to_string()]);
        command.args(["--every", &every.to_string(), "--deadline", &deadline.to_string()]);
        command.args(["--driver", &driver.to_string()]);
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        command.args(["--as-clients", &addresses.join(",")]);

        let process = command.spawn().await?;
        let (reader, orders) = UnixStream::from(own).into_split();
        Ok(Child { process, messages: lines(reader), orders })
    }

    /// The next message, which comes when the last order has been carried out.
    pub(crate) async fn receive(&mut self) -> Result<Message, String> {
        let line = self.messages.next_line().await;
        let line = line.map_err(|error| format!("the clients cannot be heard: {error}"))?;
        let line = line.ok_or("the clients have ended before they were done")?;
        match serde_json::from_str(&line) {
            Ok(Message::Failed(reason)) => Err(reason),
            Ok(message) => Ok(message),
            Err(error) => Err(format!("the clients say what cannot be read: {error}")),
        }
    }

    /// Lets the clients begin with the next step.
    pub(crate) async fn send(&mut self, order: &str) -> Result<(), String> {
        let sent = self.orders.write_all(format!("{order}\n")).await;
        sent.map(drop).map_err(|error| format!("the clients take no orders: {error}"))
    }

    /// Ends the clients, and waits until their process is gone.
    pub(crate) async fn end(self) -> io::Result<()> {
        let Child { mut process, messages, orders } = self;
        drop((messages, orders));
        let status = match timeout(GRACE, process.wait()).await {
            Ok(ended) => ended?,
            Err(_) => {
                process.start_kill()?;
                process.wait().await?
            }
        };
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("the process of the clients ended with {status}")))
    }
}
