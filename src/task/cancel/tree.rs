//! Which tokens are below which, and who waits for them: what all tokens of one tree share.
//!
//! ```text
//!              branch                 cancel (this one, or one above)
//!   parent ─────────────► in use ───────────────────────────────────────► cancelled
//!      ▲                    │                                                 │
//!      │ its children       │ release: of the last token or future            │ release
//!      └────────────────────┴──────────────────► gone ◄───────────────────────┘
//! ```
//!
//! One that is cancelled hangs below nothing and has nothing below it. Nothing here runs user code:
//! wakers go out, and the caller wakes and drops them.
#![forbid(unsafe_code)]

use std::mem;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::handle::Remote;
use crate::util::line::{Offer, Place, Places, Standing};
use crate::util::linked_slab::{Key, LinkedSlab, List};

pub(super) struct Tree {
    nodes: LinkedSlab<Node>,
    places: Places<(), ()>,
    /// Those whose token is cancelled, and who are yet to be woken.
    due: List,
}

pub(super) struct Node {
    /// Tokens and futures that name it.
    users: usize,
    cancelled: bool,
    parent: Option<Key>,
    children: List,
    waiting: List,
    /// What the handles share that other threads may have: one of each runtime.
    remotes: Vec<Arc<Remote>>,
}

const IN_USE: &str = "a token is in its tree until it is released";

impl Tree {
    pub(super) fn new() -> Self {
        Tree { nodes: LinkedSlab::new(), places: Places::new(), due: List::EMPTY }
    }

    /// A new token, below none, with one user.
    pub(super) fn plant(&mut self) -> Key {
        self.nodes.insert(Node {
            users: 1,
            cancelled: false,
            parent: None,
            children: List::EMPTY,
            waiting: List::EMPTY,
            remotes: Vec::new(),
        })
    }

    /// A token below `parent`. What is below one that is cancelled differs in nothing from it.
    pub(super) fn branch(&mut self, parent: Key) -> Key {
        if self.is_cancelled(parent) {
            self.share(parent);
            return parent;
        }
        let child = self.plant();
        self.hang(child, parent);
        child
    }

    /// Adds a user.
    pub(super) fn share(&mut self, key: Key) {
        self.node(key).users += 1;
    }

    /// Takes a user away; with the last one the token goes, and what was below it is below its parent
    /// from then on.
    pub(super) fn release(&mut self, key: Key) -> Option<Node> {
        let node = self.node(key);
        node.users -= 1;
        if node.users > 0 {
            return None;
        }
        let mut children = mem::replace(&mut node.children, List::EMPTY);
        let parent = self.detach(key);
        while let Some(child) = self.nodes.pop_front(&mut children) {
            self.node(child).parent = None;
            if let Some(parent) = parent {
                self.hang(child, parent);
            }
        }
        let gone = self.nodes.remove(key)?;
        gone.remotes.iter().for_each(|remote| remote.forget());
        Some(gone)
    }

    pub(super) fn is_cancelled(&self, key: Key) -> bool {
        self.nodes.get(key).expect(IN_USE).cancelled
    }

    /// Cancels a token and all below it, and makes those that wait for them due. False: it was
    /// cancelled before.
    pub(super) fn cancel(&mut self, key: Key) -> bool {
        if self.is_cancelled(key) {
            return false;
        }
        self.detach(key);
        let mut rest = List::EMPTY;
        self.nodes.push_back(&mut rest, key);
        while let Some(key) = self.nodes.pop_front(&mut rest) {
            let Tree { nodes, places, due } = self;
            let node = nodes.get_mut(key).expect(IN_USE);
            node.cancelled = true;
            node.parent = None;
            node.remotes.iter().for_each(|remote| remote.mark());
            places.append(due, &mut node.waiting);
            let mut children = mem::replace(&mut node.children, List::EMPTY);
            nodes.append(&mut rest, &mut children);
        }
        true
    }

    /// Takes the next out that is to be woken.
    pub(super) fn call_due(&mut self) -> Option<Waker> {
        self.places.call_first(&mut self.due, ())
    }

    /// Ready if the token is cancelled; else waits in its line, for which `None` asks for a clone.
    pub(super) fn wait(
        &mut self,
        key: Key,
        place: &mut Place,
        offer: &mut Offer<'_>,
    ) -> Option<Poll<()>> {
        let node = self.nodes.get_mut(key).expect(IN_USE);
        if node.cancelled {
            return Some(Poll::Ready(()));
        }
        self.places.stand(&mut node.waiting, place, (), offer).then_some(Poll::Pending)
    }

    /// Takes a place away that `wait` gave.
    pub(super) fn leave(&mut self, key: Key, place: &mut Place) -> Option<Standing<(), ()>> {
        let node = self.nodes.get_mut(key).expect(IN_USE);
        let line = if node.cancelled { &mut self.due } else { &mut node.waiting };
        self.places.leave(line, place)
    }

    /// What the handles of a token share.
    pub(super) fn remotes(&mut self, key: Key) -> &mut Vec<Arc<Remote>> {
        &mut self.node(key).remotes
    }

    fn node(&mut self, key: Key) -> &mut Node {
        self.nodes.get_mut(key).expect(IN_USE)
    }

    /// Puts a token that is below none below `parent`.
    fn hang(&mut self, child: Key, parent: Key) {
        let mut siblings = mem::replace(&mut self.node(parent).children, List::EMPTY);
        self.nodes.push_back(&mut siblings, child);
        self.node(parent).children = siblings;
        self.node(child).parent = Some(parent);
    }

    /// Takes a token away from its parent, if it has one.
    fn detach(&mut self, key: Key) -> Option<Key> {
        let parent = self.node(key).parent.take()?;
        let mut siblings = mem::replace(&mut self.node(parent).children, List::EMPTY);
        self.nodes.unlink(&mut siblings, key);
        self.node(parent).children = siblings;
        Some(parent)
    }

    /// Tokens that are in use, and places that are taken.
    #[cfg(all(test, not(loom)))]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.nodes.len(), self.places.len())
    }
}
