//! `compat::local`: what is made `Send`, and what it says elsewhere.

use std::rc::Rc;

use corering::compat::local;
use futures_util::stream::{self, Stream, StreamExt};

/// The panic of polling what was made on another thread.
fn panic_elsewhere<T: Send + 'static>(value: T, poll: fn(T)) -> String {
    let polled = std::thread::spawn(move || poll(value)).join();
    let payload = polled.expect_err("it belongs to another thread");
    payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).unwrap_or_default()
}

#[test]
fn another_thread_is_told_what_to_do() {
    let text = panic_elsewhere(local(async {}), |future| {
        futures_util::FutureExt::now_or_never(future);
    });
    assert!(text.contains("another thread") && text.contains("compat::serve"), "{text}");
    let text = panic_elsewhere(local(stream::iter([1])), |stream| {
        futures_util::FutureExt::now_or_never(stream.into_future());
    });
    assert!(text.contains("another thread") && text.contains("compat::serve"), "{text}");
}

#[test]
fn it_is_send_and_sync_and_its_content_is_not() {
    fn all<T: Send + Sync>(value: T) -> T {
        value
    }

    let shared = Rc::new(1);
    let future = all(local(async move { *shared }));
    assert_eq!(futures_util::FutureExt::now_or_never(future), Some(1));
    let shared = Rc::new(2);
    let stream = all(local(stream::repeat(shared).take(3)));
    assert_eq!(stream.size_hint(), (3, Some(3)));
    let sum = stream.fold(0, async |sum, shared| sum + *shared);
    assert_eq!(futures_util::FutureExt::now_or_never(sum), Some(6));
}
