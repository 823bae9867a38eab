//! A server for tower services, on the connections of one listener.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::{IntoFuture, poll_fn, ready};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ::hyper::body::{Body, Incoming};
use ::hyper::{Request, Response, service};
use futures_util::future::{Either, FutureExt, LocalBoxFuture};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tower_service::Service;

use crate::compat::{Hyper, HyperExecutor, HyperTimer};
use crate::net::{self, ByteStream, Family, Listener};
use crate::task::CancelToken;
use crate::time;

/// Serves an axum `Router`, or any other tower service of HTTP requests such as those of tonic, on the
/// connections of a listener: HTTP/1.1, and HTTP/2 to clients that begin with it; upgrades, too.
///
/// Each connection is a task of this shard, so services and their futures need not be `Send`. A panic in
/// the service ends its connection (with HTTP/2 its request) and no other. For several shards, each
/// serves its own listener, see [`bind_shards`](crate::net::bind_shards).
///
/// What is returned is awaited, like a future; methods before that set more.
///
/// # Cancel safety
///
/// Dropped, it closes its listener and its connections. Connections that were upgraded go on.
///
/// # Errors
///
/// Those of [`Listener::accept`], which waits where descriptors have run out; the server has ended as
/// gracefully by then.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use std::future::{Ready, ready};
/// use std::task::{Context, Poll};
///
/// use corering::compat;
/// use corering::net::{TcpListener, TcpStream};
/// use hyper::body::Incoming;
/// use hyper::{Request, Response};
///
/// // With axum it is a `Router`.
/// #[derive(Clone)]
/// struct Hello;
///
/// impl tower_service::Service<Request<Incoming>> for Hello {
///     type Response = Response<String>;
///     type Error = Infallible;
///     type Future = Ready<Result<Self::Response, Self::Error>>;
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
///         Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, request: Request<Incoming>) -> Self::Future {
///         ready(Ok(Response::new(format!("hello from {}", request.uri()))))
///     }
/// }
///
/// # corering::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let mut client = TcpStream::connect(listener.local_addr()?).await?;
/// client.write_all("GET /there HTTP/1.1\r\nhost: here\r\n\r\n").await?;
/// let answered = async move {
///     while !client.recv().await.unwrap().ends_with(b"hello from /there") {}
/// };
/// compat::serve(listener, Hello).with_graceful_shutdown(answered).await
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn serve<F, S, B>(listener: Listener<F>, service: S) -> Serve<F, S>
where
    F: Family,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
{
    serve_each(listener, move |_| Ok(service.clone()))
}

/// As [`serve`], with a service for each connection, which `make` makes; a connection of which it makes
/// none is closed.
///
/// It can give a service the address of the peer: with axum by
/// `|stream| Ok(Extension(stream.peer_addr()?).layer(router.clone()))`.
///
/// # Cancel safety
///
/// As [`serve`].
///
/// # Errors
///
/// As [`serve`].
pub fn serve_each<F, S, B>(
    listener: Listener<F>,
    make: impl FnMut(&ByteStream<F>) -> io::Result<S> + 'static,
) -> Serve<F, S>
where
    F: Family,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
{
    let make = Box::new(make);
    let mut http = auto::Builder::new(HyperExecutor);
    http.http1().timer(HyperTimer);
    // WebSockets over HTTP/2 begin by CONNECT: RFC 8441.
    http.http2().timer(HyperTimer).enable_connect_protocol();
    let (header_timeout, drain_timeout) = (HEADER_TIMEOUT, Duration::MAX);
    Serve { listener, make, http, header_timeout, drain_timeout, end: None }
}

const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// What makes the service of a connection.
type Make<F, S> = dyn FnMut(&ByteStream<F>) -> io::Result<S>;

/// A server that begins when it is awaited. Made by [`serve`](super::super::serve) and
/// [`serve_each`](super::super::serve_each).
#[must_use = "it serves nothing unless it is awaited"]
pub struct Serve<F, S> {
    listener: Listener<F>,
    make: Box<Make<F, S>>,
    http: auto::Builder<HyperExecutor>,
    /// The limit for the head of a request.
    header_timeout: Duration,
    /// The limit for a graceful end.
    drain_timeout: Duration,
    end: Option<LocalBoxFuture<'static, ()>>,
}

