//! What ends a run early, and whose fault it is.

use std::fmt;
use std::io;

use super::connection::Connection;
use super::plan::Plan;
use super::verdict::{Fault, Reason};
use crate::outcome::Failure;

/// What ends a run early: the server, or this very machine.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The run has a verdict, and what was measured until then.
    Server(Fault),
    /// There is nothing to report.
    Own(Failure),
}

impl Trouble {
    /// What the server did wrong on the connection with this index.
    pub(super) fn server(reason: Reason, index: usize, what: impl fmt::Display) -> Self {
        Trouble::Server(Fault { reason, detail: format!("connection {index} {what}") })
    }

    /// An error of the socket with this index.
    pub(super) fn socket(index: usize, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reason::Reset,
            io::ErrorKind::ConnectionRefused => Reason::Refused,
            io::ErrorKind::TimedOut => Reason::StoppedAnswering,
            _ => return Trouble::Own(Failure::environment(format!("connection {index}"), error)),
        };
        Trouble::server(reason, index, format_args!("failed: {error}"))
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Own(failure)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Server(fault) => Failure::from(fault),
            Trouble::Own(failure) => failure,
        }
    }
}

/// What a connection that the server closed was in the middle of.
pub(super) fn closed(index: usize, connection: &Connection) -> Trouble {
    match connection.progress.arrived {
        0 => Trouble::server(Reason::Closed, index, "was closed by the server"),
        arrived => {
            let what = format!("was closed by the server after {arrived} bytes of an answer");
            Trouble::server(Reason::ShortAnswer, index, what)
        }
    }
}

/// What became of a connection that was there, or was opened within a run.
pub(super) fn lost(plan: &Plan, index: usize, error: &io::Error) -> Trouble {
    match explained(plan, error) {
        Some(failure) => Trouble::Own(failure),
        None => Trouble::socket(index, error),
    }
}

/// What became of a connection before anything was measured.
pub(super) fn cannot_connect(plan: &Plan, index: usize, error: &io::Error) -> Failure {
    explained(plan, error).unwrap_or_else(|| {
        let hint = match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                ": connection refused: is the server running, and is this its address?"
            }
            _ => "",
        };
        let address = &plan.address;
        Failure::Environment(format!("connection {index} to {address}: {error}{hint}"))
    })
}

/// Errors that are this machine's and not the server's, with what to do.
fn explained(plan: &Plan, error: &io::Error) -> Option<Failure> {
    let text = match error.raw_os_error()? {
        libc::EMFILE | libc::ENFILE => format!(
            "{} connections need more descriptors than this process may have (RLIMIT_NOFILE): \
             raise `ulimit -n`, or share the connections between machines and `merge` the runs",
            plan.connections
        ),
        libc::EADDRNOTAVAIL => format!(
            "no port is left towards {}: spread the connections over source addresses, or widen \
             net.ipv4.ip_local_port_range",
            plan.address
        ),
        libc::ENOBUFS | libc::ENOMEM => {
            format!("no memory is left for {} connections: ask for fewer", plan.connections)
        }
        _ => return None,
    };
    Some(Failure::Environment(format!("{error}: {text}")))
}
