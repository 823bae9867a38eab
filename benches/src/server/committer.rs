//! The thread that makes lines durable for a loop that must not block.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::fail;
use super::journal::Group;

/// The thread, and the ways to it and back.
///
/// Tuned: a thread that waits for groups, so that none is started for one; write and fdatasync in
/// one trip.
#[derive(Debug)]
pub(super) struct Committer {
    groups: Sender<Group>,
    durable: Receiver<Group>,
    /// Becomes readable when a group is durable.
    bell: UnixStream,
}

impl Committer {
    pub(super) fn start(file: File) -> io::Result<Self> {
        let (groups, to_commit) = mpsc::channel::<Group>();
        let (committed, durable) = mpsc::channel();
        let (bell, mut ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        thread::Builder::new().name("committer".to_owned()).spawn(move || {
            for group in to_commit {
                let written = file.write_all_at(&group.text, group.offset);
                if let Err(error) = written.and_then(|()| file.sync_data()) {
                    fail(&error);
                }
                // The loop has ended, and its server with it, when nobody hears.
                if committed.send(group).is_err() || ring.write_all(&[1]).is_err() {
                    return;
                }
            }
        })?;
        Ok(Committer { groups, durable, bell })
    }

    /// Hands a group over.
    pub(super) fn commit(&self, group: Group) {
        self.groups.send(group).expect("the thread ends after the loop");
    }

    /// The group that has become durable, if one has.
    pub(super) fn durable(&self) -> Option<Group> {
        // One byte for each group; without it this was another event of the bell.
        let rung = (&self.bell).read(&mut [0]).is_ok_and(|count| count == 1);
        rung.then(|| self.durable.recv().ok()).flatten()
    }
}

impl AsFd for Committer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
