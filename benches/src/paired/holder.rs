//! Connections that do nothing, held by a process of their own: the descriptors of one process
//! would not suffice for those to several servers.

#![forbid(unsafe_code)]

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;

use crate::address::Address;
use crate::interrupt::Interrupt;
use crate::load::{self, Client, Fault, Protocol, Reason, Verdict};
use crate::os;
use crate::outcome::{Failure, Outcome};

/// Holds connections that do nothing, until its standard input ends.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// To which server.
    #[arg(long = "addr")]
    address: Address,
    /// How many.
    #[arg(long)]
    connections: usize,
    /// Bytes of the one message that each of them sends first.
    #[arg(long)]
    size: usize,
}

/// What the process says when all are open.
const HOLDING: &str = "holding";

/// One address has about 28,000 ports towards the server's.
const CONNECTIONS_PER_ADDRESS: usize = 16_384;

/// The subcommand `hold`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    os::die_with_parent()?;
    os::raise_descriptor_limit()?;
    let source_addresses = match arguments.address {
        Address::Tcp(_) => 1 + (arguments.connections / CONNECTIONS_PER_ADDRESS) as u32,
        Address::Unix(_) => 0,
    };
    let mut client = Client::connect(&load::Plan {
        connections: arguments.connections,
        message_size: arguments.size,
        source_addresses,
        ..load::Plan::new(arguments.address.clone(), Protocol::Echo)
    })?;
    // One exchange on each, after which all are accepted and have what memory they need.
    let work = client.run_closed(Duration::ZERO, &Interrupt::default())?;
    // That the client has no time left says nothing here: nobody counts how long this takes.
    let is_busy = |fault: &Fault| fault.reason == Reason::ClientSaturated;
    if !matches!(&work.verdict, Verdict::Invalid(fault) if is_busy(fault)) {
        work.into_valid()?;
    }
    let mut output = io::stdout().lock();
    writeln!(output, "{HOLDING}")?;
    output.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(Outcome::Valid)
}

/// The process, ended when this is dropped.
#[derive(Debug)]
pub(super) struct Holder(Child);

impl Holder {
    /// Opens `connections` to `address`, and returns when each has had an answer.
    pub(super) fn start(address: &Address, connections: usize, size: usize) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg("hold")
            .arg(format!("--addr={address}"))
            .arg(format!("--connections={connections}"))
            .arg(format!("--size={size}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the process that measures, which then ends this one.
            .process_group(0)
            .spawn()?;
        let output = child.stdout.take().expect("the output was asked for as a pipe");
        let mut holder = Holder(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.trim_end() == HOLDING {
            return Ok(holder);
        }
        let status = holder.0.wait()?;
        Err(io::Error::other(format!(
            "{connections} idle connections could not be held ({status})"
        )))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // One that ended before has nothing left to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
