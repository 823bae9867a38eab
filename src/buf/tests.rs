//! Buffers without a runtime.

use std::rc::Rc;

use super::*;

#[test]
fn slice_appends_after_the_initialised_bytes() {
    let mut buf = Vec::with_capacity(8);
    buf.extend_from_slice(b"abc");
    let mut slice = buf.slice(3..);
    assert_eq!(fill(&mut slice, b"defghijk"), 5);
    assert_eq!(slice.into_inner(), b"abcdefgh");
}

#[test]
fn slice_beyond_the_initialised_bytes_has_no_room() {
    let mut slice = Vec::with_capacity(8).slice(3..);
    assert_eq!(fill(&mut slice, b"x"), 0);
    assert_eq!(slice.into_inner(), b"");
}

#[test]
fn slice_in_the_middle_keeps_what_follows() {
    let mut slice = b"abcdef".to_vec().slice(1..3);
    assert_eq!(&*slice, b"bc");
    assert_eq!(fill(&mut slice, b"XY"), 2);
    assert_eq!(slice.into_inner(), b"aXYdef");
}

#[test]
#[should_panic(expected = "begins after its end")]
#[expect(clippy::reversed_empty_ranges)]
fn slice_that_begins_after_its_end_panics() {
    let _ = b"abc".to_vec().slice(2..1);
}

#[test]
fn boxed_slice_is_filled_in_place() {
    let mut buf: Box<[u8]> = vec![0; 4].into();
    assert_eq!(fill(&mut buf, b"ab"), 2);
    assert_eq!(&*buf, b"ab\0\0");
}

#[test]
fn aligned_buffer_is_aligned_and_zeroed() {
    let mut buf = AlignedBuf::new(8192, 4096);
    assert_eq!(buf.bytes_ptr() as usize % 4096, 0);
    buf.resize(8192);
    assert!(buf.iter().all(|&byte| byte == 0));
}

/// A lent buffer that holds one byte.
fn lend_one(lent: &Rc<LentBuffers>) -> RecvBuf {
    let mut buffer = lent.take();
    buffer[0].write(7);
    // SAFETY: the first byte was just written.
    unsafe { lent.lend(buffer, 1) }
}

#[test]
fn lent_buffer_that_was_returned_last_is_lent_first() {
    let lent = LentBuffers::new();
    let (cold, hot) = (lend_one(&lent), lend_one(&lent));
    let address = hot.as_ptr();
    assert_eq!(lent.out(), 2);
    drop(cold);
    drop(hot);
    assert_eq!(lent.out(), 0);
    let again = lent.take();
    assert_eq!(again.as_ptr().cast(), address);
}

#[test]
fn lent_buffers_held_in_great_number_are_of_their_own_size() {
    let lent = LentBuffers::new();
    let held: Vec<_> = (0..100).map(|_| lend_one(&lent)).collect();
    assert!(lent.out() < 100);
    assert!(held.iter().all(|buffer| **buffer == [7]));
    drop(held);
    assert_eq!(lent.out(), 0);
}

#[test]
fn received_bytes_are_small_values() {
    assert!(size_of::<RecvBuf>() <= 32);
}

#[test]
fn group_counts_the_buffers_that_are_out() {
    let group = Rc::new(BufferGroup::new(4, 16).expect("64 bytes are there"));
    assert_eq!(group.out(), 0);
    group.taken();
    let buffer = RecvBuf::from_group(group.clone(), 2, 16);
    assert_eq!(group.out(), 1);
    assert_eq!(buffer.len(), 16);
    drop(buffer);
    assert_eq!(group.out(), 0);
}

#[test]
fn group_outlives_its_owner_while_a_buffer_is_held() {
    let group = Rc::new(BufferGroup::new(4, 16).expect("64 bytes are there"));
    group.taken();
    let buffer = RecvBuf::from_group(group, 1, 3);
    assert_eq!(&*buffer, &[0, 0, 0]);
}