impl<F, S> Serve<F, S> {
    /// Ends gracefully when `end` does, whatever it returns, for instance
    /// [`signal::shutdown`](crate::signal::shutdown) or [`CancelToken::cancelled`]: accepts no more, answers
    /// the requests that have begun, closes the connections, and returns. It does not wait for connections
    /// that were upgraded.
    pub fn with_graceful_shutdown(mut self, end: impl IntoFuture<IntoFuture: 'static>) -> Self {
        let end = end.into_future();
        self.end = Some(Box::pin(async { drop(end.await) }));
        self
    }

    /// How long a graceful end may take, for answers that do not end, such as server-sent events. Their
    /// connections are closed then. Without a limit if this is not said.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.drain_timeout = limit;
        self
    }

    /// How long the head of a request may take, from the moment that hyper waits for it; 30 s if this is
    /// not said. A connection whose client takes longer is closed: idle ones of HTTP/1, and those of
    /// HTTP/2 that have not begun a request yet.
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.header_timeout = limit;
        self
    }

    /// Sets what hyper leaves to be set.
    ///
    /// # Examples
    ///
    /// On the simulated kernel, where a date would tell one run from the next:
    ///
    /// ```
    /// # use corering::compat::axum::Serve;
    /// # fn configured<F, S>(server: Serve<F, S>) -> Serve<F, S> {
    /// server.http(|builder| {
    ///     builder.http1().auto_date_header(false);
    ///     builder.http2().auto_date_header(false);
    /// })
    /// # }
    /// ```
    pub fn http(mut self, set: impl FnOnce(&mut auto::Builder<HyperExecutor>)) -> Self {
        set(&mut self.http);
        self
    }
}

impl<F, S, B> IntoFuture for Serve<F, S>
where
    F: Family,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
    S::Future: 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = io::Result<()>;
    type IntoFuture = LocalBoxFuture<'static, io::Result<()>>;

    fn into_future(mut self) -> Self::IntoFuture {
        self.http.http1().header_read_timeout(self.header_timeout);
        Box::pin(self.run())
    }
}

impl<F: Family, S> Serve<F, S> {
    async fn run<B>(self) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
        S::Future: 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Serve { listener, mut make, http, header_timeout, drain_timeout, end } = self;
        let http = Rc::new(http);
        let connection = move |stream, stop| match make(&stream) {
            Ok(service) => {
                let connection = Connection { stream, service, header_timeout };
                Either::Left(connection.serve(http.clone(), stop))
            }
            Err(error) => Either::Right(ready(Err(error))),
        };
        let server = net::serve(listener, connection).grace(drain_timeout);
        let server = match end {
            Some(end) => server.until(end.map(Ok)),
            None => server,
        };
        server.await.map(drop)
    }
}

struct Connection<F, S> {
    stream: ByteStream<F>,
    service: S,
    header_timeout: Duration,
}

impl<F: Family, S: 'static> Connection<F, S> {
    /// How it ends is between hyper and the client.
    async fn serve<B>(
        self,
        http: Rc<auto::Builder<HyperExecutor>>,
        stop: CancelToken,
    ) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone,
        S::Future: 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let has_begun = Cell::new(false);
        let service = TowerToHyperService::new(self.service);
        let service = Noticed { service, has_begun: &has_begun };
        let io = Hyper::new(self.stream);
        let mut connection = pin!(http.serve_connection_with_upgrades(io, service));
        let mut stop = Some(stop.cancelled());
        // hyper has no limit for a client that does not show which HTTP it speaks, nor for one that
        // begins with HTTP/2 and falls silent.
        let mut first = Some(time::sleep(self.header_timeout));
        poll_fn(|cx| {
            loop {
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
                if has_begun.get() {
                    first = None;
                } else if let Some(first) = &mut first
                    && Pin::new(first).poll(cx).is_ready()
                {
                    return Poll::Ready(Ok(()));
                }
                if stop.as_mut().is_none_or(|stop| Pin::new(stop).poll(cx).is_pending()) {
                    return Poll::Pending;
                }
                stop = None;
                connection.as_mut().graceful_shutdown();
            }
        })
        .await
    }
}

/// A service that notices its first request.
struct Noticed<'a, S> {
    service: S,
    has_begun: &'a Cell<bool>,
}

impl<R, S: service::Service<R>> service::Service<R> for Noticed<'_, S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: R) -> S::Future {
        self.has_begun.set(true);
        self.service.call(request)
    }
}

impl<F, S> fmt::Debug for Serve<F, S>
where
    Listener<F>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Serve { listener, header_timeout, .. } = self;
        let mut all = f.debug_struct("Serve");
        all.field("listener", listener).field("header_timeout", header_timeout);
        all.finish_non_exhaustive()
    }
}
