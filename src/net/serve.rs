//! A server of one listener: each connection is a task, and all end gracefully together.

use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::StreamExt;

use super::family::Family;
use super::listener::Listener;
use super::stream::ByteStream;
use crate::task::{CancelToken, JoinError, JoinSet, panicked_here};
use crate::time;
use crate::util::unwind::{catch, drop_quietly};

/// Serves the connections of a listener: `handler` makes the future of each, which is a task of this
/// shard. An error or a panic ends its own connection, and no other.
///
/// What is returned is awaited, like a future; methods before that set more. The server ends when the
/// future of [`until`](Serve::until) does, or when its token is cancelled, of which each connection has a
/// clone. Then it
///
/// 1. closes the listener,
/// 2. cancels the token, so that connections end after what they have begun,
/// 3. waits for them, for as long as [`grace`](Serve::grace) says,
/// 4. aborts the rest, and
/// 5. returns how the connections have ended. No task of theirs is left.
///
/// Where descriptors have run out it waits until some come free, see [`Listener::accept`]. With several
/// shards, each serves its own listener, see [`bind_shards`](super::bind_shards).
///
/// # Cancel safety
///
/// Dropped, it closes its listener and aborts its connections, without a grace. The token is not
/// cancelled.
///
/// # Errors
///
/// Those of [`Listener::accept`], and that of the future of [`until`](Serve::until). They end the server
/// as gracefully, and are returned when it has ended.
///
/// # Examples
///
/// A handler that waits for its client by [`CancelToken::run`] ends with the server, and does not leave an
/// answer half way:
///
/// ```
/// use std::io;
///
/// use corering::net::{self, ByteStream, Family, TcpListener, TcpStream};
/// use corering::task::CancelToken;
///
/// async fn echo<F: Family>(mut stream: ByteStream<F>, stop: CancelToken) -> io::Result<()> {
///     while let Ok(received) = stop.run(stream.recv()).await {
///         let received = received?;
///         if received.is_empty() {
///             break;
///         }
///         stream.write_all(received).await?;
///     }
///     stream.close().await
/// }
///
/// # corering::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let mut client = TcpStream::connect(listener.local_addr()?).await?;
/// let client = async {
///     client.write_all("hello").await?;
///     assert_eq!(client.recv().await?, "hello");
///     // A program has `signal::shutdown()` here, and the client does not leave first.
///     io::Result::Ok(client)
/// };
/// let stop = CancelToken::new();
/// let server = corering::spawn(net::serve(listener, echo).token(stop.clone()).into_future());
/// let mut client = client.await?;
/// stop.cancel();
/// assert!(client.recv().await?.is_empty());
/// let report = server.await??;
/// assert_eq!((report.accepted, report.finished), (1, 1));
/// # io::Result::Ok(())
/// # })?;
/// # io::Result::Ok(())
/// ```
#[doc(alias = "start_server")]
#[doc(alias = "graceful shutdown")]
pub fn serve<F, H, C>(listener: Listener<F>, handler: H) -> Serve<F, H>
where
    F: Family,
    H: FnMut(ByteStream<F>, CancelToken) -> C + 'static,
    C: Future<Output = io::Result<()>> + 'static,
{
    Serve {
        listener,
        handler,
        end: None,
        token: CancelToken::new(),
        grace: GRACE,
        connections_max: usize::MAX,
    }
}

const GRACE: Duration = Duration::from_secs(10);

/// A server that begins when it is awaited. Made by [`serve`].
#[must_use = "it serves nothing unless it is awaited"]
pub struct Serve<F, H> {
    listener: Listener<F>,
    handler: H,
    end: Option<LocalBoxFuture<'static, io::Result<()>>>,
    token: CancelToken,
    grace: Duration,
    connections_max: usize,
}

impl<F, H> Serve<F, H> {
    /// Ends the server when `end` does, for instance [`signal::shutdown`](crate::signal::shutdown). An
    /// error of it is what the server returns, when it has ended.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use corering::net::{self, TcpListener};
    /// use corering::signal;
    ///
    /// #[corering::main]
    /// async fn main() -> std::io::Result<()> {
    ///     let listener = TcpListener::bind("127.0.0.1:7000").await?;
    ///     let server = net::serve(listener, async |mut stream, _stop| {
    ///         stream.write_all("hello").await?;
    ///         stream.close().await
    ///     });
    ///     let report = server.until(signal::shutdown()).await?;
    ///     println!("{report}");
    ///     Ok(())
    /// }
    /// ```
    pub fn until<E>(mut self, end: E) -> Self
    where
        E: IntoFuture<Output = io::Result<()>, IntoFuture: 'static>,
    {
        self.end = Some(Box::pin(end.into_future()));
        self
    }

