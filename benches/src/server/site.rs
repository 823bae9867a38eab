//! What is served, made once, before anybody connects: answers in memory that lives as long as the
//! process.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use super::options::{Arguments, Workload};
use crate::os;

/// The body that `GET /` is answered by: bytes that differ from place to place, so that a client
/// sees when a piece is missing, doubled or in another's place.
pub fn body(size: usize) -> Vec<u8> {
    // The upper bits of a multiplication by a large odd number: no short period.
    (0..size as u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// What the handlers of all servers need to know.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) pages: Pages,
    /// The body of a page in memory, for those that write heads of their own.
    pub(super) body: &'static [u8],
    /// What the bodies of the pages are sent from, when they are not in memory.
    pub(super) file: Option<File>,
}

/// One page, that every request is answered by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages {
    /// The part of the page that is in memory, repeated as often as one send may be long.
    run: &'static [u8],
    /// Bytes of that part.
    memory_bytes: usize,
    /// Bytes that follow from the file.
    file_bytes: usize,
}

/// What is to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Bytes(&'static [u8]),
    /// Bytes that are to leave together with the file that follows.
    Head(&'static [u8]),
    File {
        offset: u64,
        length: usize,
    },
}

/// What a connection is yet to be sent.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pages: usize,
    /// Bytes of the first of them that are on their way.
    sent: usize,
    /// What follows the pages: why a request was refused.
    refusal: &'static [u8],
    /// Nothing follows that.
    is_last: bool,
}

/// Bytes that one send should carry, at most, unless a single page is longer.
const RUN_BYTES: usize = 64 * 1024;

impl Site {
    pub(super) fn prepare(arguments: &Arguments) -> io::Result<Self> {
        let mut site = Site { pages: Pages::of(Vec::new(), 0), body: &[], file: None };
        match arguments.workload {
            Workload::Echo
            | Workload::Churn
            | Workload::Idle
            | Workload::Mixed
            | Workload::Proxy => {}
            Workload::Http | Workload::Hyper | Workload::Faulty => {
                let body = body(arguments.size).leak();
                site.pages = Pages::of([&head(arguments.size), &*body].concat(), 0);
                site.body = body;
            }
            Workload::File => {
                site.pages = Pages::of(head(arguments.size), arguments.size);
                let file = make_file(arguments, "page")?;
                file.write_all_at(&body(arguments.size), 0)?;
                site.file = Some(file);
            }
            Workload::Log => site.pages = Pages::of(b"ok\n".to_vec(), 0),
        }
        Ok(site)
    }
}

/// An empty file for the log of a shard.
pub(super) fn make_log(arguments: &Arguments, shard: usize) -> io::Result<File> {
    let file = make_file(arguments, &format!("log-{shard}"))?;
    if os::is_in_memory(file.as_fd())? {
        eprintln!(
            "corering-bench: the log is in memory, where making it durable costs nothing; give \
             --dir a folder on a disk"
        );
    }
    Ok(file)
}

fn make_file(arguments: &Arguments, name: &str) -> io::Result<File> {
    let Some(folder) = &arguments.dir else {
        let advice = "give --dir a folder that can be written to";
        return tempfile::tempfile().map_err(|error| {
            let folder = std::env::temp_dir();
            io::Error::other(format!("no file in {}: {error}; {advice}", folder.display()))
        });
    };
    let path = folder.join(name);
    let file = fs::create_dir_all(folder).and_then(|()| File::create(&path)).and_then(|_| {
        // Created and opened apart, since what is created is opened for writing alone.
        File::options().read(true).write(true).open(&path)
    });
    file.map_err(|error| {
        let advice = "give --dir a folder that can be written to";
        io::Error::other(format!("cannot make {}: {error}; {advice}", path.display()))
    })
}

/// The head of a page whose body has `size` bytes.
fn head(size: usize) -> Vec<u8> {
    let mut head = String::from("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n");
    write!(head, "Content-Length: {size}\r\n\r\n").expect("a string takes everything");
    head.into_bytes()
}

impl Pages {
    fn of(memory: Vec<u8>, file_bytes: usize) -> Self {
        let memory_bytes = memory.len();
        let count = match file_bytes {
            0 => RUN_BYTES.checked_div(memory_bytes).map_or(0, |count| count.max(1)),
            _ => 1,
        };
        Pages { run: memory.repeat(count).leak(), memory_bytes, file_bytes }
    }

