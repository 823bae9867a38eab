//! Files and folders that are watched for changes, by `inotify(7)`.
//!
//! A watch is added to what was opened with `O_PATH`, by the ring or the pool as any file is opened: so no
//! call waits for a disk, and the watch is known to its caller before its first event can be read. Events
//! are read by a plain call when there are some, as from a pipe: a drop loses none.

mod event;

pub use event::{Change, WatchEvent, WatchId, WatchMask};

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};

use crate::buf::RecvBuf;
use crate::driver::{CutBy, ReadableWait, SharedFd, SingleOperation, single_with};
use crate::op;
use crate::op::open_at::OpenAt;
use crate::runtime::{Handle, spawn_blocking};
use crate::sys::inotify::{self, RawEvent};
use crate::task;
use crate::util::budget::Toll;
use crate::util::shard_bound::{MakeAWatcherThere, ShardBound};

/// Watches one path for [changes](WatchMask::CHANGES): a [`Watcher`] with one watch. A symbolic link is
/// followed. In a folder changes of the names and files right in it are reported, but not of what is in
/// folders below.
///
/// # Cancel safety
///
/// A drop leaves nothing. `within` [may be late](super#limits-in-time).
///
/// # Errors
///
/// Those of [`Watcher::new`] and [`Watcher::add`], for instance `NotFound`.
///
/// # Examples
///
/// ```
/// use corering::fs::{self, WatchEvent, WatchMask};
///
/// # let folder = std::env::temp_dir().join(format!("corering-doc-watch-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// corering::block_on(async {
///     let mut changes = fs::watch(&folder).await?;
///     fs::write(folder.join("new"), "text").await?;
///     let WatchEvent::Changed(change) = changes.recv().await? else { panic!("a file was made") };
///     assert_eq!((change.kinds, change.name), (WatchMask::CREATE, Some("new".into())));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "inotify")]
pub fn watch<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<Watcher>> + use<P> {
    let mut watcher = Some(Watcher::new());
    let opening = match watcher.as_ref().is_some_and(Result::is_ok) {
        true => opening(path.as_ref(), WatchMask::CHANGES).map_err(Err),
        false => Err(watcher.take().expect("it was just made")),
    };
    single_with(opening, move |opened| {
        let watcher = watcher.take().expect("a path is opened once")?;
        watcher.0.open.add(&opened.map_err(|unopened| unopened.error)?, WatchMask::CHANGES)?;
        Ok(watcher)
    })
}

/// Watches files and folders, and reports what happens to them in the order in which it happens.
///
/// - *Not recursive*: a watch of a folder reports what happens to the names and files right in it. A folder
///   below needs a watch of its own, and what happens there before it is added is not reported.
/// - *Of files, not of names*: a watch stays with its file when that is renamed or replaced. To follow what
///   a name leads to, watch the folder that the name is in.
/// - *Local*: what another machine does to a network file system, and what the kernel does to `/proc` and
///   `/sys`, is not reported.
/// - Two events that are alike and follow each other are one.
///
/// The kernel holds what was not taken yet, up to `fs.inotify.max_queued_events` (16,384); what is dropped
/// beyond that is reported as [`Overflow`](WatchEvent::Overflow). The watcher itself holds what one read
/// has brought, 128 KiB at most, and nothing while it waits.
///
/// As a [`Stream`] it gives what [`recv`](Self::recv) gives, and has no end. It goes on in another runtime.
/// Dropped, it is closed by a thread of the pool, since the kernel takes some 10 ms to let go of watches.
///
/// # Examples
///
/// ```
/// use corering::fs::{self, WatchEvent, WatchMask, Watcher};
///
/// # let folder = std::env::temp_dir().join(format!("corering-doc-watcher-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// corering::block_on(async {
///     let mut watcher = Watcher::new()?;
///     let id = watcher.add(&folder, WatchMask::CLOSE_WRITE | WatchMask::MOVE).await?;
///     fs::write(folder.join("one"), "text").await?;
///     fs::rename(folder.join("one"), folder.join("two")).await?;
///     watcher.remove(id)?;
///     let mut told = Vec::new();
///     loop {
///         match watcher.recv().await? {
///             WatchEvent::Changed(change) => told.push((change.kinds, change.name.unwrap())),
///             WatchEvent::Overflow => panic!("these are few"),
///             WatchEvent::Ended(ended) => {
///                 assert_eq!(ended, id);
///                 break;
///             }
///         }
///     }
///     let [written, from, to] = &told[..] else { panic!("{told:?}") };
///     assert_eq!(*written, (WatchMask::CLOSE_WRITE, "one".into()));
///     assert_eq!(*from, (WatchMask::MOVED_FROM, "one".into()));
///     assert_eq!(*to, (WatchMask::MOVED_TO, "two".into()));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "inotify")]
pub struct Watcher(ShardBound<Taker, dyn MakeAWatcherThere>);

