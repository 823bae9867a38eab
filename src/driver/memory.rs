//! The memory that a shard receives into: the group of buffers that a ring fills, and the buffers
//! that it lends.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use super::flight::Flight;
use crate::buf::{BufferGroup, LentBuffers};
use crate::sys::log;

pub(crate) struct Memory {
    group: RefCell<Group>,
    lent: Rc<LentBuffers>,
}

/// The buffer group, made when the first stream asks for it.
enum Group {
    NotYet,
    Made(Rc<BufferGroup>),
    /// The kernel has no buffer rings, or no memory for one.
    Refused,
}

impl Memory {
    pub(super) fn new() -> Self {
        Memory { group: RefCell::new(Group::NotYet), lent: LentBuffers::new() }
    }

    /// The buffers that it lends.
    #[inline(always)]
    pub(crate) fn lent(&self) -> &Rc<LentBuffers> {
        &self.lent
    }

    /// The group, if there is one.
    #[inline(always)]
    pub(super) fn made(&self) -> Option<Ref<'_, Rc<BufferGroup>>> {
        Ref::filter_map(self.group.borrow(), |group| match group {
            Group::Made(group) => Some(group),
            Group::NotYet | Group::Refused => None,
        })
        .ok()
    }

    /// The group of so many buffers of so many bytes; `None` if the kernel cannot fill one.
    pub(super) fn group(&self, count: u16, size: u32, flight: &Flight) -> Option<Rc<BufferGroup>> {
        match &*self.group.borrow() {
            Group::Made(group) => return Some(group.clone()),
            Group::Refused => return None,
            Group::NotYet => {}
        }
        let made = make(count, size, flight);
        *self.group.borrow_mut() = made.clone().map_or(Group::Refused, Group::Made);
        made
    }

    /// Whether a group is this one.
    pub(crate) fn owns(&self, group: &Rc<BufferGroup>) -> bool {
        self.made().is_some_and(|own| Rc::ptr_eq(&own, group))
    }
}

fn make(count: u16, size: u32, flight: &Flight) -> Option<Rc<BufferGroup>> {
    if !flight.can.receives_many {
        return None;
    }
    let Some(group) = BufferGroup::new(count, size).map(Rc::new) else {
        log::warn(format_args!(
            "no memory for {count} buffers of {size} bytes: streams receive by notification; see \
             Builder::buffer_group"
        ));
        return None;
    };
    flight.register(&group).then_some(group)
}
