//! One shard of the server: accepts connections, keeps within its limits, and stops when told.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use corering::net::{self, TcpListener};
use corering::signal::Signal;
use corering::task::CancelToken;
use futures_util::FutureExt;

use crate::connection;
use crate::response::DateClock;
use crate::root::Root;

/// What bounds the clients of one shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections_max: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
}

/// What the connections of one shard share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) root: Root,
    pub(crate) limits: Limits,
    pub(crate) clock: DateClock,
    pub(crate) stopping: CancelToken,
}

impl Server {
    pub(crate) fn new(root: Root, limits: Limits) -> Self {
        Self { root, limits, clock: DateClock::new(), stopping: CancelToken::new() }
    }

    /// Serves until the signal comes, then lets requests end until the deadline: connections that wait
    /// for a request end then, the others after their answer.
    pub(crate) async fn run(self, listener: TcpListener, stop: Signal) -> io::Result<()> {
        let Limits { connections_max, shutdown_timeout, .. } = self.limits;
        let stopping = self.stopping.clone();
        let server = Rc::new(self);
        let followed = Rc::clone(&server);
        corering::spawn(async move { followed.root.follow_changes().await });
        let connection = move |stream, _| connection::serve(stream, Rc::clone(&server)).map(Ok);
        let served = net::serve(listener, connection).until(stop).token(stopping);
        served.max_connections(connections_max).grace(shutdown_timeout).await.map(drop)
    }
}
