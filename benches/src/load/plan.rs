//! What a client is asked to do.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::address::Address;
use crate::outcome::Failure;

/// The load that one client puts on one server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server listens.
    pub address: Address,
    /// What is said on a connection.
    pub protocol: Protocol,
    /// How many connections.
    pub connections: usize,
    /// Requests in flight on one connection at most.
    pub depth: usize,
    /// Bytes of a request, where the protocol leaves that open.
    pub message_size: usize,
    /// A connection for each request, opened within the time that is measured.
    pub is_churn: bool,
    /// Decides the contents of messages and the arrivals of an open loop.
    pub seed: u64,
    /// A server that takes longer for an answer is taken for dead.
    pub patience: Duration,
    /// Connections are spread over this many addresses of 127.0.0.0/8, each of which has ports of
    /// its own. Zero leaves the choice to the kernel.
    pub source_addresses: u32,
    /// The line to send, without its end, instead of lines of `message_size` bytes.
    pub line: Option<String>,
    /// What to call the server in a request, instead of its address.
    pub host: Option<String>,
    /// Clients that share a constant rate begin at different points, from 0 to 1, of the gap
    /// between two requests.
    pub phase: f64,
    /// Histograms are kept for each stretch of this length, too. Zero keeps none.
    pub interval: Duration,
    /// The body of the first answer, which clones of a plan share.
    pub first_body: Arc<OnceLock<Vec<u8>>>,
}

/// What is said on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Bytes come back as they were sent.
    Echo,
    /// HTTP/1.1 GET. Bodies are compared with that of the first answer.
    Http {
        /// With its slash.
        path: String,
    },
    /// The same by HTTP/2 in clear text, each request on a stream of its own.
    Http2 {
        /// With its slash.
        path: String,
    },
    /// A line is answered by a line: by itself, or by what the first line was answered by.
    Line,
}

impl Protocol {
    /// As in a target.
    pub fn name(&self) -> &'static str {
        match self {
            Protocol::Echo => "echo",
            Protocol::Http { .. } => "http",
            Protocol::Http2 { .. } => "http2",
            Protocol::Line => "line",
        }
    }
}

impl Plan {
    /// One connection with one echo of 64 bytes in flight.
    pub fn new(address: Address, protocol: Protocol) -> Self {
        Plan {
            address,
            protocol,
            connections: 1,
            depth: 1,
            message_size: 64,
            is_churn: false,
            seed: 1,
            patience: Duration::from_secs(10),
            source_addresses: 0,
            line: None,
            host: None,
            phase: 0.0,
            interval: Duration::ZERO,
            first_body: Arc::default(),
        }
    }

    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let refuse = |text: &str| Err(Failure::Usage(text.to_owned()));
        if self.depth == 0 {
            return refuse("a depth of 0 sends nothing: ask for 1 or more");
        }
        if self.message_size == 0 {
            return refuse("an empty message has no answer: ask for 1 byte or more");
        }
        if self.is_churn && self.depth > 1 {
            return refuse("a connection that serves one request has a depth of 1");
        }
        if self.line.as_ref().is_some_and(|line| line.contains('\n')) {
            return refuse("a line has its end at its end only");
        }
        if self.patience.is_zero() {
            return refuse("a server needs some time to answer: ask for 1ms or more");
        }
        let is_loopback = match &self.address {
            Address::Tcp(address) => address.is_ipv4() && address.ip().is_loopback(),
            Address::Unix(_) => false,
        };
        if self.source_addresses > 0 && !is_loopback {
            return refuse("source addresses can be chosen only towards 127.0.0.0/8");
        }
        if self.source_addresses > SOURCE_ADDRESSES_MAX {
            return refuse("127.0.0.0/8 has no more than 16 million addresses");
        }
        Ok(())
    }

    /// What the server is called in a request.
    pub(super) fn host(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.address.to_string())
    }

    /// The address that the connection with this index comes from, if that is to be chosen.
    pub(super) fn source(&self, index: usize) -> Option<Ipv4Addr> {
        let offset = (index as u64).checked_rem(u64::from(self.source_addresses))?;
        Some(Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + offset as u32))
    }
}

/// 127.0.0.1 to 127.255.255.254: the last one is a broadcast address.
const SOURCE_ADDRESSES_MAX: u32 = (1 << 24) - 2;
