//! Addresses of simulated sockets.

use socket2::{SockAddr, SockAddrStorage};
use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a socket is bound to. Unix names are only compared: no file is made for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Inet(SocketAddr),
    /// A path, an abstract name (with its leading zero byte), or nothing for an unnamed socket.
    Unix(Vec<u8>),
}

impl Name {
    pub(super) fn of(address: &SockAddr) -> Result<Name, i32> {
        if let Some(inet) = address.as_socket() {
            return Ok(Name::Inet(inet));
        }
        if !address.is_unix() {
            return Err(libc::EAFNOSUPPORT);
        }
        if let Some(path) = address.as_pathname() {
            return Ok(Name::Unix(path.as_os_str().as_bytes().to_vec()));
        }
        let mut name = Vec::new();
        if let Some(text) = address.as_abstract_namespace() {
            name.push(0);
            name.extend_from_slice(text);
        }
        Ok(Name::Unix(name))
    }

    pub(super) fn to_sock_addr(&self) -> SockAddr {
        match self {
            Name::Inet(inet) => SockAddr::from(*inet),
            Name::Unix(bytes) => SockAddr::unix(Path::new(OsStr::from_bytes(bytes)))
                .expect("a name that was read from a socket address fits into one"),
        }
    }

    /// What getsockname(2) reports for a socket that was never bound.
    pub(super) fn unbound(domain: i32) -> Name {
        match domain {
            libc::AF_INET => Name::Inet(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
            libc::AF_INET6 => Name::Inet(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)),
            _ => Name::Unix(Vec::new()),
        }
    }

    /// Reads the address that an entry points at.
    ///
    /// # Safety
    ///
    /// `address` is null or points at `len` readable bytes.
    pub(super) unsafe fn read(address: u64, len: u64) -> Result<Name, i32> {
        let Ok(length) = libc::socklen_t::try_from(len) else { return Err(libc::EINVAL) };
        if address == 0 {
            return Err(libc::EFAULT);
        }
        let mut storage = SockAddrStorage::zeroed();
        if length as usize > size_of::<SockAddrStorage>() || length < 2 {
            return Err(libc::EINVAL);
        }
        // SAFETY: the caller vouches for the bytes, their number was checked against the storage,
        // and the two cannot overlap since the storage was made here.
        unsafe {
            std::ptr::copy_nonoverlapping(
                address as *const u8,
                (&raw mut storage).cast::<u8>(),
                length as usize,
            );
        }
        // SAFETY: the storage was zeroed and then filled with `length` bytes of an address.
        Name::of(&unsafe { SockAddr::new(storage, length) })
    }

    /// Writes the address where an accept wants it, cut to the room there, as accept(2) does.
    ///
    /// # Safety
    ///
    /// Either address is null, or `length_at` points at a `socklen_t` and `address` at that many
    /// writable bytes.
    pub(super) unsafe fn write(&self, address: u64, length_at: u64) {
        if address == 0 || length_at == 0 {
            return;
        }
        let name = self.to_sock_addr();
        let length_at = length_at as *mut libc::socklen_t;
        // SAFETY: the caller vouches for the length's place.
        let room = unsafe { length_at.read_unaligned() };
        // SAFETY: at most `room` bytes go to the address, and at most the name's length is read.
        unsafe {
            std::ptr::copy_nonoverlapping(
                name.as_ptr().cast::<u8>(),
                address as *mut u8,
                room.min(name.len()) as usize,
            );
        }
        // SAFETY: as for the read above.
        unsafe { length_at.write_unaligned(name.len()) };
    }

    /// Whether a socket bound to this name receives what is sent to `wanted`.
    pub(super) fn covers(&self, wanted: &Name) -> bool {
        match (self, wanted) {
            (Name::Inet(bound), Name::Inet(wanted)) => {
                bound.port() == wanted.port()
                    && (bound.ip() == wanted.ip() || bound.ip().is_unspecified())
            }
            (bound, wanted) => bound == wanted,
        }
    }

    /// Whether two sockets bound to these names would be in each other's way.
    pub(super) fn overlaps(&self, other: &Name) -> bool {
        self.covers(other) || other.covers(self)
    }

    pub(super) fn is_of(&self, domain: i32) -> bool {
        match self {
            Name::Inet(SocketAddr::V4(_)) => domain == libc::AF_INET,
            Name::Inet(SocketAddr::V6(_)) => domain == libc::AF_INET6,
            Name::Unix(_) => domain == libc::AF_UNIX,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Inet(inet) => inet.fmt(f),
            Name::Unix(bytes) => write!(f, "unix:{}", bytes.escape_ascii()),
        }
    }
}
