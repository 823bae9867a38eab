//! One shard of the server: accepts connections, keeps within its limits, and stops when told.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use corering::net::TcpListener;
use corering::signal::Signal;
use corering::sync::{Notify, Semaphore};
use corering::time::timeout;
use futures_util::future::{Either, select};

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
    pub(crate) stopping: Stopping,
}

impl Server {
    pub(crate) fn new(root: Root, limits: Limits) -> Self {
        Self { root, limits, clock: DateClock::new(), stopping: Stopping::default() }
    }

    /// Serves until the signal comes, then lets requests end until the deadline.
    pub(crate) async fn run(self, listener: TcpListener, stop: Signal) -> io::Result<()> {
        let server = Rc::new(self);
        let places = Rc::new(Semaphore::new(server.limits.connections_max));
        match select(pin!(accept_all(listener, &server, &places)), pin!(stop)).await {
            Either::Left((Err(error), _)) => return Err(error),
            Either::Right((signal, _)) => signal?,
        }
        // The listener is closed. Connections that wait for a request end now, the others after
        // their answer; those that are left at the deadline are dropped with the shard.
        server.stopping.set();
        let all_places = places.acquire_many(server.limits.connections_max);
        let _ = timeout(server.limits.shutdown_timeout, all_places).await;
        Ok(())
    }
}

/// Accepts for ever, as long as there is a place. Without one, clients wait in the kernel's queue.
async fn accept_all(
    listener: TcpListener,
    server: &Rc<Server>,
    places: &Rc<Semaphore>,
) -> io::Result<std::convert::Infallible> {
    loop {
        let place = Rc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
        // It passes over clients that are gone already, and waits where descriptors have run out.
        let stream = listener.accept().await?;
        let server = Rc::clone(server);
        corering::spawn(async move {
            connection::serve(stream, server).await;
            drop(place);
        });
    }
}

/// Whether the server stops, for those who look and those who wait.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    is_set: Cell<bool>,
    changed: Notify,
}

impl Stopping {
    fn set(&self) {
        self.is_set.set(true);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.get()
    }

    pub(crate) async fn wait(&self) {
        if !self.is_set.get() {
            self.changed.notified().await;
        }
    }
}