    /// What is to be sent next: pages that were asked for together leave together.
    pub(super) fn next(&self, owed: &Owed) -> Option<Next> {
        if owed.pages == 0 {
            let rest = &owed.refusal[owed.sent..];
            return Some(Next::Bytes(rest)).filter(|_| !rest.is_empty());
        }
        if self.file_bytes == 0 {
            let end = owed.pages.saturating_mul(self.memory_bytes).min(self.run.len());
            return Some(Next::Bytes(&self.run[owed.sent..end]));
        }
        if owed.sent < self.memory_bytes {
            return Some(Next::Head(&self.run[owed.sent..]));
        }
        let offset = owed.sent - self.memory_bytes;
        Some(Next::File { offset: offset as u64, length: self.file_bytes - offset })
    }

    /// Bytes of the file that follow a head.
    pub(super) fn file_bytes(&self) -> usize {
        self.file_bytes
    }

    /// Bytes of a page, its head included.
    pub(super) fn page_bytes(&self) -> usize {
        self.memory_bytes + self.file_bytes
    }

    /// So many bytes of what is next were sent.
    pub(super) fn sent(&self, owed: &mut Owed, bytes: usize) {
        owed.sent += bytes;
        let page_bytes = self.page_bytes();
        let whole = owed.sent.checked_div(page_bytes).unwrap_or(0).min(owed.pages);
        owed.pages -= whole;
        owed.sent -= whole * page_bytes;
    }
}

impl Owed {
    /// So many pages more.
    pub(super) fn add_pages(&mut self, count: usize) {
        self.pages += count;
    }

    /// Nothing is to follow but this, if it is anything.
    pub(super) fn end_with(&mut self, refusal: &'static [u8]) {
        self.refusal = refusal;
        self.is_last = true;
    }

    /// Whether the connection ends when all is sent.
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_begins_alike_and_differs_from_place_to_place() {
        let body = body(1 << 17);
        assert_eq!(super::body(100), body[..100]);
        for shift in [1, 2, 251, 256, 4096, 65536] {
            let equal = body.iter().zip(&body[shift..]).filter(|(a, b)| a == b).count();
            assert!(equal < body.len() / 16, "shifted by {shift}, {equal} bytes are the same");
        }
    }

    #[test]
    fn pages_leave_together_and_count_down_in_parts() {
        let pages = Pages::of(b"abc".to_vec(), 0);
        let mut owed = Owed::default();
        assert_eq!(pages.next(&owed), None);
        owed.add_pages(2);
        owed.end_with(b"no");
        let mut sent = Vec::new();
        while let Some(Next::Bytes(bytes)) = pages.next(&owed) {
            let part = &bytes[..bytes.len().min(2)];
            sent.extend_from_slice(part);
            pages.sent(&mut owed, part.len());
        }
        assert_eq!(sent, b"abcabcno");
        assert!(owed.is_last());
    }

    #[test]
    fn more_pages_than_one_send_carries_all_leave() {
        let pages = Pages::of(vec![7; 40_000], 0);
        let mut owed = Owed::default();
        owed.add_pages(5);
        let mut sent = 0;
        while let Some(Next::Bytes(bytes)) = pages.next(&owed) {
            sent += bytes.len();
            pages.sent(&mut owed, bytes.len());
        }
        assert_eq!(sent, 200_000);
    }

    #[test]
    fn a_head_is_followed_by_its_file_wherever_a_send_ends() {
        let pages = Pages::of(b"head".to_vec(), 10);
        let mut owed = Owed::default();
        owed.add_pages(2);
        let mut steps = Vec::new();
        while let Some(next) = pages.next(&owed) {
            steps.push(next);
            // A socket that takes three bytes at a time.
            let length = match next {
                Next::Bytes(bytes) | Next::Head(bytes) => bytes.len(),
                Next::File { length, .. } => length,
            };
            pages.sent(&mut owed, length.min(3));
        }
        let page = [
            Next::Head(b"head"),
            Next::Head(b"d"),
            Next::File { offset: 0, length: 10 },
            Next::File { offset: 3, length: 7 },
            Next::File { offset: 6, length: 4 },
            Next::File { offset: 9, length: 1 },
        ];
        assert_eq!(steps, [page, page].concat());
    }
}
