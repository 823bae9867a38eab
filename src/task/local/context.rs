//! What a task carries beside its future: its name, and the values of task-locals.
//!
//! A context never changes. A scope makes a new one of the present one and its own value, a spawned
//! task shares its spawner's, and the last of them drops the values, on the shard.

use std::any::Any;
use std::borrow::Cow;
use std::rc::Rc;

use crate::util::current::{Current, Entered, Hidden, Pointer};
use crate::util::sync_types::thread_local;

/// The address of a key.
pub(super) type Key = usize;

pub(in super::super) enum Context {
    Named {
        name: Name,
        /// What tasks that this one spawns inherit: the name is this task's alone.
        inherited: Option<Rc<Context>>,
    },
    Values(Vec<(Key, Rc<dyn Any>)>),
}

/// A name that costs no more memory than it has bytes.
pub(in super::super) enum Name {
    Static(&'static str),
    Boxed(Box<str>),
}

impl From<Cow<'static, str>> for Name {
    fn from(name: Cow<'static, str>) -> Self {
        match name {
            Cow::Borrowed(name) => Name::Static(name),
            Cow::Owned(name) => Name::Boxed(name.into_boxed_str()),
        }
    }
}

impl Name {
    pub(in super::super) fn as_str(&self) -> &str {
        match self {
            Name::Static(name) => name,
            Name::Boxed(name) => name,
        }
    }

    pub(in super::super) fn to_cow(&self) -> Cow<'static, str> {
        match self {
            Name::Static(name) => Cow::Borrowed(name),
            Name::Boxed(name) => Cow::Owned(name.to_string()),
        }
    }
}

thread_local! {
    static POINTER: Pointer<Context> = const { Pointer::empty() };
}

/// The context of the code that runs on this thread.
const CURRENT: Current<Context> = Current::at(&POINTER);

impl Context {
    pub(in super::super) fn named(name: Name, inherited: Option<Rc<Context>>) -> Rc<Self> {
        Rc::new(Context::Named { name, inherited })
    }

    /// The context of `below`, in which `key` has this value.
    pub(super) fn with_value(below: Option<&Context>, key: Key, value: Rc<dyn Any>) -> Rc<Self> {
        let below = below.map_or(&[][..], Context::values);
        let others = below.iter().filter(|(other, _)| *other != key);
        let mut values = Vec::with_capacity(below.len() + 1);
        values.extend(others.cloned());
        values.push((key, value));
        Rc::new(Context::Values(values))
    }

    fn values(&self) -> &[(Key, Rc<dyn Any>)] {
        match self {
            Context::Values(values) => values,
            Context::Named { inherited: Some(inherited), .. } => inherited.values(),
            Context::Named { inherited: None, .. } => &[],
        }
    }

    pub(super) fn value(&self, key: Key) -> Option<Rc<dyn Any>> {
        let found = self.values().iter().find(|(other, _)| *other == key);
        found.map(|(_, value)| value.clone())
    }

    pub(in super::super) fn name(&self) -> Option<&Name> {
        match self {
            Context::Named { name, .. } => Some(name),
            Context::Values(_) => None,
        }
    }

    /// The context of the code that runs on this thread.
    pub(super) fn current() -> Option<Rc<Context>> {
        CURRENT.get()
    }

    /// Looks at the current context.
    pub(super) fn with_current<R>(look: impl FnOnce(&Context) -> R) -> Option<R> {
        CURRENT.with(look)
    }

    /// What a task that is spawned here gets.
    #[inline]
    pub(in super::super) fn inherited() -> Option<Rc<Context>> {
        if CURRENT.is_empty() { None } else { Self::inherited_of_current() }
    }

    #[cold]
    fn inherited_of_current() -> Option<Rc<Context>> {
        let current = CURRENT.get()?;
        match &*current {
            Context::Named { inherited, .. } => inherited.clone(),
            Context::Values(_) => Some(current),
        }
    }

    /// Makes this the current context until the guard is dropped.
    pub(in super::super) fn enter(self: &Rc<Self>) -> Entered<Context> {
        CURRENT.enter(self.clone())
    }

    /// The thread has no context until the guard is dropped.
    pub(in super::super) fn hide() -> Hidden<Context> {
        CURRENT.hide()
    }
}
