//! How a task is made when `spawn` does not say enough, and what a runtime hears of its panics.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::Scheduler;
use super::id::Id;
use super::join_handle::JoinHandle;
use super::local::{Context, Name};
use super::scheduler::no_runtime;

/// Spawns a task with a name.
///
/// # Examples
/// ```
/// use corering::task;
///
/// corering::block_on(async {
///     let connection = 17;
///     let task = task::Builder::new().name(format!("connection {connection}")).spawn(async {
///         task::current().unwrap().name()
///     });
///     assert_eq!(task.await.unwrap().as_deref(), Some("connection 17"));
/// });
/// ```
#[derive(Default)]
#[must_use = "a builder makes nothing until it spawns"]
pub struct Builder {
    name: Option<Name>,
}

impl Builder {
    /// A builder of a task without a name, as `spawn` makes it.
    pub fn new() -> Self {
        Builder::default()
    }

    /// Gives the task a name, which [`current`](super::current), [`all`](super::all) and a hook for panics
    /// show. It is the task's own: tasks that it spawns do not inherit it.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(Name::from(name.into()));
        self
    }

    /// Spawns the task onto the shard of this thread, as [`spawn`](super::spawn()) does.
    ///
    /// # Panics
    /// Outside a corering runtime.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(self, future: F) -> JoinHandle<F::Output> {
        let Some(scheduler) = Scheduler::current() else { no_runtime() };
        let inherited = Context::inherited();
        let context = match self.name {
            Some(name) => Some(Context::named(name, inherited)),
            None => inherited,
        };
        scheduler.spawn_with(future, context)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_ref().map(Name::as_str);
        f.debug_struct("Builder").field("name", &name).finish()
    }
}

/// What a runtime calls when a task panics.
#[derive(Clone)]
pub(crate) struct PanicHook(Arc<dyn Fn(&TaskPanic<'_>) + Send + Sync>);

impl PanicHook {
    pub(crate) fn new(hook: impl Fn(&TaskPanic<'_>) + Send + Sync + 'static) -> Self {
        PanicHook(Arc::new(hook))
    }

    pub(super) fn call(&self, panic: &TaskPanic<'_>) {
        (self.0)(panic);
    }
}

impl fmt::Debug for PanicHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanicHook").finish_non_exhaustive()
    }
}

/// The panic of a task, as [`Builder::on_panic`](crate::Builder::on_panic) shows it.
pub struct TaskPanic<'a> {
    id: Id,
    name: Option<&'a str>,
    payload: &'a (dyn Any + Send),
}

impl<'a> TaskPanic<'a> {
    pub(super) fn new(id: Id, name: Option<&'a Name>, payload: &'a (dyn Any + Send)) -> Self {
        TaskPanic { id, name: name.map(Name::as_str), payload }
    }

    /// The number of the task.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The name of the task, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name
    }

    /// What the task panicked with.
    pub fn payload(&self) -> &(dyn Any + Send) {
        self.payload
    }

    /// What the task panicked with, if that is text, as of `panic!`.
    pub fn message(&self) -> Option<&str> {
        super::join_error::message(self.payload)
    }
}

impl fmt::Debug for TaskPanic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPanic")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("message", &self.message())
            .finish()
    }
}

impl fmt::Display for TaskPanic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "task {} ({name}) panicked", self.id)?,
            None => write!(f, "task {} panicked", self.id)?,
        }
        match self.message() {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}
