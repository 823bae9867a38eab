//! Listeners for the shards of a program, bound before any of them runs.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::address::{ToAddress, cannot, ip_address, no_address};
use super::family::Family;
use super::listener::Listener;
use super::tcp::{BACKLOG, Tcp, TcpListener, TcpListenerBuilder};
use super::unix::Unix;
use crate::driver::{self, CutBy, SharedFd};
use crate::runtime::Shard;

/// Binds a TCP listener for each shard of a program, all to one address, before the shards run; port 0
/// is any free one, the same for all. [`TcpListenerBuilder::bind_shards`] sets more, and
/// [`UnixListener::bind_shards`](super::UnixListener::bind_shards) is the same for a path.
///
/// None listens, and a connect is refused, until a shard takes its own: one that is never taken gets
/// no connection. The kernel spreads connections over those that were taken (`SO_REUSEPORT`).
///
/// Needs no runtime. A name is looked up by the calling thread, which waits for the answer.
///
/// # Errors
///
/// `AddrInUse` if another socket listens there, and the others of `socket(2)` and `bind(2)`; the text
/// names the address. `InvalidInput` if the text is no address.
///
/// # Examples
///
/// ```
/// use corering::net::{self, TcpStream};
///
/// let listeners = net::bind_shards("127.0.0.1:0", 2)?;
/// println!("will listen on {}", listeners.local_addr());
/// corering::Runtime::builder().shards(2).oversubscribe(true).try_run(async |shard| {
///     let listener = listeners.take(&shard)?;
///     corering::spawn(async move {
///         while let Ok(mut stream) = listener.accept().await {
///             corering::spawn(async move { stream.write_all("hello").await });
///         }
///     });
///     let mut client = TcpStream::connect(listeners.local_addr()).await?;
///     assert_eq!(&*client.recv().await?, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn bind_shards(address: impl ToAddress, shards: usize) -> io::Result<ShardListeners> {
    TcpListener::builder().bind_shards(address, shards)
}

/// A listener for each shard of a program, from [`bind_shards`], whose example shows it. Dropped, it
/// closes those that no shard has taken.
#[derive(Debug)]
pub struct ShardListeners<F: Family = Tcp> {
    address: F::Address,
    /// The backlog of sockets that do not listen yet.
    backlog: Option<u32>,
    cut_by: CutBy,
    /// By the number of the shard, each until it is taken.
    sockets: Mutex<Vec<Option<Socket>>>,
}

impl<F: Family> ShardListeners<F> {
    /// The address of all, with the port that the kernel has chosen.
    pub fn local_addr(&self) -> F::Address {
        self.address.clone()
    }

    /// The listener of this shard, which listens from now on. Each is given once; what a first
    /// [`run`](crate::Builder::run) has not taken, a second may.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are not as many listeners as the runtime has shards; if the shard has
    /// taken its own already; `AddrInUse` if another socket has come to listen on the address since it
    /// was bound, after which it may be tried again; if there is no runtime.
    pub fn take(&self, shard: &Shard) -> io::Result<Listener<F>> {
        let nonblocking = driver::current()?.can().opens_nonblocking;
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let (bound, shards) = (sockets.len(), shard.count());
        if bound != shards {
            let text = format!("{bound} listeners were bound, and there are {shards} shards");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let is_first = sockets.iter().all(Option::is_some);
        let place = &mut sockets[shard.id()];
        if let (Some(socket), Some(backlog)) = (&*place, self.backlog) {
            listen(socket, backlog, is_first)
                .map_err(cannot("listen on", format_args!("{:?}", self.address)))?;
        }
        let socket = place.take().ok_or_else(|| {
            io::Error::other(format!("shard {} has taken its listener already", shard.id()))
        })?;
        if nonblocking {
            // Never cleared: the shards of another runtime may have duplicates.
            socket.set_nonblocking(true)?;
        }
        let fd = SharedFd::opened(socket.into(), nonblocking, self.cut_by);
        // With a duplicate elsewhere, closing it does not end what watches it.
        fd.expose_listener();
        Ok(Listener::from_fd(fd))
    }
}

/// Lets a bound socket listen beside those of the other shards. The first does so by itself, and shares
/// only then: a second program that has bound the address, too, fails and does not join unnoticed.
fn listen(socket: &Socket, backlog: u32, is_first: bool) -> io::Result<()> {
    if !is_first {
        socket.set_reuse_port(true)?;
    }
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_reuse_port(true)
}

impl TcpListenerBuilder {
    /// As [`bind_shards`], with what was set here. A port that an earlier process has just left is taken
    /// over in any case.
    ///
    /// # Errors
    ///
    /// As [`bind_shards`].
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::net::TcpListener;
    ///
    /// let listeners = TcpListener::builder().nodelay(true).bind_shards("127.0.0.1:0", 2)?;
    /// # assert_ne!(listeners.local_addr().port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind_shards(
        mut self,
        address: impl ToAddress,
        shards: usize,
    ) -> io::Result<ShardListeners> {
        // This is what lets several be bound, as long as none listens.
        self.reuse_address = true;
        let mut bound = Err(no_address());
        for address in address.to_address()?.look_up()? {
            bound = self.bind_all(address, shards).map_err(cannot("listen on", address));
            if bound.is_ok() {
                break;
            }
        }
        bound
    }

    fn bind_all(&self, mut address: SocketAddr, shards: usize) -> io::Result<ShardListeners> {
        let mut sockets = Vec::new();
        for _ in 0..shards {
            let domain = Domain::for_address(address);
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            self.set_options(&socket, address)?;
            socket.bind(&address.into())?;
            address = ip_address(&socket.local_addr()?)?;
            sockets.push(Some(socket));
        }
        let (backlog, sockets) = (Some(self.backlog), Mutex::new(sockets));
        Ok(ShardListeners { address, backlog, cut_by: CutBy::Mark, sockets })
    }
}

impl Listener<Unix> {
    /// Listens on a path for each shard of a program, before the shards run. It is one socket: which of
    /// the shards that have taken theirs gets a connection is for the kernel to say, and connections
    /// wait until there is one. The file stays when the listeners are gone; remove it then.
    ///
    /// Needs no runtime.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::net::UnixListener;
    ///
    /// # let path = std::env::temp_dir().join(format!("corering-shards-{}", std::process::id()));
    /// let listeners = UnixListener::bind_shards(&path, 2)?;
    /// # assert_eq!(listeners.local_addr().as_ref(), Some(&path));
    /// std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind_shards(path: impl AsRef<Path>, shards: usize) -> io::Result<ShardListeners<Unix>> {
        let path = path.as_ref();
        let bind_all = || {
            let address = SockAddr::unix(path)?;
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // Whatever runs out does so before there is a file.
            let duplicates = (0..shards).map(|_| socket.try_clone().map(Some));
            let sockets = Mutex::new(duplicates.collect::<io::Result<_>>()?);
            socket.bind(&address)?;
            socket.listen(BACKLOG as i32)?;
            let (address, backlog) = (Some(path.to_owned()), None);
            Ok(ShardListeners { address, backlog, cut_by: CutBy::MarkOrControl, sockets })
        };
        bind_all().map_err(cannot("listen on", path.display()))
    }
}
