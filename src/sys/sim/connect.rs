//! How two ends find each other: bind, listen, connect, and the queue that accept takes from.

use super::name::Name;
use super::socket::{ERR, HUP, IN, Listener, OUT, Phase, Socket, SocketId};
use super::state::{Event, State};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How often a connect knocks at a listener whose queue is full, as Linux does.
const CONNECT_TRIES_MAX: u32 = 6;
const EPHEMERAL_PORTS: u16 = 32_768;

impl State {
    pub(super) fn bind(&mut self, id: SocketId, mut name: Name) -> Result<(), i32> {
        let socket = self.socket(id);
        if socket.local.is_some() || !matches!(socket.phase, Phase::Idle) {
            return Err(libc::EINVAL);
        }
        if !name.is_of(socket.domain) {
            return Err(libc::EAFNOSUPPORT);
        }
        if let Name::Inet(inet) = &mut name
            && inet.port() == 0
        {
            inet.set_port(self.free_port()?);
        }
        if self.is_taken(id, &name) {
            return Err(libc::EADDRINUSE);
        }
        self.trace.line(self.now, format_args!("socket {id} bound to {name}"));
        self.socket(id).local = Some(name);
        Ok(())
    }

    /// Whether another socket is bound where both cannot be.
    fn is_taken(&self, id: SocketId, name: &Name) -> bool {
        let asking = &self.sockets[&id];
        self.sockets.iter().any(|(other, socket)| {
            let listening = matches!(socket.phase, Phase::Listening(_));
            if *other == id || !(listening || matches!(socket.phase, Phase::Idle)) {
                return false;
            }
            if !socket.local.as_ref().is_some_and(|local| local.overlaps(name)) {
                return false;
            }
            let both = |name| asking.option_is_set(name) && socket.option_is_set(name);
            !(both(libc::SO_REUSEPORT) || (both(libc::SO_REUSEADDR) && !listening))
        })
    }

    /// A port that no socket is bound to.
    fn free_port(&mut self) -> Result<u16, i32> {
        for _ in 0..EPHEMERAL_PORTS {
            let port = self.port_next;
            self.port_next = port.checked_add(1).unwrap_or(EPHEMERAL_PORTS);
            let taken = self.sockets.values().any(|socket| match &socket.local {
                Some(Name::Inet(local)) => local.port() == port,
                _ => false,
            });
            if !taken {
                return Ok(port);
            }
        }
        Err(libc::EADDRINUSE)
    }

    pub(super) fn listen(&mut self, id: SocketId, backlog: i32) -> Result<(), i32> {
        if self.socket(id).local.is_none() {
            let anywhere: IpAddr = match self.socket(id).domain {
                libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
                libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
                _ => return Err(libc::EINVAL),
            };
            self.bind(id, Name::Inet(SocketAddr::new(anywhere, 0)))?;
        }
        // Linux lets one connection more wait than it was told.
        let backlog = usize::try_from(backlog).unwrap_or(0) + 1;
        let socket = self.socket(id);
        match &mut socket.phase {
            Phase::Idle => {
                let queue = VecDeque::new();
                socket.phase = Phase::Listening(Listener { backlog, queue, shut: false });
            }
            Phase::Listening(listener) => listener.backlog = backlog,
            _ => return Err(libc::EINVAL),
        }
        self.trace.line(self.now, format_args!("socket {id} listens, backlog {backlog}"));
        Ok(())
    }