    /// The token of the server and its connections, instead of a new one. Its cancel ends the server, and a
    /// server that ends otherwise cancels it: a token that others use, too, gives a
    /// [`child`](CancelToken::child).
    ///
    /// # Examples
    ///
    /// A connection may end the server:
    ///
    /// ```
    /// use corering::net::{self, TcpListener, TcpStream};
    /// use corering::task::CancelToken;
    ///
    /// # corering::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let _client = TcpStream::connect(listener.local_addr()?).await?;
    /// let all = CancelToken::new();
    /// let server = net::serve(listener, async |_, stop: CancelToken| {
    ///     stop.cancel();
    ///     Ok(())
    /// });
    /// assert_eq!(server.token(all.child()).await?.finished, 1);
    /// assert!(!all.is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn token(mut self, token: CancelToken) -> Self {
        self.token = token;
        self
    }

    /// How long connections may go on when the server ends: zero is not at all, `Duration::MAX` is until all
    /// have ended. 10 s if this is not said.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::net::{self, TcpListener, TcpStream};
    /// use corering::task::CancelToken;
    /// use corering::time::Duration;
    ///
    /// # corering::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let _client = TcpStream::connect(listener.local_addr()?).await?;
    /// let never_ends = async |_, stop: CancelToken| {
    ///     stop.cancel();
    ///     std::future::pending().await
    /// };
    /// let server = net::serve(listener, never_ends).grace(Duration::from_millis(1));
    /// assert_eq!(server.await?.aborted, 1);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = limit;
        self
    }

    /// How many connections are served at a time; without a limit if this is not said. Others wait in the
    /// kernel's backlog, or accepted, as many as
    /// [`max_queued_accepts`](crate::Builder::max_queued_accepts) says, and are closed when the server
    /// ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::net::{self, TcpListener};
    ///
    /// # corering::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let server = net::serve(listener, async |_, _| Ok(())).max_connections(10_000);
    /// # let server = server.until(async { Ok(()) });
    /// println!("{}", server.await?);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// With 0, which would serve nobody.
    pub fn max_connections(mut self, count: usize) -> Self {
        assert!(count > 0, "max_connections(0) would serve nobody: the limit must be above 0");
        self.connections_max = count;
        self
    }
}

impl<F, H, C> IntoFuture for Serve<F, H>
where
    F: Family,
    H: FnMut(ByteStream<F>, CancelToken) -> C + 'static,
    C: Future<Output = io::Result<()>> + 'static,
{
    type Output = io::Result<ServeReport>;
    type IntoFuture = LocalBoxFuture<'static, io::Result<ServeReport>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<F: Family, H> Serve<F, H> {
    async fn run<C>(mut self) -> io::Result<ServeReport>
    where
        H: FnMut(ByteStream<F>, CancelToken) -> C,
        C: Future<Output = io::Result<()>> + 'static,
    {
        let mut connections = Connections::default();
        let ended = self.accept(&mut connections).await;
        let Serve { listener, token, grace, .. } = self;
        drop(listener);
        token.cancel();
        if time::timeout(grace, connections.all_ended()).await.is_err() {
            connections.tasks.abort_all();
            connections.all_ended().await;
        }
        ended.map(|()| connections.report)
    }

    /// Begins connections until the server is to end.
    async fn accept<C>(&mut self, connections: &mut Connections) -> io::Result<()>
    where
        H: FnMut(ByteStream<F>, CancelToken) -> C,
        C: Future<Output = io::Result<()>> + 'static,
    {
        let Serve { listener, handler, end, token, connections_max, .. } = self;
        let mut incoming = listener.incoming();
        let mut cancelled = token.cancelled();
        poll_fn(|cx| {
            // First, so that no flood of clients keeps the server from its end.
            let mut ended = cancelled.poll_unpin(cx).map(Ok);
            if let Some(end) = end
                && ended.is_pending()
            {
                ended = end.as_mut().poll(cx);
            }
            loop {
                connections.count_ended(cx);
                if connections.tasks.len() >= *connections_max {
                    return ended;
                }
                // Also at the end, which serves what has been accepted by then.
                match incoming.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(stream))) => {
                        connections.begin(|| handler(stream, token.clone()));
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) | Poll::Pending => return ended,
                }
            }
        })
        .await
    }
}

#[derive(Default)]
struct Connections {
    tasks: JoinSet<io::Result<()>>,
    report: ServeReport,
}

impl Connections {
    fn begin<C>(&mut self, make: impl FnOnce() -> C)
    where
        C: Future<Output = io::Result<()>> + 'static,
    {
        self.report.accepted += 1;
        match catch(make) {
            Ok(connection) => _ = self.tasks.spawn(connection),
            Err(payload) => {
                self.report.panicked += 1;
                drop_quietly(panicked_here(payload));
            }
        }
    }

    /// Counts those that have ended.
    fn count_ended(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(ended)) = self.tasks.poll_next_unpin(cx) {
            self.count(ended);
        }
    }

    /// Waits until all have ended, and counts them.
    async fn all_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            self.count(ended);
        }
    }

    fn count(&mut self, ended: Result<io::Result<()>, JoinError>) {
        let ServeReport { finished, failed, panicked, aborted, .. } = &mut self.report;
        let count = match &ended {
            Ok(Ok(())) => finished,
            Ok(Err(_)) => failed,
            Err(error) if error.is_panic() => panicked,
            Err(_) => aborted,
        };
        *count += 1;
        // Errors and payloads are the user's.
        drop_quietly(ended);
    }
}

/// How the connections of a server have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeReport {
    /// All of them: the sum of the other counts.
    pub accepted: u64,
    /// Connections whose handler has returned without an error.
    pub finished: u64,
    /// Connections whose handler has returned an error.
    pub failed: u64,
    /// Connections whose handler has panicked.
    pub panicked: u64,
    /// Connections that had not ended when the grace was over, and were dropped.
    pub aborted: u64,
}

impl fmt::Display for ServeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServeReport { accepted, finished, failed, panicked, aborted } = self;
        write!(
            f,
            "{accepted} connections: {finished} finished, {failed} failed, {panicked} panicked, \
             {aborted} aborted"
        )
    }
}

impl<F: Family, H> fmt::Debug for Serve<F, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Serve { listener, token, grace, connections_max, .. } = self;
        let mut all = f.debug_struct("Serve");
        all.field("listener", listener).field("token", token).field("grace", grace);
        all.field("connections_max", connections_max).finish_non_exhaustive()
    }
}
