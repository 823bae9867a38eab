//! Group commit, as every server does it: lines gather while a group is being made durable, and the
//! next group is what has gathered, up to a limit.

use std::collections::VecDeque;

/// The lines of one shard that are not durable yet, and who waits for them.
#[derive(Debug)]
pub(super) struct Journal<W> {
    text: Vec<u8>,
    /// The lengths of the lines in `text`.
    lengths: VecDeque<usize>,
    /// Lines of a group, at most.
    group_max: usize,
    appended: u64,
    durable: u64,
    /// Where in the file the next group begins.
    offset: u64,
    /// By the line that they wait for.
    waiting: VecDeque<(u64, W)>,
    is_committing: bool,
}

/// Lines that are to be written and made durable at once.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) text: Vec<u8>,
    pub(super) offset: u64,
    lines: u64,
}

/// A log that grows beyond this begins again at the front: a disk is not to be filled.
const LOG_BYTES_MAX: u64 = 1 << 30;

impl<W> Journal<W> {
    pub(super) fn new(group_max: u32) -> Self {
        Journal {
            text: Vec::new(),
            lengths: VecDeque::new(),
            group_max: group_max as usize,
            appended: 0,
            durable: 0,
            offset: 0,
            waiting: VecDeque::new(),
            is_committing: false,
        }
    }

    /// Waits for all lines that were appended so far.
    pub(super) fn wait(&mut self, waiter: W) {
        self.waiting.push_back((self.appended, waiter));
    }

    /// Whether a group is under way: who makes it durable sees to the next one, too.
    pub(super) fn is_committing(&self) -> bool {
        self.is_committing
    }

    /// The next group, if there are lines and no other group is under way.
    pub(super) fn begin(&mut self) -> Option<Group> {
        if self.is_committing || self.lengths.is_empty() {
            return None;
        }
        let lines = self.lengths.len().min(self.group_max);
        let bytes = self.lengths.drain(..lines).sum();
        let rest = self.text.split_off(bytes);
        let text = std::mem::replace(&mut self.text, rest);
        if self.offset + text.len() as u64 > LOG_BYTES_MAX {
            self.offset = 0;
        }
        let offset = self.offset;
        self.offset += text.len() as u64;
        self.is_committing = true;
        Some(Group { text, offset, lines: lines as u64 })
    }

    /// The group is durable: who waited for no more than that?
    pub(super) fn end(&mut self, group: &Group) -> impl Iterator<Item = W> + use<'_, W> {
        self.durable += group.lines;
        self.is_committing = false;
        let served = self.waiting.iter().take_while(|(line, _)| *line <= self.durable).count();
        self.waiting.drain(..served).map(|(_, waiter)| waiter)
    }
}

/// The lines of one connection.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// A line whose end has not come yet.
    begun: Vec<u8>,
}

impl Lines {
    /// Appends the lines that have come to their end, and says how many.
    pub(super) fn receive<W>(&mut self, bytes: &[u8], journal: &mut Journal<W>) -> usize {
        let mut count = 0;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if !piece.ends_with(b"\n") {
                self.begun.extend_from_slice(piece);
                break;
            }
            journal.text.extend_from_slice(&self.begun);
            journal.text.extend_from_slice(piece);
            journal.lengths.push_back(self.begun.len() + piece.len());
            self.begun.clear();
            count += 1;
        }
        journal.appended += count as u64;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_what_has_gathered_up_to_its_limit() {
        let (mut journal, mut lines) = (Journal::new(2), Lines::default());
        assert_eq!(lines.receive(b"one\ntw", &mut journal), 1);
        journal.wait("first");
        let group = journal.begin().expect("there is a line");
        assert_eq!((&*group.text, group.offset), (&b"one\n"[..], 0));

        assert_eq!(lines.receive(b"o\nthree\nfour\n", &mut journal), 3);
        journal.wait("second");
        assert!(journal.begin().is_none(), "one group at a time");
        assert_eq!(journal.end(&group).collect::<Vec<_>>(), ["first"]);

        let group = journal.begin().expect("more has gathered");
        assert_eq!((&*group.text, group.offset), (&b"two\nthree\n"[..], 4));
        assert_eq!(journal.end(&group).count(), 0, "a line of theirs is not durable");
        let group = journal.begin().expect("one is left");
        assert_eq!((&*group.text, group.offset), (&b"four\n"[..], 14));
        assert_eq!(journal.end(&group).collect::<Vec<_>>(), ["second"]);
        assert!(journal.begin().is_none());
    }
}
