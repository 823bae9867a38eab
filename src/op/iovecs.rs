//! The lists of `iovec` that vectored calls take.

use libc::iovec;

use super::position::TRANSFER_MAX;
use crate::buf::IoBuf;

/// The kernel takes so many in one call (`IOV_MAX`). A longer list is cut: the call comes back
/// short, as it may anyway.
const COUNT_MAX: usize = 1024;

/// An operand block has room for a list of so many.
pub(super) const NEAR: usize = 20;

/// A place in a list that is not used.
pub(super) const NOTHING: iovec = iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// Buffers of which the kernel reads one after the other.
///
/// # Safety
///
/// `part` returns memory that stays in place and initialised as [`IoBuf`]
/// says, also when the value itself is moved.
pub(crate) unsafe trait Gather: Unpin + 'static {
    /// What the caller gets back.
    type Whole: 'static;

    /// The buffers as the caller knows them.
    fn into_whole(self) -> Self::Whole;

    /// How many buffers there are.
    fn count(&self) -> usize;

    /// The bytes of one of them.
    fn part(&self, index: usize) -> (*const u8, usize);

    /// All of them.
    fn parts(&self) -> impl Iterator<Item = (*const u8, usize)> {
        (0..self.count()).map(|index| self.part(index))
    }

    /// The bytes of all.
    fn total(&self) -> usize {
        self.parts().map(|(_, len)| len).sum()
    }
}

/// A single buffer.
pub(crate) struct One<B>(pub(crate) B);

// SAFETY: the part is the buffer's memory, which `IoBuf` keeps in place.
unsafe impl<B: IoBuf> Gather for One<B> {
    type Whole = B;

    fn into_whole(self) -> B {
        self.0
    }

    fn count(&self) -> usize {
        1
    }

    fn part(&self, _index: usize) -> (*const u8, usize) {
        (self.0.bytes_ptr(), self.0.bytes_len())
    }
}

// SAFETY: the parts are the buffers' memory, which `IoBuf` keeps in place.
unsafe impl<B: IoBuf> Gather for Vec<B> {
    type Whole = Vec<B>;

    fn into_whole(self) -> Vec<B> {
        self
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn part(&self, index: usize) -> (*const u8, usize) {
        (self[index].bytes_ptr(), self[index].bytes_len())
    }
}

/// A list of `iovec`, in `near` if it is short enough and else in `far`. The first `skip` bytes
/// are left out, and empty parts. Returns where the list begins and how many there are.
///
/// Both places are the caller's, and must stay where they are as long as the kernel may look.
pub(super) fn list<const N: usize>(
    parts: impl Iterator<Item = (*const u8, usize)>,
    mut skip: usize,
    near: &mut [iovec; N],
    far: &mut Vec<iovec>,
) -> (*mut iovec, usize) {
    let mut bytes = 0;
    let vectors = parts
        .filter_map(move |(ptr, len)| {
            let skipped = skip.min(len);
            skip -= skipped;
            // No list is longer than the kernel transfers, so that the ring's 32 bits suffice.
            let len = (len - skipped).min(TRANSFER_MAX - bytes);
            bytes += len;
            let begin = ptr.wrapping_add(skipped).cast_mut().cast();
            (len > 0).then_some(iovec { iov_base: begin, iov_len: len })
        })
        .take(COUNT_MAX);
    far.clear();
    let mut count = 0;
    for vector in vectors {
        if count < N && far.is_empty() {
            near[count] = vector;
        } else {
            if far.is_empty() {
                far.extend_from_slice(near);
            }
            far.push(vector);
        }
        count += 1;
    }
    (if far.is_empty() { near.as_mut_ptr() } else { far.as_mut_ptr() }, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed<const N: usize>(parts: &[&'static str], skip: usize) -> Vec<String> {
        let (mut near, mut far) = ([NOTHING; N], Vec::new());
        let parts = parts.iter().map(|part| (part.as_ptr(), part.len()));
        let (begin, count) = list(parts, skip, &mut near, &mut far);
        // SAFETY: `list` returns as many entries as it wrote from there on.
        let vectors = unsafe { std::slice::from_raw_parts(begin, count) };
        vectors
            .iter()
            .map(|vector| {
                // SAFETY: each entry is a part of one of the static texts.
                let bytes = unsafe {
                    std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len)
                };
                String::from_utf8(bytes.to_vec()).expect("the texts are ASCII")
            })
            .collect()
    }

    #[test]
    fn a_list_is_the_same_near_and_far() {
        let parts = ["one", "two", "three", "four"];
        assert_eq!(listed::<8>(&parts, 0), parts);
        assert_eq!(listed::<4>(&parts, 0), parts);
        assert_eq!(listed::<2>(&parts, 0), parts);
    }

    #[test]
    fn skipped_bytes_and_empty_parts_are_left_out() {
        let parts = ["one", "", "two", "three"];
        assert_eq!(listed::<8>(&parts, 3), ["two", "three"]);
        assert_eq!(listed::<1>(&parts, 4), ["wo", "three"]);
        assert_eq!(listed::<8>(&parts, 11), Vec::<String>::new());
    }

    #[test]
    fn a_list_is_cut_at_what_the_kernel_takes() {
        let parts = vec!["x"; 3000];
        assert_eq!(listed::<8>(&parts, 0).len(), COUNT_MAX);
        let (mut near, mut far) = ([NOTHING; 8], Vec::new());
        let huge = [(std::ptr::dangling::<u8>(), usize::MAX / 4); 3];
        let (begin, count) = list(huge.into_iter(), 5, &mut near, &mut far);
        assert_eq!((begin, count), (near.as_mut_ptr(), 1));
        assert_eq!(near[0].iov_len, TRANSFER_MAX);
    }
}