    /// Starts to connect. The handshake takes its time; the socket is woken when it is over.
    pub(super) fn start_connect(&mut self, id: SocketId, mut to: Name) -> Result<(), i32> {
        let socket = self.socket(id);
        match socket.phase {
            Phase::Idle => {}
            Phase::Connecting { .. } => return Err(libc::EALREADY),
            _ => return Err(libc::EISCONN),
        }
        if !to.is_of(socket.domain) {
            return Err(libc::EAFNOSUPPORT);
        }
        if let Name::Inet(inet) = &mut to {
            // To connect to "anywhere" means this machine.
            match inet.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => inet.set_ip(Ipv4Addr::LOCALHOST.into()),
                IpAddr::V6(ip) if ip.is_unspecified() => inet.set_ip(Ipv6Addr::LOCALHOST.into()),
                _ => {}
            }
        }
        if socket.local.is_none() {
            let local = match &to {
                Name::Inet(inet) => Name::Inet(SocketAddr::new(inet.ip(), self.free_port()?)),
                Name::Unix(_) => Name::Unix(Vec::new()),
            };
            self.socket(id).local = Some(local);
        }
        self.trace.line(self.now, format_args!("socket {id} connects to {to}"));
        let socket = self.socket(id);
        socket.error = None;
        socket.remote = Some(to);
        socket.phase = Phase::Connecting { tries: 0 };
        self.schedule_soon(Event::Handshake(id));
        Ok(())
    }

    /// Connects at once or not at all, as Unix sockets do. `EAGAIN`: the backlog is full.
    pub(super) fn connect_now(&mut self, id: SocketId, to: Name) -> Result<(), i32> {
        if let Some(listener) = self.listener_at(&to)
            && !self.has_backlog(listener)
        {
            return Err(libc::EAGAIN);
        }
        self.start_connect(id, to)?;
        self.handshake(id);
        self.connect_result(id).map(drop)
    }

    /// How a connect that was started stands. `EAGAIN` means that it has to wait.
    pub(super) fn connect_result(&mut self, id: SocketId) -> Result<i32, i32> {
        let socket = self.socket(id);
        match socket.phase {
            Phase::Connecting { .. } => Err(libc::EAGAIN),
            Phase::Idle => Err(socket.error.take().unwrap_or(libc::ECONNABORTED)),
            // The peer may have reset it already: that is for the first receive or send to tell.
            _ => Ok(0),
        }
    }

    /// A connect arrives where it was sent.
    pub(super) fn handshake(&mut self, id: SocketId) {
        let Some(Socket { phase: Phase::Connecting { tries }, remote, .. }) = self.sockets.get(&id)
        else {
            return;
        };
        let (tries, to) = (*tries, remote.clone().expect("a connect has an address"));
        let Some(listener) = self.listener_at(&to) else {
            return self.fail_connect(id, libc::ECONNREFUSED);
        };
        if !self.has_backlog(listener) {
            if tries == CONNECT_TRIES_MAX {
                return self.fail_connect(id, libc::ETIMEDOUT);
            }
            self.socket(id).phase = Phase::Connecting { tries: tries + 1 };
            return self.schedule(Duration::from_secs(1 << tries), Event::Handshake(id));
        }
        let accepted = self.number_socket();
        let mut socket = Socket::new(self.socket(id).domain);
        socket.local = Some(to);
        socket.remote = self.socket(id).local.clone();
        socket.phase = Phase::Connected(self.new_stream(id));
        self.sockets.insert(accepted, socket);
        let stream = self.new_stream(accepted);
        self.socket(id).phase = Phase::Connected(stream);
        if let Phase::Listening(listener) = &mut self.socket(listener).phase {
            listener.queue.push_back(accepted);
        }
        self.trace.line(self.now, format_args!("socket {id} is connected to {accepted}"));
        self.wake(id, OUT);
        self.wake(listener, IN);
    }

    fn fail_connect(&mut self, id: SocketId, errno: i32) {
        let socket = self.socket(id);
        socket.phase = Phase::Idle;
        socket.remote = None;
        socket.error = Some(errno);
        self.trace.line(self.now, format_args!("socket {id} is not connected: errno {errno}"));
        self.wake(id, OUT | ERR | HUP);
    }

    /// Who listens there: one of them by chance if several share the address.
    fn listener_at(&mut self, to: &Name) -> Option<SocketId> {
        let found: Vec<SocketId> = self
            .sockets
            .iter()
            .filter(|(_, socket)| match &socket.phase {
                Phase::Listening(listener) => {
                    !listener.shut && socket.local.as_ref().is_some_and(|local| local.covers(to))
                }
                _ => false,
            })
            .map(|(id, _)| *id)
            .collect();
        if found.is_empty() { None } else { Some(found[self.random.below(found.len())]) }
    }

    fn has_backlog(&self, id: SocketId) -> bool {
        match &self.sockets[&id].phase {
            Phase::Listening(listener) => listener.queue.len() < listener.backlog,
            _ => false,
        }
    }

    /// Whether an accept would give a result now. `EAGAIN` means that it has to wait.
    pub(super) fn acceptable(&mut self, id: SocketId) -> Result<(), i32> {
        match &self.socket(id).phase {
            Phase::Listening(listener) if listener.shut => Err(libc::EINVAL),
            Phase::Listening(listener) if listener.queue.is_empty() => Err(libc::EAGAIN),
            Phase::Listening(_) => Ok(()),
            _ => Err(libc::EINVAL),
        }
    }

    /// Takes the oldest connection out of the queue, without a descriptor.
    pub(super) fn take_connection(&mut self, id: SocketId) -> Option<SocketId> {
        match &mut self.socket(id).phase {
            Phase::Listening(listener) => listener.queue.pop_front(),
            _ => None,
        }
    }

    /// Accepts the oldest connection. Without a free descriptor it stays in the queue.
    pub(super) fn accept(&mut self, id: SocketId, flags: i32) -> Result<(OwnedFd, Name), i32> {
        self.acceptable(id)?;
        let Phase::Listening(listener) = &self.socket(id).phase else { return Err(libc::EINVAL) };
        let accepted = listener.queue[0];
        let fd = self.open_descriptor(accepted, flags)?;
        self.take_connection(id);
        let remote = self.socket(accepted).remote.clone();
        Ok((fd, remote.expect("an accepted connection has a peer")))
    }
}
