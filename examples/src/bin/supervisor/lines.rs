//! Lines of several commands on one output, each with the name of its command in front.

/// Bytes of a line that stay together. A longer one is cut, so that no command fills the memory.
const LINE_MAX: usize = 8 * 1024;

/// Cuts what a command writes into lines with its name in front. Bytes pass as they are: they need not be
/// text.
#[derive(Debug)]
pub(crate) struct Lines {
    name: String,
    /// What has come of the next line.
    line: Vec<u8>,
    /// Whether a piece of this line has left already.
    is_rest: bool,
}

impl Lines {
    pub(crate) fn new(name: &str) -> Self {
        Lines { name: name.to_owned(), line: Vec::new(), is_rest: false }
    }

    /// Takes what has come, and returns the lines that are complete, or as long as a line may be.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut complete = Vec::new();
        while !bytes.is_empty() {
            let room = LINE_MAX - self.line.len();
            let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            let (part, behind) = bytes.split_at(end.unwrap_or(room.min(bytes.len())));
            self.line.extend_from_slice(part);
            bytes = behind;
            if end.is_some() {
                bytes = &bytes[1..];
                self.pass(&mut complete);
                self.is_rest = false;
            } else if !bytes.is_empty() {
                self.pass(&mut complete);
                self.is_rest = true;
            }
        }
        complete
    }

    /// What has come behind the last line end.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let mut complete = Vec::new();
        if !self.line.is_empty() {
            self.pass(&mut complete);
        }
        complete
    }

    fn pass(&mut self, complete: &mut Vec<u8>) {
        complete.extend_from_slice(self.name.as_bytes());
        complete.extend_from_slice(if self.is_rest { b" + " } else { b" | " });
        complete.append(&mut self.line);
        complete.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX, Lines};

    /// What comes of `pieces` that are pushed one after the other.
    fn cut(pieces: &[&[u8]]) -> Vec<u8> {
        let mut lines = Lines::new("a");
        let mut all: Vec<u8> = pieces.iter().flat_map(|piece| lines.push(piece)).collect();
        all.extend(lines.finish());
        all
    }

    #[test]
    fn lines_are_the_same_in_whatever_pieces_they_come() {
        let text = b"one\n\ntwo\r\n\xff\0\xfe\nthree";
        let expected = b"a | one\na | \na | two\r\na | \xff\0\xfe\na | three\n";
        assert_eq!(cut(&[text]), expected);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(cut(&bytes), expected);
        assert_eq!(cut(&[]), b"");
        assert_eq!(cut(&[b"one\n"]), b"a | one\n");
    }

    #[test]
    fn long_lines_leave_in_pieces() {
        let pieces = |length: usize, at: usize| {
            let line = [&vec![b'x'; length][..], b"\nb"].concat();
            let text = String::from_utf8(cut(&[&line[..at], &line[at..]])).expect("it is text");
            let lines: Vec<(String, usize)> =
                text.lines().map(|line| (line[..4].to_owned(), line.len() - 4)).collect();
            assert_eq!(lines.last(), Some(&("a | ".to_owned(), 1)));
            lines[..lines.len() - 1].to_vec()
        };
        let (first, rest) = ("a | ".to_owned(), "a + ".to_owned());
        for at in [0, 1, LINE_MAX - 1, LINE_MAX, LINE_MAX + 1] {
            assert_eq!(pieces(LINE_MAX, at.min(LINE_MAX)), [(first.clone(), LINE_MAX)]);
            let longer = [(first.clone(), LINE_MAX), (rest.clone(), 1)];
            assert_eq!(pieces(LINE_MAX + 1, at), longer);
            let long = [(first.clone(), LINE_MAX), (rest.clone(), LINE_MAX), (rest.clone(), 5)];
            assert_eq!(pieces(2 * LINE_MAX + 5, at), long);
        }
    }
}