struct Taker {
    open: Rc<Open>,
    wait: ReadableWait,
    /// Events that were read and not taken.
    read: RecvBuf,
    toll: Toll,
}

/// Adds watches to a [`Watcher`], and removes them, while another task takes the events. From
/// [`Watcher::watches`].
///
/// The watches go on as long as the watcher or one of these is there.
///
/// # Examples
///
/// ```
/// use corering::fs::{WatchMask, Watcher};
///
/// corering::block_on(async {
///     let mut watcher = Watcher::new()?;
///     let watches = watcher.watches();
///     let events = corering::spawn(async move { watcher.recv().await });
///     let id = watches.add("/tmp", WatchMask::CREATE).await?;
///     watches.remove(id)?;
///     events.await.expect("it does not panic")
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Watches(ShardBound<Rc<Open>, dyn MakeAWatcherThere>);

/// The instance.
struct Open {
    /// `None` once it is dropped.
    fd: Option<SharedFd>,
}

impl Watcher {
    /// Opens an instance of inotify, which watches nothing yet. No runtime is needed.
    ///
    /// # Errors
    ///
    /// Those of `inotify_init1(2)`: the user has as many instances as `fs.inotify.max_user_instances`
    /// allows (128 by default), or the process as many descriptors as it may have.
    #[doc(alias = "inotify_init1")]
    pub fn new() -> io::Result<Self> {
        let fd = inotify::open().map_err(explain_instances)?;
        let open = Rc::new(Open { fd: Some(SharedFd::opened(fd, true, CutBy::Anything)) });
        let (wait, read, toll) = (ReadableWait::default(), RecvBuf::empty(), Toll::Due);
        Ok(Watcher(ShardBound::new(Taker { open, wait, read, toll })))
    }

    /// A handle that adds and removes watches while this watcher is borrowed.
    pub fn watches(&self) -> Watches {
        Watches(ShardBound::new(self.0.open.clone()))
    }

    /// Watches what is at a path for what `mask` says. A symbolic link is followed unless the mask has
    /// [`DONT_FOLLOW`](WatchMask::DONT_FOLLOW). What is watched already, also by another of its names, keeps
    /// its watch and its id, and is watched for the new mask alone.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing. `within` [may be late](super#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `open(2)` and `inotify_add_watch(2)`: `NotFound`, `NotADirectory`, `PermissionDenied` for
    /// what may not be read; `StorageFull` if the user has as many watches as
    /// `fs.inotify.max_user_watches` allows; `InvalidInput` for a mask without a kind. `Unsupported` where
    /// `/proc` is not mounted.
    ///
    /// # Examples
    ///
    /// See [`Watcher`].
    #[doc(alias = "inotify_add_watch")]
    pub fn add<P: AsRef<Path>>(
        &self,
        path: P,
        mask: WatchMask,
    ) -> impl SingleOperation<Output = io::Result<WatchId>> + use<P> {
        add(&self.0.open, path.as_ref(), mask)
    }

    /// Watches what is open under a descriptor, a [`File`](super::File)'s for instance. So nothing else can
    /// have come to its name meanwhile, and no path is looked up.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    ///
    /// # Examples
    ///
    /// See [`Watches::add_open`].
    pub fn add_open(&self, watched: impl AsFd, mask: WatchMask) -> io::Result<WatchId> {
        self.0.open.add(watched, mask)
    }

    /// Removes a watch. What it has seen before is still reported, and then that it has
    /// [ended](WatchEvent::Ended).
    ///
    /// # Errors
    ///
    /// `NotFound` if it has ended.
    ///
    /// # Examples
    ///
    /// See [`Watcher`].
    #[doc(alias = "inotify_rm_watch")]
    pub fn remove(&self, id: WatchId) -> io::Result<()> {
        self.0.open.remove(id)
    }

    /// The next event. Waits until there is one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the next call gives the same event.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`; if there is no runtime on this thread.
    ///
    /// # Examples
    ///
    /// See [`Watcher`].
    pub async fn recv(&mut self) -> io::Result<WatchEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event, for futures that are written by hand.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<WatchEvent>> {
        let Taker { open, wait, read, toll } = &mut *self.0;
        if read.is_empty() {
            let fd = open.fd();
            *read = ready!(wait.poll(fd, cx, |driver| op::stream::read_lent(driver, fd)))?;
        } else {
            ready!(toll.pay(cx.waker()));
        }
        let Some((raw, len)) = RawEvent::first(read) else {
            *read = RecvBuf::empty();
            let text = "a read of inotify has brought what is no event";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
        };
        let event = WatchEvent::new(raw);
        read.advance(len);
        if read.is_empty() {
            *read = RecvBuf::empty();
        }
        Poll::Ready(Ok(event))
    }
}

