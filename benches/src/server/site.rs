//! What is served, made once, before anybody connects: answers in memory that lives as long as the
//! process.

use std::fmt::Write as _;
use std::io;

use super::options::{Arguments, Workload};

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
}

/// One page, that every request is answered by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages {
    /// The part of the page that is in memory, repeated as often as one send may be long.
    run: &'static [u8],
    /// Bytes of that part.
    page_bytes: usize,
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
        let pages = match arguments.workload {
            Workload::Echo | Workload::Churn | Workload::Idle | Workload::Mixed => {
                Pages::of(Vec::new())
            }
            Workload::Http => {
                let mut page = head(arguments.size);
                page.extend(body(arguments.size));
                Pages::of(page)
            }
        };
        Ok(Site { pages })
    }
}

/// The head of a page whose body has `size` bytes.
fn head(size: usize) -> Vec<u8> {
    let mut head = String::from("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n");
    write!(head, "Content-Length: {size}\r\n\r\n").expect("a string takes everything");
    head.into_bytes()
}

impl Pages {
    fn of(page: Vec<u8>) -> Self {
        let page_bytes = page.len();
        let count = RUN_BYTES.checked_div(page_bytes).map_or(0, |count| count.max(1));
        Pages { run: page.repeat(count).leak(), page_bytes }
    }

    /// What is to be sent next: pages that were asked for together leave together.
    pub(super) fn next(&self, owed: &Owed) -> Option<&'static [u8]> {
        if owed.pages > 0 {
            let end = owed.pages.saturating_mul(self.page_bytes).min(self.run.len());
            return Some(&self.run[owed.sent..end]);
        }
        Some(&owed.refusal[owed.sent..]).filter(|refusal| !refusal.is_empty())
    }

    /// So many bytes of what is next were sent.
    pub(super) fn sent(&self, owed: &mut Owed, bytes: usize) {
        owed.sent += bytes;
        let whole = owed.sent.checked_div(self.page_bytes).unwrap_or(0).min(owed.pages);
        owed.pages -= whole;
        owed.sent -= whole * self.page_bytes;
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
        let pages = Pages::of(b"abc".to_vec());
        let mut owed = Owed::default();
        assert_eq!(pages.next(&owed), None);
        owed.add_pages(2);
        owed.end_with(b"no");
        let mut sent = Vec::new();
        while let Some(bytes) = pages.next(&owed) {
            let part = &bytes[..bytes.len().min(2)];
            sent.extend_from_slice(part);
            pages.sent(&mut owed, part.len());
        }
        assert_eq!(sent, b"abcabcno");
        assert!(owed.is_last());
    }

    #[test]
    fn more_pages_than_one_send_carries_all_leave() {
        let pages = Pages::of(vec![7; 40_000]);
        let mut owed = Owed::default();
        owed.add_pages(5);
        let mut sent = 0;
        while let Some(bytes) = pages.next(&owed) {
            sent += bytes.len();
            pages.sent(&mut owed, bytes.len());
        }
        assert_eq!(sent, 200_000);
    }
}
