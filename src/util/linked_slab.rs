//! A slab whose values can be linked into lists by index: removal from the middle of a list in
//! constant time, in safe code, and no allocation once the slab has grown to its working size.
//!
//! Any number of lists may share one slab. A list holds two indices and nothing else; which list a
//! value is in is the caller's knowledge. The slab never runs user code and never shrinks.

/// The index that stands for "none".
const NIL: u32 = u32::MAX;

/// The first allocation has room for so many values.
const NODES_MIN: usize = 16;

/// Values at stable indices, each with links to its neighbours in the list it is in.
#[derive(Debug)]
pub(crate) struct LinkedSlab<T> {
    nodes: Vec<Node<T>>,
    /// The first vacant node; vacant nodes are chained by `next`.
    vacant: u32,
    len: usize,
}

/// Names one value of a slab. It goes stale when the value is removed and never names another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

/// A list of values of one slab, first in first out.
#[derive(Debug)]
pub(crate) struct List {
    head: u32,
    tail: u32,
}

#[derive(Debug)]
struct Node<T> {
    /// `None` in a vacant node.
    value: Option<T>,
    /// Counts how often the node was vacated, so that a key of an earlier value is known as stale.
    generation: u32,
    previous: u32,
    next: u32,
}

impl<T> LinkedSlab<T> {
    /// An empty slab; it allocates with the first value.
    pub(crate) const fn new() -> Self {
        LinkedSlab { nodes: Vec::new(), vacant: NIL, len: 0 }
    }

    /// How many values the slab holds, linked or not.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Stores a value, linked nowhere.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        if self.vacant != NIL {
            let index = self.vacant;
            let node = &mut self.nodes[index as usize];
            debug_assert!(node.value.is_none(), "a vacant node holds no value");
            self.vacant = node.next;
            node.value = Some(value);
            node.next = NIL;
            return Key { index, generation: node.generation };
        }
        let index = u32::try_from(self.nodes.len()).ok().filter(|&index| index != NIL);
        let index = index.expect("fewer than 2^32 - 1 values are alive at a time");
        if self.nodes.len() == self.nodes.capacity() {
            // By a quarter and not by doubling: a shard of 10,000 connections must not pay for
            // 16,384. What is moved each time is still a constant for each value.
            self.nodes.reserve_exact((self.nodes.len() / 4).max(NODES_MIN));
        }
        self.nodes.push(Node { value: Some(value), generation: 0, previous: NIL, next: NIL });
        Key { index, generation: 0 }
    }

    /// Takes a value out. It must be in no list. `None` if the key is stale.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let vacant = self.vacant;
        let node = self.node_mut(key)?;
        debug_assert!(node.previous == NIL && node.next == NIL, "a removed value is in no list");
        let value = node.value.take();
        // A node whose generations are used up stays vacant for good, since the next key would
        // equal the first one.
        if let Some(generation) = node.generation.checked_add(1) {
            node.generation = generation;
            node.next = vacant;
            self.vacant = key.index;
        }
        self.len -= 1;
        value
    }

    /// Gives a value another key, under which it stays where it is; the one it had goes stale. `None`
    /// if it was stale before, or if the place has had all the keys there are.
    pub(crate) fn rename(&mut self, key: Key) -> Option<Key> {
        let node = self.node_mut(key)?;
        node.generation = node.generation.checked_add(1)?;
        Some(Key { generation: node.generation, ..key })
    }

    /// The value of a key, or `None` if the key is stale.
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        #[cfg(test)]
        visits::count();
        let node = self.nodes.get(key.index as usize)?;
        if node.generation == key.generation { node.value.as_ref() } else { None }
    }

    /// The value of a key, or `None` if the key is stale.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.node_mut(key)?.value.as_mut()
    }

    /// Links a value, which must be in no list, behind the last one of `list`.
    pub(crate) fn push_back(&mut self, list: &mut List, key: Key) {
        let tail = list.tail;
        let node = self.node_mut(key).expect("a linked value is alive");
        debug_assert!(node.previous == NIL && node.next == NIL, "a value is in one list at most");
        node.previous = tail;
        list.tail = key.index;
        if tail == NIL {
            list.head = key.index;
        } else {
            self.nodes[tail as usize].next = key.index;
        }
    }

    /// Links a value, which must be in no list, before the first one of `list`.
    pub(crate) fn push_front(&mut self, list: &mut List, key: Key) {
        let head = list.head;
        let node = self.node_mut(key).expect("a linked value is alive");
        debug_assert!(node.previous == NIL && node.next == NIL, "a value is in one list at most");
        node.next = head;
        list.head = key.index;
        if head == NIL {
            list.tail = key.index;
        } else {
            self.nodes[head as usize].previous = key.index;
        }
    }

    /// Takes the first value off `list`; it stays in the slab.
    pub(crate) fn pop_front(&mut self, list: &mut List) -> Option<Key> {
        let key = self.front(list)?;
        let next = std::mem::replace(&mut self.nodes[key.index as usize].next, NIL);
        list.head = next;
        if next == NIL {
            list.tail = NIL;
        } else {
            self.nodes[next as usize].previous = NIL;
        }
        Some(key)
    }

    /// Moves all values of `from` behind the last one of `list`.
    pub(crate) fn append(&mut self, list: &mut List, from: &mut List) {
        let moved = std::mem::replace(from, List::EMPTY);
        if moved.is_empty() {
            return;
        }
        if list.is_empty() {
            *list = moved;
            return;
        }
        self.nodes[list.tail as usize].next = moved.head;
        self.nodes[moved.head as usize].previous = list.tail;
        list.tail = moved.tail;
    }

    /// The first value of `list`.
    pub(crate) fn front(&self, list: &List) -> Option<Key> {
        if list.head == NIL {
            return None;
        }
        Some(Key { index: list.head, generation: self.nodes[list.head as usize].generation })
    }

    /// Takes a value, which must be in `list`, off it; it stays in the slab.
    pub(crate) fn unlink(&mut self, list: &mut List, key: Key) {
        let node = self.node_mut(key).expect("a linked value is alive");
        let previous = std::mem::replace(&mut node.previous, NIL);
        let next = std::mem::replace(&mut node.next, NIL);
        if previous == NIL {
            debug_assert_eq!(list.head, key.index, "a value without predecessor is the first");
            list.head = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next == NIL {
            debug_assert_eq!(list.tail, key.index, "a value without successor is the last");
            list.tail = previous;
        } else {
            self.nodes[next as usize].previous = previous;
        }
    }

    /// The keys of all values, in the order of their places.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let occupied = self.nodes.iter().zip(0..).filter(|(node, _)| node.value.is_some());
        occupied.map(|(node, index)| Key { index, generation: node.generation })
    }

    /// All values, linked or not.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.nodes.iter_mut().filter_map(|node| node.value.as_mut())
    }

    fn node_mut(&mut self, key: Key) -> Option<&mut Node<T>> {
        #[cfg(test)]
        visits::count();
        let node = self.nodes.get_mut(key.index as usize)?;
        (node.generation == key.generation && node.value.is_some()).then_some(node)
    }
}

