//! The counts of the slots, whatever becomes of their operations.

use super::*;

/// An operation whose future is gone.
struct Gone;

impl Abandoned for Gone {
    fn complete(self: Box<Self>, completions: &[Cqe]) {
        assert_eq!(completions.len(), 1);
    }
}

fn completion(key: Key) -> Cqe {
    Cqe { user_data: key.to_bits(), result: 0, flags: 0 }
}

/// The ways in which an operation for a device can go.
const WAYS: [fn(&mut Slots, Key, &mut Effects); 5] = [
    |slots, key, effects| {
        assert_eq!(slots.complete(completion(key), effects), Completed::Known);
        assert!(slots.take(key).is_some());
        assert!(slots.take(key).is_none());
    },
    |slots, key, effects| {
        assert_eq!(slots.complete(completion(key), effects), Completed::Known);
        assert!(slots.remove(key).is_some());
    },
    |slots, key, _| assert!(slots.remove(key).is_some()),
    |slots, key, effects| {
        drop(slots.abandon(key, Box::new(Gone)));
        assert_eq!(slots.complete(completion(key), effects), Completed::Known);
        assert_eq!(slots.complete(completion(key), effects), Completed::Unknown);
    },
    |slots, key, _| {
        drop(slots.abandon(key, Box::new(Gone)));
        assert!(slots.remove(key).is_some());
    },
];

#[test]
fn device_operations_count_until_nobody_waits_for_them() {
    for first in 0..WAYS.len() {
        let (mut slots, mut effects) = (Slots::new(), Effects::default());
        let keys: Vec<_> = WAYS.iter().map(|_| slots.insert(Kind::Direct, None)).collect();
        let other = slots.insert(Kind::Single, None);
        for (number, key) in keys.into_iter().enumerate() {
            assert_eq!(slots.for_device() as usize, WAYS.len() - number);
            WAYS[(first + number) % WAYS.len()](&mut slots, key, &mut effects);
        }
        assert_eq!((slots.for_device(), slots.in_flight(), slots.in_use()), (0, 1, 1));
        drop(slots.remove(other));
        assert_eq!((slots.for_device(), slots.in_flight(), slots.in_use()), (0, 0, 0));
        effects.run();
    }
}
