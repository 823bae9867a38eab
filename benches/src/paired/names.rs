//! What is named on the command line: servers, their handicaps, and sizes.

#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use crate::server::{Receive, Server, peers};

/// A server's name in tables: `uring`, or with a receive policy `uring/notification`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The program.
    pub program: Program,
    /// How it receives, where it has a choice and is not to make it itself.
    pub receive: Option<Receive>,
}

/// Which program serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// This one, as `serve`.
    Own(Server),
    /// Another runtime, built on request: one of [`peers::NAMES`].
    Peer(&'static str),
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Program::Own(server) => f.write_str(&server.name()),
            Program::Peer(name) => f.write_str(name),
        }
    }
}

impl FromStr for Program {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = peers::NAMES.into_iter().find(|name| *name == text) {
            return Ok(Program::Peer(name));
        }
        let server = Server::from_str(text, false).map_err(|_| {
            let (own, others) = (names::<Server>(), peers::NAMES.join(", "));
            format!(
                "there is no server `{text}`: choose from {own}, and with --with-peers {others}"
            )
        })?;
        Ok(Program::Own(server))
    }
}

impl Name {
    /// Whether it is built on request only.
    pub fn is_peer(&self) -> bool {
        matches!(self.program, Program::Peer(_))
    }

    /// Whether it can receive into buffers that the runtime lends, and into its own.
    pub(super) fn has_choice_of_buffers(&self) -> bool {
        matches!(self.program, Program::Own(server) if server.has_choice_of_buffers())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.program.fmt(f)?;
        self.receive.map_or(Ok(()), |receive| write!(f, "/{}", receive.name()))
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (program, receive) = match text.split_once('/') {
            Some((program, receive)) => (program, Some(receive)),
            None => (text, None),
        };
        let program: Program = program.parse()?;
        let receive = receive.map(|receive| {
            Receive::from_str(receive, false).map_err(|_| {
                format!("nobody receives by `{receive}`: choose from {}", names::<Receive>())
            })
        });
        let name = Name { program, receive: receive.transpose()? };
        let has_choice = matches!(program, Program::Own(Server::Uring | Server::RawUring));
        if name.receive.is_some() && !has_choice {
            return Err(format!(
                "{program} receives in one way only: leave out what follows the slash"
            ));
        }
        Ok(name)
    }
}

/// CPU time that a server is to waste on each request: `epoll=20us`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handicap {
    /// Who. Without a receive policy, all policies of that server.
    pub server: Name,
    /// How much.
    pub time: Duration,
}

impl Handicap {
    /// Whether it is meant for `name`.
    pub fn concerns(&self, name: &Name) -> bool {
        self.server.program == name.program
            && (self.server.receive.is_none() || self.server.receive == name.receive)
    }
}

impl FromStr for Handicap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (server, time) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` is not SERVER=TIME, such as epoll=20us"))?;
        let time = humantime::parse_duration(time)
            .map_err(|error| format!("`{time}` is no time such as 20us: {error}"))?;
        let server: Name = server.parse()?;
        if server.is_peer() {
            return Err(format!("{server} cannot be held back: it is not ours"));
        }
        Ok(Handicap { server, time })
    }
}

/// How many connections, and how large their messages are: `64x16384`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellSize {
    /// Connections to each server.
    pub connections: usize,
    /// Bytes of one message.
    pub message_bytes: usize,
}

impl FromStr for CellSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cell = text.split_once('x').and_then(|(connections, message_bytes)| {
            Some(CellSize {
                connections: connections.parse().ok()?,
                message_bytes: message_bytes.parse().ok()?,
            })
        });
        cell.filter(|cell| cell.connections > 0 && cell.message_bytes > 0).ok_or_else(|| {
            format!("`{text}` is not CONNECTIONSxBYTES, such as 64x16384, both at least 1")
        })
    }
}

fn names<T: ValueEnum>() -> String {
    let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_printed() {
        for text in ["uring", "uring/notification", "raw-uring/completion", "tokio", "monoio"] {
            assert_eq!(text.parse::<Name>().expect("a valid name").to_string(), text);
        }
    }

    #[test]
    fn a_policy_needs_a_server_that_has_a_choice() {
        let message = "tokio/notification".parse::<Name>().expect_err("tokio has none");
        assert!(message.contains("one way only"), "{message}");
        let message = "nginx".parse::<Name>().expect_err("not ours");
        assert!(message.contains("raw-epoll"), "{message}");
    }

    #[test]
    fn a_handicap_is_meant_for_all_policies_of_its_server() {
        let handicap: Handicap = "uring=20us".parse().expect("a valid handicap");
        assert_eq!(handicap.time, Duration::from_micros(20));
        assert!(handicap.concerns(&"uring/completion".parse().expect("a valid name")));
        assert!(!handicap.concerns(&"raw-uring".parse().expect("a valid name")));
        "epoll".parse::<Handicap>().expect_err("no time");
    }

    #[test]
    fn a_size_has_two_sides() {
        let size: CellSize = "64x16384".parse().expect("a valid size");
        assert_eq!(size, CellSize { connections: 64, message_bytes: 16384 });
        for text in ["64", "0x1", "1x0", "x", "1x2x3"] {
            text.parse::<CellSize>().expect_err(text);
        }
    }
}