impl Key {
    /// The key of no value.
    pub(crate) const NONE: Key = Key { index: NIL, generation: 0 };

    /// No key's number is as large as this: index 2^32 - 1 is never used.
    pub(crate) const BITS_END: u64 = (NIL as u64) << 32;

    /// The key as one number, below [`BITS_END`](Self::BITS_END).
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) | u64::from(self.index) << 32
    }

    /// The key of a number that [`to_bits`](Self::to_bits) gave. Any other number makes a stale key.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Key { index: (bits >> 32) as u32, generation: bits as u32 }
    }
}

impl List {
    /// A list without values.
    pub(crate) const EMPTY: List = List { head: NIL, tail: NIL };

    /// Whether the list has no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL
    }
}

/// How often values were looked up on this thread, for tests that count and do not time.
#[cfg(test)]
pub(crate) mod visits {
    use std::cell::Cell;

    thread_local! {
        static VISITS: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        VISITS.set(VISITS.get() + 1);
    }

    pub(crate) fn counted() -> u64 {
        VISITS.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(slab: &mut LinkedSlab<u32>, list: &mut List) -> Vec<u32> {
        let mut values = Vec::new();
        while let Some(key) = slab.pop_front(list) {
            values.push(slab.remove(key).expect("a popped value is alive"));
        }
        values
    }

    #[test]
    fn values_leave_a_list_in_the_order_they_came() {
        let (mut slab, mut list) = (LinkedSlab::new(), List::EMPTY);
        for value in 0..5 {
            let key = slab.insert(value);
            slab.push_back(&mut list, key);
        }
        assert_eq!(drain(&mut slab, &mut list), [0, 1, 2, 3, 4]);
        assert!(list.is_empty());
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn first_middle_and_last_value_can_be_unlinked() {
        for removed in 0..4_u32 {
            let (mut slab, mut list) = (LinkedSlab::new(), List::EMPTY);
            let keys: Vec<Key> = (0..4)
                .map(|value| {
                    let key = slab.insert(value);
                    slab.push_back(&mut list, key);
                    key
                })
                .collect();
            slab.unlink(&mut list, keys[removed as usize]);
            assert_eq!(slab.remove(keys[removed as usize]), Some(removed));
            let kept: Vec<u32> = (0..4).filter(|&value| value != removed).collect();
            assert_eq!(drain(&mut slab, &mut list), kept);
        }
    }

    #[test]
    fn value_linked_at_the_front_comes_first() {
        let (mut slab, mut list) = (LinkedSlab::new(), List::EMPTY);
        for value in 0..3 {
            let key = slab.insert(value);
            slab.push_front(&mut list, key);
        }
        let key = slab.insert(3);
        slab.push_back(&mut list, key);
        assert_eq!(drain(&mut slab, &mut list), [2, 1, 0, 3]);
    }

    #[test]
    fn values_of_an_appended_list_come_behind_and_can_be_unlinked() {
        for (first, second) in [(0, 0), (0, 2), (2, 0), (2, 3)] {
            let (mut slab, mut list, mut from) = (LinkedSlab::new(), List::EMPTY, List::EMPTY);
            let mut keys = Vec::new();
            for value in 0..first + second {
                let key = slab.insert(value);
                let list = if value < first { &mut list } else { &mut from };
                slab.push_back(list, key);
                keys.push(key);
            }
            slab.append(&mut list, &mut from);
            assert!(from.is_empty());
            // Whatever stood at the seam is linked both ways.
            let seam = keys.get(first as usize);
            if let Some(&key) = seam {
                slab.unlink(&mut list, key);
            }
            let kept: Vec<_> =
                (0..first + second).filter(|&at| second == 0 || at != first).collect();
            assert_eq!(drain(&mut slab, &mut list), kept);
        }
    }

    #[test]
    fn stale_key_names_nothing_after_its_node_is_used_again() {
        let mut slab = LinkedSlab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(first.index, second.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
    }

    #[test]
    fn node_with_used_up_generations_is_never_used_again() {
        let mut slab = LinkedSlab::new();
        let key = slab.insert(1);
        slab.nodes[key.index as usize].generation = u32::MAX;
        let last = Key { generation: u32::MAX, ..key };
        assert_eq!(slab.remove(last), Some(1));
        assert_ne!(slab.insert(2).index, key.index);
        assert_eq!(slab.get(last), None);
    }

    #[test]
    fn renamed_value_stays_in_its_list_and_its_first_key_is_stale() {
        let (mut slab, mut list) = (LinkedSlab::new(), List::EMPTY);
        let keys = [1, 2, 3].map(|value| {
            let key = slab.insert(value);
            slab.push_back(&mut list, key);
            key
        });
        let renamed = slab.rename(keys[1]).expect("it is alive");
        assert_eq!((slab.get(keys[1]), slab.get(renamed)), (None, Some(&2)));
        assert_eq!(slab.rename(keys[1]), None);
        assert_eq!(drain(&mut slab, &mut list), [1, 2, 3]);
        assert_eq!(slab.get(renamed), None);
    }

    #[test]
    fn value_that_has_had_all_keys_keeps_its_last_one() {
        let mut slab = LinkedSlab::new();
        let key = slab.insert(1);
        slab.nodes[key.index as usize].generation = u32::MAX;
        let last = Key { generation: u32::MAX, ..key };
        assert_eq!(slab.rename(last), None);
        assert_eq!(slab.remove(last), Some(1));
    }

    #[test]
    fn nodes_are_used_again_instead_of_allocated() {
        let (mut slab, mut list) = (LinkedSlab::new(), List::EMPTY);
        for round in 0..100 {
            for value in 0..8 {
                let key = slab.insert(round * 8 + value);
                slab.push_back(&mut list, key);
            }
            assert_eq!(drain(&mut slab, &mut list).len(), 8);
        }
        assert_eq!(slab.nodes.len(), 8);
    }
}
