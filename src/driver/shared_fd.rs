//! A descriptor that operations share: it is closed when the last of them, and its owner, is gone.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::{fmt, io};

use super::operation::Direction;
use super::ready::{Ready, Registered};
use crate::sys;
use crate::sys::cached::Cut;
use crate::util::linked_slab::Key;
use crate::util::waker_cell::WakerCell;

/// A descriptor with a count of its users. An operation in flight is one, so the number cannot
/// be closed and given to another file while the kernel works on it.
#[derive(Clone)]
pub(crate) struct SharedFd(Rc<Open>);

/// What may end a receive before it has brought all that is there. Where nothing else has, a
/// receive that is short says that the descriptor is drained, which saves the one that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CutBy {
    /// An urgent mark. A TCP socket: epoll reports such a mark.
    Mark,
    /// An urgent mark, or descriptors or credentials that came with the bytes. A Unix stream:
    /// `recvmsg(2)` reports those.
    MarkOrControl,
    /// Something that nothing reports. Whatever the library has not opened itself, for instance a
    /// socket of packets; and a socket that others have, too, since who has received the urgent
    /// byte by itself leaves its mark behind.
    Anything,
}

/// An open file.
struct Open {
    fd: ManuallyDrop<OwnedFd>,
    /// Whether `O_NONBLOCK` is set; unknown for a descriptor that came from outside.
    nonblocking: Cell<Option<bool>>,
    /// The mode in which a descriptor came from outside, once ours was set: it is to be put back.
    came_nonblocking: Cell<Option<bool>>,
    /// The mode in which the library has opened it, once another was set.
    opened_nonblocking: Cell<Option<bool>>,
    /// A terminal that came from outside, opened again: this mode is nobody else's.
    own: OnceCell<OwnedFd>,
    cut_by: Cell<CutBy>,
    /// The number was handed out, so the open file may be shared with a duplicate or a process.
    exposed: Cell<bool>,
    /// Sends are tried at once, before the ring gets them.
    tries_first: Cell<bool>,
    /// The mode is never changed: others have the open file, at the same time.
    keeps_mode: Cell<bool>,
    /// What holds for few, one bit each: an open file is a part of each connection.
    marks: Cell<u8>,
    /// Where readiness of this descriptor is kept.
    registered: RefCell<Option<Registered>>,
}

/// The file takes no reads, and no writes, from memory alone: by direction.
const UNCACHED: [u8; 2] = [1, 2];
/// Closing it waits for nothing.
const CLOSES_AT_ONCE: u8 = 4;
/// An heir gets the descriptor from its last user, who would close it otherwise.
const HAS_HEIR: u8 = 8;

thread_local! {
    /// The heirs, by the addresses of open files, which stay in their `Rc` until they go.
    static HEIRS: RefCell<Vec<(usize, Weak<Heir>)>> = const { RefCell::new(Vec::new()) };
}

/// A task that waits for the last user of a descriptor, and the descriptor once it has come.
#[derive(Default)]
struct Heir {
    fd: Cell<Option<OwnedFd>>,
    waker: WakerCell,
}

impl Open {
    fn has(&self, mark: u8) -> bool {
        self.marks.get() & mark != 0
    }

    fn mark(&self, mark: u8) {
        self.marks.set(self.marks.get() | mark);
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    fn leave_to(&self, heir: &Rc<Heir>) {
        drop(self.take_heir());
        HEIRS.with_borrow_mut(|heirs| heirs.push((self.address(), Rc::downgrade(heir))));
        self.mark(HAS_HEIR);
    }

    fn take_heir(&self) -> Option<Rc<Heir>> {
        if !self.has(HAS_HEIR) {
            return None;
        }
        self.marks.set(self.marks.get() & !HAS_HEIR);
        let taken = HEIRS.try_with(|heirs| {
            let mut heirs = heirs.borrow_mut();
            let at = heirs.iter().position(|(open, _)| *open == self.address())?;
            heirs.swap_remove(at).1.upgrade()
        });
        taken.ok().flatten()
    }
}

impl SharedFd {
    fn with(fd: OwnedFd, nonblocking: Option<bool>, exposed: bool, cut_by: CutBy) -> Self {
        SharedFd(Rc::new(Open {
            fd: ManuallyDrop::new(fd),
            nonblocking: Cell::new(nonblocking),
            came_nonblocking: Cell::new(None),
            opened_nonblocking: Cell::new(None),
            own: OnceCell::new(),
            cut_by: Cell::new(cut_by),
            exposed: Cell::new(exposed),
            tries_first: Cell::new(false),
            keeps_mode: Cell::new(false),
            marks: Cell::new(0),
            registered: RefCell::new(None),
        }))
    }

