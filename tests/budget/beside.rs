//! What runs beside an endless loop of a leaf, and what is counted meanwhile.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::time::Duration;

use corering::net::UnixStream;
use corering::{metrics, signal, time, yield_now};

/// Leaves between two polls of another task that is always ready.
const BETWEEN_POLLS_MAX: u64 = 256;

/// Leaves between two visits to the kernel.
const BETWEEN_VISITS_MAX: u64 = 640;

/// A loop that has got so far without another having its turn ends itself: nobody else could.
const GIVE_UP: u64 = 5_000;

/// Timers and echoes that each loop has to leave room for.
const TURNS: usize = 5;

pub(crate) struct Beside {
    place: String,
    complaints: RefCell<Vec<String>>,
}

#[derive(Default)]
struct Counts {
    in_all: Cell<u64>,
    since_poll: Cell<u64>,
    between_polls: Cell<u64>,
    since_visit: Cell<u64>,
    between_visits: Cell<u64>,
    rounds: Cell<u64>,
}

impl Counts {
    fn leaf_has_ended(&self) {
        let rounds = metrics().rounds;
        if self.rounds.replace(rounds) != rounds {
            self.since_visit.set(0);
        }
        for (since, most) in
            [(&self.since_poll, &self.between_polls), (&self.since_visit, &self.between_visits)]
        {
            since.set(since.get() + 1);
            most.set(most.get().max(since.get()));
        }
        self.in_all.set(self.in_all.get() + 1);
    }
}

impl Beside {
    pub(crate) async fn new(place: String) -> Self {
        Beside { place, complaints: RefCell::default() }
    }

    /// Loops a leaf beside all that must have its turn, until it has had it.
    pub(crate) async fn endless<F>(&self, leaf: &str, mut once: F)
    where
        F: AsyncFnMut() + 'static,
    {
        let counts = Rc::new(Counts::default());
        let looping = counts.clone();
        let endless = corering::spawn(async move {
            while looping.since_poll.get() < GIVE_UP && looping.since_visit.get() < GIVE_UP {
                once().await;
                looping.leaf_has_ended();
            }
        });
        let polled = counts.clone();
        let other = corering::spawn(async move {
            loop {
                polled.since_poll.set(0);
                yield_now().await;
            }
        });
        let turns = async {
            timers().await;
            echoes().await?;
            sigterm().await?;
            while counts.in_all.get() == 0 && !endless.is_finished() {
                yield_now().await;
            }
            io::Result::Ok(())
        };
        turns.await.expect("the others work");
        endless.abort();
        other.abort();
        let ended = endless.await;
        let (polls, visits) = (counts.between_polls.get(), counts.between_visits.get());
        let complaint = match ended {
            Err(error) if error.is_panic() => error.to_string(),
            _ if counts.in_all.get() == 0 => "it never ended once".to_owned(),
            _ if polls > BETWEEN_POLLS_MAX => format!("{polls} between two polls of another task"),
            _ if visits > BETWEEN_VISITS_MAX => {
                format!("{visits} between two visits to the kernel")
            }
            _ => return,
        };
        self.complaints.borrow_mut().push(format!("{leaf} {}: {complaint}", self.place));
    }

    /// # Panics
    ///
    /// If a loop had more than its share.
    pub(crate) fn end(self) {
        let complaints = self.complaints.into_inner();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}

async fn timers() {
    for _ in 0..TURNS {
        time::sleep(Duration::from_millis(1)).await;
    }
}

async fn echoes() -> io::Result<()> {
    let (ours, theirs) = StdUnixStream::pair()?;
    let mut ours = UnixStream::from(OwnedFd::from(ours));
    let mut theirs = UnixStream::from(OwnedFd::from(theirs));
    let server = corering::spawn(async move {
        loop {
            let bytes = theirs.recv().await?;
            if bytes.is_empty() {
                return io::Result::Ok(());
            }
            theirs.write_all(bytes).await?;
        }
    });
    for turn in 0..TURNS {
        ours.write_all(vec![turn as u8]).await?;
        assert_eq!(ours.recv().await?[..], [turn as u8]);
    }
    drop(ours);
    server.await.expect("the server does not panic")
}

async fn sigterm() -> io::Result<()> {
    let terminated = signal::terminate();
    // SAFETY: raise takes no pointer.
    assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
    terminated.await
}
