//! The process of the clients, as that of the server sees it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, Command, ExitStatus, Stdio};
use std::time::Duration;

use corering::io::{Lines, lines};
use corering::net::{UnixReadHalf, UnixStream, UnixWriteHalf};
use corering::spawn_blocking;
use corering::time::timeout;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::Arguments;
use crate::clients::Message;

/// How long the clients may take to end before they are killed.
const GRACE: Duration = Duration::from_secs(5);

/// The running process of the clients. It ends when its socket to this process does, however that
/// happens.
pub(crate) struct Child {
    process: process::Child,
    pidfd: OwnedFd,
    messages: Lines<UnixReadHalf>,
    orders: UnixWriteHalf,
}

impl Child {
    /// Starts this program again, as clients of `addresses`.
    pub(crate) async fn start(arguments: &Arguments, addresses: &[SocketAddr]) -> io::Result<Self> {
        let (own, its) = StdUnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        // In a group of its own: Ctrl-C is for the server, which ends the clients in order.
        command.stdin(Stdio::from(OwnedFd::from(its))).process_group(0);
        let Arguments { clients, questions, every, deadline, driver, as_clients: _ } = arguments;
        command.args(["--clients", &clients.to_string(), "--questions", &questions.to_string()]);
        command.args(["--every", &every.to_string(), "--deadline", &deadline.to_string()]);
        command.args(["--driver", &driver.to_string()]);
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        command.args(["--as-clients", &addresses.join(",")]);

        let spawned = spawn_blocking(move || command.spawn()).await;
        let process = spawned.map_err(io::Error::other)??;
        let pidfd = pidfd_open(Pid::from_child(&process), PidfdFlags::empty())?;
        let (reader, orders) = UnixStream::from(own).into_split();
        Ok(Child { process, pidfd, messages: lines(reader), orders })
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
        let Child { mut process, pidfd, messages, orders } = self;
        drop((messages, orders));
        let mut ended = spawn_blocking(move || process.wait());
        let status: ExitStatus = match timeout(GRACE, &mut ended).await {
            Ok(ended) => ended.map_err(io::Error::other)??,
            Err(_) => {
                pidfd_send_signal(&pidfd, Signal::KILL)?;
                ended.await.map_err(io::Error::other)??
            }
        };
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("the process of the clients ended with {status}")))
    }
}