    /// A descriptor that the runtime itself has opened or accepted.
    pub(crate) fn opened(fd: OwnedFd, nonblocking: bool, cut_by: CutBy) -> Self {
        SharedFd::with(fd, Some(nonblocking), false, cut_by)
    }

    /// A socket that the runtime had opened, and that was without it for a while.
    pub(crate) fn reopened_socket(fd: OwnedFd, cut_by: CutBy) -> Self {
        SharedFd::with(fd, None, true, cut_by)
    }

    /// A listener that came from outside. Its connections are the library's own all the same.
    pub(crate) fn listener(fd: OwnedFd) -> Self {
        let cut_by = match sys::socket::stream_domain(fd.as_fd()) {
            Some(libc::AF_INET | libc::AF_INET6) => CutBy::Mark,
            Some(libc::AF_UNIX) => CutBy::MarkOrControl,
            _ => CutBy::Anything,
        };
        SharedFd::with(fd, None, true, cut_by)
    }

    /// What may end a receive early, here or on the connections of this listener.
    #[inline]
    pub(crate) fn cut_by(&self) -> CutBy {
        self.0.cut_by.get()
    }

    #[inline]
    pub(crate) fn raw(&self) -> RawFd {
        self.0.fd.as_raw_fd()
    }

    /// As an entry of a ring takes it.
    #[inline]
    pub(crate) fn target(&self) -> io_uring::types::Fd {
        io_uring::types::Fd(self.raw())
    }

    /// As an argument of a system call.
    #[inline]
    pub(crate) fn argument(&self) -> usize {
        self.raw() as usize
    }

    /// Whether sends on this descriptor are tried at once.
    #[inline]
    pub(crate) fn tries_first(&self) -> bool {
        self.0.tries_first.get()
    }

    pub(crate) fn set_tries_first(&self, first: bool) {
        self.0.tries_first.set(first);
    }

    /// Sets the mode, where nothing else keeps a call from waiting, or lets a ring wait. That of a
    /// foreign descriptor is put back when it is closed or given away.
    #[inline]
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        let known = self.0.nonblocking.get();
        if known != Some(nonblocking) {
            let changed = sys::socket::set_nonblocking(self.as_fd(), nonblocking)?;
            self.0.nonblocking.set(Some(nonblocking));
            match known {
                None => self.0.came_nonblocking.set(Some(nonblocking != changed)),
                Some(_) if self.0.opened_nonblocking.get().is_some() => {}
                Some(_) => self.0.opened_nonblocking.set(known),
            }
        }
        Ok(())
    }

    /// The open file goes on with the user, who is to find it in the mode in which it was opened, too.
    pub(crate) fn leave_as_opened(&self) {
        if let Some(nonblocking) = self.0.opened_nonblocking.take() {
            self.0.came_nonblocking.set(Some(nonblocking));
        }
    }

    /// Whether a flag of each call (`RWF_NOWAIT`) keeps it from waiting, of those that read and
    /// write a stream as a file: the mode of what came from outside is somebody else's, too.
    pub(crate) fn calls_by_flag(&self) -> bool {
        self.0.nonblocking.get().is_none()
    }

    /// Whether a call was refused for the flag, and is to be made again without it: terminals, some
    /// devices, and older kernels do not know it. A terminal is opened again, so that its mode is
    /// ours alone; of anything else the mode is changed.
    #[cold]
    pub(super) fn gives_up_flag(&self, errno: i32) -> bool {
        let refused = matches!(errno, libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL);
        if !refused || !self.calls_by_flag() {
            return false;
        }
        if let Some(own) = sys::file::reopen_terminal(self.as_fd()) {
            self.0.nonblocking.set(Some(true));
            return self.0.own.set(own).is_ok();
        }
        !self.0.keeps_mode.get() && self.set_nonblocking(true).is_ok()
    }

    /// Never changes the mode of the open file, not even for a while: calls that need that fail instead.
    pub(crate) fn keep_mode(&self) {
        self.0.keeps_mode.set(true);
    }

    /// Whether a ring, which has answered EAGAIN for `O_NONBLOCK`, will wait from now on.
    #[cold]
    pub(super) fn lets_ring_wait(&self) -> bool {
        !self.0.keeps_mode.get()
            && self.0.nonblocking.get() != Some(false)
            && self.set_nonblocking(false).is_ok()
    }

    /// Whether memory may be asked to read, or to write, a part of the file: it has not said yet that
    /// it never can.
    #[inline]
    pub(crate) fn asks_memory(&self, direction: Direction) -> bool {
        !self.0.has(UNCACHED[direction as usize])
    }

    /// What memory has said of a part of the file, if it has it.
    pub(crate) fn heard_of_memory(
        &self,
        direction: Direction,
        answer: Result<i32, Cut>,
    ) -> Option<i32> {
        if answer == Err(Cut::Unable) {
            self.0.mark(UNCACHED[direction as usize]);
        }
        answer.ok()
    }

