//! Buffers without a runtime.

use std::rc::Rc;

use super::*;
use crate::util::test_waker::Poller;

#[test]
fn slice_appends_after_the_initialised_bytes() {
    let mut buf = Vec::with_capacity(8);
    buf.extend_from_slice(b"abc");
    let mut slice = buf.slice(3..);
    assert_eq!(fill(&mut slice, 0..usize::MAX, b"defghijk"), 5);
    assert_eq!(slice.into_inner(), b"abcdefgh");
}

#[test]
fn slice_beyond_the_initialised_bytes_has_no_room() {
    let mut slice = Vec::with_capacity(8).slice(3..);
    assert_eq!(fill(&mut slice, 0..usize::MAX, b"x"), 0);
    assert_eq!(slice.into_inner(), b"");
}

#[test]
fn slice_in_the_middle_keeps_what_follows() {
    let mut slice = b"abcdef".to_vec().slice(1..3);
    assert_eq!(&*slice, b"bc");
    assert_eq!(fill(&mut slice, 0..usize::MAX, b"XY"), 2);
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
    assert_eq!(fill(&mut buf, 0..usize::MAX, b"ab"), 2);
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
fn received_bytes_are_compared_with_bytes_and_text() {
    let lent = LentBuffers::new();
    let one = lend_one(&lent);
    assert_eq!(one, *b"\x07".as_slice());
    assert_eq!(one, b"\x07".as_slice());
    assert_eq!(one, [7]);
    assert_eq!(one, b"\x07");
    assert_eq!(one, vec![7]);
    assert_eq!(one, *"\x07");
    assert_eq!(one, "\x07");
    assert_eq!(one, lend_one(&lent));
    assert_ne!(one, [7, 0]);
    assert_ne!(one, []);
}

#[test]
fn received_bytes_become_a_vector_and_lent_memory_returns() {
    let lent = LentBuffers::new();
    assert_eq!(Vec::from(lend_one(&lent)), [7]);
    assert_eq!(lent.out(), 0);
    #[cfg(feature = "bytes")]
    assert_eq!(bytes::Bytes::from(lend_one(&lent)), [7].as_slice());
    assert_eq!(lent.out(), 0);
}

#[test]
fn received_bytes_of_their_own_memory_become_a_vector_in_place() {
    let own = RecvBuf::from_vec(b"hello".to_vec());
    let address = own.as_ptr();
    let vector = Vec::from(own);
    assert_eq!((vector.as_ptr(), vector.as_slice()), (address, b"hello".as_slice()));
    let mut rest = RecvBuf::from_vec(b"hello".to_vec());
    rest.advance(2);
    assert_eq!(Vec::from(rest), b"llo");
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

/// A group whose buffers are all out, and the wakers of three that wait for one, in order.
fn three_wait() -> (Rc<BufferGroup>, [(Poller, Place); 3]) {
    let group = Rc::new(BufferGroup::new(4, 16).expect("64 bytes are there"));
    (0..4).for_each(|_| group.taken());
    let waiting = std::array::from_fn(|_| {
        let poller = Poller::new();
        let place = Place::join(&group, poller.waker());
        (poller, place)
    });
    (group, waiting)
}

fn called<const N: usize>(waiting: &[(Poller, Place); N]) -> [bool; N] {
    std::array::from_fn(|number| waiting[number].1.is_called())
}

#[test]
fn as_many_are_called_as_there_are_buffers_in_order() {
    let (group, waiting) = three_wait();
    assert_eq!(called(&waiting), [false; 3]);
    group.give_back(0);
    assert_eq!(called(&waiting), [true, false, false]);
    assert_eq!(waiting.each_ref().map(|(poller, _)| poller.wakes()), [1, 0, 0]);
    group.give_back(1);
    assert_eq!(called(&waiting), [true, true, false]);
    // Another stream was faster: the buffer is gone.
    group.taken();
    waiting[0].1.rejoin(waiting[0].0.waker());
    assert_eq!(called(&waiting), [false, true, false]);
    group.give_back(0);
    assert_eq!(called(&waiting), [true, true, false]);
}

#[test]
fn who_was_called_and_is_gone_leaves_its_buffer_to_the_next() {
    let (group, [first, second, third]) = three_wait();
    group.give_back(0);
    drop(second);
    assert!(first.1.is_called() && !third.1.is_called());
    drop(first);
    assert!(third.1.is_called());
    let newcomer = Poller::new();
    let place = Place::join(&group, newcomer.waker());
    assert!(!place.poll_called(newcomer.waker()));
    drop(third);
    assert!(place.poll_called(newcomer.waker()));
    assert_eq!(newcomer.wakes(), 1);
}
