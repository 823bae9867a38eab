//! Where a file has data, and where it has holes that read as zeros and take no room.

use std::io;
use std::ops::Range;

use corering::fs::File;

/// The parts of a file that hold data, in order.
pub(crate) async fn data(file: &File, bytes: u64) -> io::Result<Vec<Range<u64>>> {
    let mut parts = Vec::new();
    let mut offset = 0;
    while let Some(start) = file.seek_data(offset).await? {
        // Data beyond `bytes` came later.
        if start >= bytes {
            break;
        }
        offset = file.seek_hole(start).await?.map_or(bytes, |end| end.min(bytes));
        parts.push(start..offset);
    }
    Ok(parts)
}

/// Cuts ranges into chunks of at most `size` bytes, one at a time.
pub(crate) fn chunks(parts: Vec<Range<u64>>, size: u64) -> impl Iterator<Item = Range<u64>> {
    parts.into_iter().flat_map(move |part| {
        let step = usize::try_from(size).expect("a chunk fits into memory");
        part.clone().step_by(step).map(move |start| start..part.end.min(start + size))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn parts_of(fill: impl FnOnce(&std::fs::File)) -> (Vec<Range<u64>>, u64) {
        let file = tempfile::tempfile().expect("a temporary file can be made");
        fill(&file);
        let bytes = file.metadata().expect("the file is open").len();
        let parts = corering::block_on(async { data(&File::from(file), bytes).await });
        (parts.expect("the file system knows its holes"), bytes)
    }

    #[test]
    fn every_byte_of_data_is_in_a_part() {
        let (parts, bytes) = parts_of(|file| {
            file.write_all_at(b"start", 0).unwrap();
            file.write_all_at(b"middle", 1 << 20).unwrap();
            file.set_len(10 << 20).unwrap();
        });
        assert_eq!(bytes, 10 << 20);
        assert!(parts.iter().any(|part| part.contains(&0) && part.contains(&4)));
        let middle = 1 << 20;
        assert!(parts.iter().any(|part| part.contains(&middle) && part.contains(&(middle + 5))));
        assert!(parts.iter().all(|part| !part.is_empty() && part.end <= bytes));
        assert!(parts.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }

    #[test]
    fn empty_files_and_holes_have_no_data() {
        assert_eq!(parts_of(|_| {}).0, []);
        // A file system without holes reports one part; then there is nothing to keep.
        let (parts, bytes) = parts_of(|file| file.set_len(1 << 30).unwrap());
        let whole = std::iter::once(0..bytes).collect::<Vec<_>>();
        assert!(parts.is_empty() || parts == whole, "{parts:?}");
    }

    #[test]
    fn chunks_cover_their_parts() {
        let chunks: Vec<_> = chunks(vec![0..10, 20..21, 30..38], 4).collect();
        assert_eq!(chunks, [0..4, 4..8, 8..10, 20..21, 30..34, 34..38]);
    }
}