    /// Whether closing it waits for nothing: a file of a local file system that was opened for reading.
    /// One that was written may have to reach the disk.
    pub(crate) fn closes_at_once(&self) -> bool {
        self.0.has(CLOSES_AT_ONCE)
    }

    pub(crate) fn close_at_once(&self) {
        self.0.mark(CLOSES_AT_ONCE);
    }

    /// The stream as an argument of a plain call that reads or writes it.
    pub(crate) fn stream_argument(&self) -> usize {
        self.0.own.get().map_or(self.raw(), AsRawFd::as_raw_fd) as usize
    }

    /// The key of the registration with `ready`, if there is one.
    #[inline(always)]
    pub(super) fn registration(&self, ready: &Ready) -> Option<Key> {
        self.0.registered.borrow().as_ref()?.with(ready)
    }

    /// Remembers a registration. One with another driver is ended.
    pub(super) fn set_registered(&self, registered: Registered) {
        let old = self.0.registered.replace(Some(registered));
        if let Some(old) = old {
            old.end(self.raw(), true);
        }
    }

    /// Keeps no readiness of this descriptor any longer; a poll that watches it is cancelled.
    /// Returns whether there is one: it holds the open file until the kernel's next visit.
    pub(crate) fn forget_readiness(&self) -> bool {
        let registered = self.0.registered.take();
        registered.is_some_and(|registered| registered.end(self.raw(), true))
    }

    /// The descriptor itself, if nobody else uses it.
    pub(crate) fn try_unwrap(self) -> Result<OwnedFd, SharedFd> {
        if Rc::strong_count(&self.0) > 1 {
            return Err(self);
        }
        self.forget_readiness();
        // Here, where it has the address that its heir knows.
        drop(self.0.take_heir());
        let mut open = Rc::into_inner(self.0).expect("the count was one");
        open.put_mode_back();
        drop(open.own.take());
        // SAFETY: the descriptor is not used again: the drop of `open` is skipped below.
        let fd = unsafe { ManuallyDrop::take(&mut open.fd) };
        // `Open::drop` would close the descriptor; what else it holds is empty by now.
        drop(open.registered.take());
        std::mem::forget(open);
        Ok(fd)
    }

    /// Waits for the last other user, and takes the descriptor. Of several tasks that wait the last gets it.
    pub(crate) async fn when_unused(self) -> OwnedFd {
        let open = match self.try_unwrap() {
            Ok(fd) => return fd,
            Err(shared) => shared,
        };
        let heir = Rc::new(Heir::default());
        open.0.leave_to(&heir);
        drop(open);
        poll_fn(|cx| {
            heir.waker.register(cx.waker());
            heir.fd.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Whether both are users of one open file.
    pub(crate) fn is(&self, other: &SharedFd) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// How many users there are, operations in flight included.
    pub(crate) fn users(&self) -> usize {
        Rc::strong_count(&self.0)
    }
}

impl From<OwnedFd> for SharedFd {
    fn from(fd: OwnedFd) -> Self {
        SharedFd::with(fd, None, true, CutBy::Anything)
    }
}

impl AsFd for SharedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl SharedFd {
    /// The descriptor for the user, who may duplicate it.
    pub(crate) fn expose(&self) -> BorrowedFd<'_> {
        self.0.cut_by.set(CutBy::Anything);
        self.expose_listener()
    }

    /// Whether others may have the open file: it came from outside, or was given to the user.
    pub(crate) fn is_exposed(&self) -> bool {
        self.0.exposed.get()
    }

    /// The descriptor of a listener for the user. Its connections are the library's own.
    pub(crate) fn expose_listener(&self) -> BorrowedFd<'_> {
        self.0.exposed.set(true);
        self.0.fd.as_fd()
    }
}

impl fmt::Debug for SharedFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedFd").field(&self.raw()).finish()
    }
}

impl Open {
    /// Leaves a foreign descriptor in the mode in which it came.
    fn put_mode_back(&self) {
        if let Some(nonblocking) = self.came_nonblocking.take()
            && self.nonblocking.get() != Some(nonblocking)
        {
            // Where it fails there is nobody to tell.
            let _ = sys::socket::set_nonblocking(self.fd.as_fd(), nonblocking);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.put_mode_back();
        let heir = self.take_heir();
        if let Some(registered) = self.registered.take() {
            // What is closed leaves epoll by itself, unless others have the open file.
            registered.end(self.fd.as_raw_fd(), self.exposed.get() || heir.is_some());
        }
        // SAFETY: the field is not used after this, its owner is being dropped.
        let fd = unsafe { ManuallyDrop::take(&mut self.fd) };
        match heir {
            Some(heir) => {
                heir.fd.set(Some(fd));
                heir.waker.wake();
            }
            None => sys::socket::close(fd),
        }
    }
}
