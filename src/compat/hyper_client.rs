//! Connections for the client of hyper-util, which pools them, and for that of tonic.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::hyper::Uri;
use futures_util::future::LocalBoxFuture;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

use super::Hyper;
use crate::net::TcpStream;
use crate::task;
use crate::util::sent_home::SentHome;

/// Connects to the host and port of a URI, by TCP: the connector of hyper-util's `legacy::Client`, which
/// keeps connections for the next request.
///
/// Names are resolved on the shard's pool of threads. Connections have `TCP_NODELAY`. A URI of `https` is
/// refused: wrap this for TLS.
///
/// # Examples
///
/// ```
/// use corering::compat::{HyperConnector, HyperExecutor, HyperTimer};
/// use corering::net::TcpListener;
/// use hyper_util::client::legacy::Client;
///
/// # corering::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let uri = format!("http://{}/", listener.local_addr()?).parse()?;
///
/// let client = Client::builder(HyperExecutor).pool_timer(HyperTimer).build(HyperConnector);
/// let (answer, server) = corering::join!(client.get(uri), async {
///     let mut server = listener.accept().await?;
///     server.recv().await?;
///     server.write_all("HTTP/1.1 204 No Content\r\n\r\n").await?;
///     Ok::<_, std::io::Error>(server)
/// });
/// # let client: Client<_, String> = client;
/// assert_eq!(answer?.status(), 204);
/// # server?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperConnector;

impl Service<Uri> for HyperConnector {
    type Response = Hyper<TcpStream>;
    type Error = io::Error;
    type Future = HyperConnecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> HyperConnecting {
        let connecting: LocalBoxFuture<'static, _> = Box::pin(connect(uri));
        HyperConnecting(SentHome::new(connecting, task::current_mailbox()))
    }
}

async fn connect(uri: Uri) -> io::Result<Hyper<TcpStream>> {
    let refused = |why| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri}: {why}"));
    if uri.scheme_str() == Some("https") {
        return Err(refused(
            "compat::HyperConnector speaks no TLS: wrap it in a connector that does",
        ));
    }
    let host = uri.host().ok_or_else(|| refused("it names no host to connect to"))?;
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Hyper::new(stream))
}

/// The future of a [`HyperConnector`]. It is `Send`, as hyper-util demands, but of use on its own thread
/// only.
///
/// # Panics
///
/// When it is polled on another thread than that which made it.
#[must_use = "futures do nothing unless polled"]
pub struct HyperConnecting(SentHome<LocalBoxFuture<'static, io::Result<Hyper<TcpStream>>>>);

impl Future for HyperConnecting {
    type Output = io::Result<Hyper<TcpStream>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.get_mut() {
            Some(connecting) => connecting.as_mut().poll(cx),
            None => panic!(
                "a corering::compat::HyperConnecting is of use only on the thread that made it: use a \
                 client on the shard that built it"
            ),
        }
    }
}

impl fmt::Debug for HyperConnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperConnecting").finish_non_exhaustive()
    }
}

impl<S> Connection for Hyper<S> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
