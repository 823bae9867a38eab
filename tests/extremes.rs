//! Every number of the builder at its ends: it works, or is refused with a sentence, and nothing is
//! multiplied into more memory than there is.

#[path = "common/child.rs"]
mod child;

use std::io;

use child::Child;
use corering::net::UnixStream;
use corering::{Builder, ReceivePolicy, Runtime};

/// Received in as many parts as it takes.
async fn five_bytes(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < 5 {
        let received = stream.recv().await?;
        assert!(!received.is_empty(), "the stream has ended");
        bytes.extend_from_slice(&received);
    }
    Ok(bytes)
}

/// Runs an echo and a closure on both drivers.
fn works(name: &str, configure: impl Fn(Builder) -> Builder) {
    let configure = |builder| configure(builder).receive_policy(ReceivePolicy::Completion);
    corering::test_support::run_configured(name, None, configure, || async {
        let (mut one, mut other) = UnixStream::pair()?;
        for _ in 0..10 {
            one.write_all("hello").await?;
            let request = five_bytes(&mut other).await?;
            assert_eq!(request, b"hello");
            other.write_all(request).await?;
            assert_eq!(five_bytes(&mut one).await?, b"hello");
        }
        assert_eq!(corering::spawn_blocking(|| 7).await.expect("it does not panic"), 7);
        io::Result::Ok(())
    });
}

fn refusal(builder: Builder) -> String {
    let error = builder.build().map(drop).expect_err("it is too much");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    error.to_string()
}

#[test]
fn numbers_that_bound_something_may_have_any_value() {
    type Set = fn(Builder) -> Builder;
    let extremes: [(&str, Set); 12] = [
        ("ring_entries(0)", |builder| builder.ring_entries(0)),
        ("ring_entries(max)", |builder| builder.ring_entries(u32::MAX)),
        ("reap_batch(0)", |builder| builder.reap_batch(0)),
        ("reap_batch(max)", |builder| builder.reap_batch(u32::MAX)),
        ("blocking_threads(0)", |builder| builder.blocking_threads(0)),
        ("blocking_threads(max)", |builder| builder.blocking_threads(usize::MAX)),
        ("max_queued_buffers(0)", |builder| builder.max_queued_buffers(0)),
        ("max_queued_buffers(max)", |builder| builder.max_queued_buffers(u32::MAX)),
        ("max_queued_accepts(0)", |builder| builder.max_queued_accepts(0)),
        ("max_queued_accepts(max)", |builder| builder.max_queued_accepts(u32::MAX)),
        ("buffer_group(1, 1)", |builder| builder.buffer_group(1, 1)),
        ("buffer_group(32768, 1)", |builder| builder.buffer_group(32768, 1)),
    ];
    for (name, set) in extremes {
        works(name, set);
    }
}

#[test]
fn buffer_group_beyond_its_limit_is_refused_with_a_sentence() {
    for (count, bytes) in [(32768, 1 << 31), (32768, u32::MAX), (2, u32::MAX), (0, 1), (3, 1)] {
        let told = refusal(Runtime::builder().buffer_group(count, bytes));
        assert!(told.contains(&format!("buffer_group({count}, {bytes})")), "{told}");
        assert!(told.contains("4294967296 bytes"), "{told}");
    }
    assert!(Runtime::builder().buffer_group(1 << 15, 1 << 17).build().is_ok());
    assert!(refusal(Runtime::builder().buffer_group(1, 0)).contains("at least one byte"));
}

#[test]
fn buffer_group_without_memory_receives_by_notification() {
    const TEST: &str = "buffer_group_without_memory_receives_by_notification";
    if !child::is_child() {
        return Child::of(TEST).limit(libc::RLIMIT_AS, 2 << 30).passes();
    }
    works(TEST, |builder| builder.buffer_group(1 << 15, 1 << 17));
}

#[test]
fn more_shards_than_anyone_wants_are_refused_with_a_sentence() {
    for shards in [1025, usize::MAX] {
        let builder = Runtime::builder().shards(shards).oversubscribe(true);
        let error = builder.run(|_| async {}).expect_err("it is too many");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("at most 1024"), "{error}");
    }
}