impl Watches {
    /// Adds a watch, as [`Watcher::add`] does.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing. `within` [may be late](super#limits-in-time).
    ///
    /// # Errors
    ///
    /// As [`Watcher::add`].
    ///
    /// # Examples
    ///
    /// See [`Watches`].
    pub fn add<P: AsRef<Path>>(
        &self,
        path: P,
        mask: WatchMask,
    ) -> impl SingleOperation<Output = io::Result<WatchId>> + use<P> {
        add(&self.0, path.as_ref(), mask)
    }

    /// Watches what is open under a descriptor, as [`Watcher::add_open`] does.
    ///
    /// # Errors
    ///
    /// As [`Watcher::add`].
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::{File, WatchMask, Watcher};
    ///
    /// corering::block_on(async {
    ///     let watcher = Watcher::new()?;
    ///     let file = File::open("/proc/self/exe").await?;
    ///     let id = watcher.watches().add_open(&file, WatchMask::ATTRIB)?;
    ///     watcher.remove(id)
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn add_open(&self, watched: impl AsFd, mask: WatchMask) -> io::Result<WatchId> {
        self.0.add(watched, mask)
    }

    /// Removes a watch, as [`Watcher::remove`] does.
    ///
    /// # Errors
    ///
    /// As [`Watcher::remove`].
    ///
    /// # Examples
    ///
    /// See [`Watches`].
    pub fn remove(&self, id: WatchId) -> io::Result<()> {
        self.0.remove(id)
    }
}

impl Open {
    fn fd(&self) -> &SharedFd {
        self.fd.as_ref().expect("it is taken when it is dropped")
    }

    fn add(&self, watched: impl AsFd, mask: WatchMask) -> io::Result<WatchId> {
        check(mask)?;
        let added = inotify::add(self.fd().as_fd(), watched.as_fd(), mask.0);
        added.map(WatchId).map_err(explain_watches)
    }

    fn remove(&self, id: WatchId) -> io::Result<()> {
        inotify::remove(self.fd().as_fd(), id.0).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => io::Error::new(io::ErrorKind::NotFound, "the watch has ended"),
            _ => error,
        })
    }
}

fn add(
    open: &Rc<Open>,
    path: &Path,
    mask: WatchMask,
) -> impl SingleOperation<Output = io::Result<WatchId>> + use<> {
    let open = open.clone();
    single_with(opening(path, mask).map_err(Err), move |opened| {
        open.add(&opened.map_err(|unopened| unopened.error)?, mask)
    })
}

/// How what is to be watched is found. Nothing of it is reported as opened or closed.
fn opening(path: &Path, mask: WatchMask) -> io::Result<OpenAt> {
    check(mask)?;
    let mut flags = libc::O_PATH;
    for (kind, flag) in
        [(WatchMask::DONT_FOLLOW, libc::O_NOFOLLOW), (WatchMask::ONLYDIR, libc::O_DIRECTORY)]
    {
        if mask.contains(kind) {
            flags |= flag;
        }
    }
    OpenAt::new(None, path, flags, 0, 0)
}

/// The kernel takes a mask without a kind, and never reports anything of it.
fn check(mask: WatchMask) -> io::Result<()> {
    if mask.intersects(WatchMask::ALL | WatchMask::UNMOUNT) {
        return Ok(());
    }
    let text = format!("the mask ({mask:?}) has no kind of event to watch for");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Says what to do when no instance can be had.
fn explain_instances(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EMFILE) => io::Error::new(
            error.kind(),
            "no instance of inotify can be had: this user has as many as \
             fs.inotify.max_user_instances allows, or the process as many descriptors as its limit \
             (RLIMIT_NOFILE); use one Watcher for many paths, or raise the limit",
        ),
        _ => error,
    }
}

/// Says what to do when a watch cannot be added.
fn explain_watches(error: io::Error) -> io::Error {
    let (kind, text) = match error.raw_os_error() {
        Some(libc::ENOSPC) => (
            error.kind(),
            "no watch can be added: this user has as many as fs.inotify.max_user_watches allows; \
             watch folders instead of the files in them, or raise the limit by sysctl",
        ),
        Some(libc::ENOENT) => (
            io::ErrorKind::Unsupported,
            "no watch can be added: /proc, by which inotify finds what is open, is not mounted",
        ),
        _ => return error,
    };
    io::Error::new(kind, text)
}

impl Stream for Watcher {
    type Item = io::Result<WatchEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedStream for Watcher {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl Drop for Open {
    /// The kernel ends an instance with its last user, and has that wait until no processor looks at its
    /// watches any more: 8 to 20 ms. So a thread closes it, once the ring has let go of it.
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        if Handle::try_current().is_some() {
            task::spawn(async move {
                if let Ok(fd) = op::close::alone(fd).await {
                    drop(spawn_blocking(move || drop(fd)));
                }
            });
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher {{ fd: {} }}", self.0.open.fd().raw())
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watches {{ fd: {} }}", self.0.fd().raw())
    }
}
