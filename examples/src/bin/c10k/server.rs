//! The server: one shard, several listeners, and a task for each connection.

use std::cell::Cell;
use std::future::IntoFuture;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use corering::net::{self, ServeReport, TcpListener, TcpStream};
use corering::task::{CancelToken, JoinSet};

/// How long an end waits for answers that have begun.
const GRACE: Duration = Duration::from_secs(2);

/// A running server.
pub(crate) struct Server {
    addresses: Vec<SocketAddr>,
    /// Connections that are served now.
    open: Rc<Cell<usize>>,
    stop: CancelToken,
    listeners: JoinSet<io::Result<ServeReport>>,
}

impl Server {
    /// Listens on 127.0.0.1 and the addresses that follow, each with a port of the kernel's choice.
    pub(crate) async fn start(addresses: u8) -> io::Result<Self> {
        let mut server = Server {
            addresses: Vec::new(),
            open: Rc::default(),
            stop: CancelToken::new(),
            listeners: JoinSet::new(),
        };
        for host in 1..=addresses {
            let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
            let listener = TcpListener::builder().nodelay(true).bind(address).await?;
            server.addresses.push(listener.local_addr()?);
            let open = server.open.clone();
            let serve =
                net::serve(listener, move |stream, stop| answer(stream, stop, open.clone()));
            // One that fails ends its own listener; its clients then say what they miss.
            let serve = serve.token(server.stop.child()).grace(GRACE);
            server.listeners.spawn(serve.into_future());
        }
        Ok(server)
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many connections it has now.
    pub(crate) fn open(&self) -> usize {
        self.open.get()
    }

    /// Ends all connections and listeners.
    pub(crate) async fn end(mut self) -> io::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.listeners.join_next().await {
            let report = ended.map_err(io::Error::other)??;
            if report.panicked > 0 {
                return Err(io::Error::other(format!("the server has panicked: {report}")));
            }
        }
        Ok(())
    }
}

/// Answers each question with the same text in capitals. While nothing comes, the connection holds no
/// buffer.
async fn answer(mut stream: TcpStream, stop: CancelToken, open: Rc<Cell<usize>>) -> io::Result<()> {
    let _counted = Counted::new(open);
    while let Ok(received) = stop.run(stream.recv()).await {
        let received = received?;
        if received.is_empty() {
            break;
        }
        stream.write_all(received.to_ascii_uppercase()).await?;
    }
    // Its drop closes the stream. The future of `close` would be a kilobyte of every connection.
    Ok(())
}

/// A connection that is counted while this lives.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(open: Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Counted(open)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
