//! A chat room for telnet and the like: what one says, all hear.
//!
//! The room is a channel of tokio's, which needs no runtime of tokio's, and reaches all shards.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser;
use corering::io::{Lines, lines};
use corering::net::{ReadHalf, Tcp, TcpListener, TcpStream, WriteHalf};
use corering::task::cooperative;
use corering::{Shard, select_biased};
use corering_examples::{ShardOptions, complain};
use futures_util::FutureExt;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

/// Lets those who connect talk to each other, until Ctrl-C or SIGTERM. The first line that one sends is
/// the name, and each other line is sent to all. Prints "listening on ADDR" when it can be connected to.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on, such as 127.0.0.1:7000. Port 0 lets the kernel choose one.
    #[arg(long, value_name = "ADDR")]
    addr: SocketAddr,
    #[command(flatten)]
    shards: ShardOptions,
}

/// Messages that the room keeps for who is slow. Who is slower yet is told how many were missed.
const KEPT_MAX: usize = 64;
/// Bytes of a line.
const LINE_MAX: usize = 1024;

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        complain(format_args!("chat: {error}"));
        std::process::exit(1);
    }
}

fn run(Arguments { addr, shards }: &Arguments) -> io::Result<()> {
    let listeners = TcpListener::builder().nodelay(true).bind_shards(*addr, shards.shards)?;
    let room: Sender<Arc<str>> = channel(KEPT_MAX).0;
    let stop = corering::signal::shutdown();
    let ended = shards.runtime().try_run(async |shard: Shard| {
        let listener = listeners.take(&shard)?;
        let room = room.clone();
        corering::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok(stream) => drop(corering::spawn(greet(stream, room.clone()))),
                    Err(error) => {
                        return complain(format_args!("chat: nobody else is let in: {error}"));
                    }
                }
            }
        });
        if shard.id() == 0 {
            corering_examples::say(format_args!("listening on {}", listeners.local_addr()));
        }
        stop.clone().await
    });
    ended.map(drop)
}

/// Serves one who has connected. An error is the end of the connection, and of nothing else.
async fn greet(stream: TcpStream, room: Sender<Arc<str>>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = lines(reader).max_len(LINE_MAX);
    writer.write_all("* what is your name?\n").await?;
    let Some(name) = lines.next_line().await? else { return Ok(()) };
    let heard = room.subscribe();
    say(&room, format!("* {name} is here\n"));
    let ended = talk(&name, &mut lines, &mut writer, &room, heard).await;
    say(&room, format!("* {name} has left\n"));
    ended
}

async fn talk(
    name: &str,
    lines: &mut Lines<ReadHalf<Tcp>>,
    writer: &mut WriteHalf<Tcp>,
    room: &Sender<Arc<str>>,
    mut heard: Receiver<Arc<str>>,
) -> io::Result<()> {
    loop {
        // The one that is not ready is dropped, and loses nothing.
        select_biased! {
            line = lines.next_line().fuse() => match line {
                Ok(Some(line)) => say(room, format!("{name}: {line}\n")),
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    writer.write_all("* that is no line of text, or too long\n").await?;
                }
                Err(error) => return Err(error),
            },
            message = cooperative(heard.recv()).fuse() => match message {
                Ok(message) => drop(writer.write_all(message).await?),
                Err(RecvError::Lagged(count)) => {
                    writer.write_all(format!("* you have missed {count} messages\n")).await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

fn say(room: &Sender<Arc<str>>, message: String) {
    // An error says that nobody listens.
    let _ = room.send(message.into());
}
