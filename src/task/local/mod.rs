//! Values that belong to a task, and that the tasks it spawns inherit.

mod context;

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as PollContext, Poll};

use futures_util::future::FusedFuture;

use context::Key;

use crate::util::poll_pinned::poll_pinned;
pub(super) use context::{Context, Name};

/// Declares task-locals: statics whose value is that of the scope in which code runs.
///
/// A key is a [`LocalKey`](crate::task::LocalKey). [`scope`](crate::task::LocalKey::scope) gives it a value
/// for as long as a future runs, and for the tasks that are spawned meanwhile, to their end.
///
/// # Examples
/// ```
/// corering::task_local! {
///     /// The request that is answered.
///     static REQUEST: u64;
/// }
///
/// async fn log(what: &str) -> String {
///     format!("{}: {what}", REQUEST.get())
/// }
///
/// corering::block_on(REQUEST.scope(17, async {
///     assert_eq!(log("begins").await, "17: begins");
///     let child = corering::spawn(log("goes on in a task"));
///     assert_eq!(child.await.unwrap(), "17: goes on in a task");
///     assert_eq!(REQUEST.scope(18, log("is another")).await, "18: is another");
/// }));
/// assert!(REQUEST.try_with(|_| ()).is_err());
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $visibility static $name: $crate::task::LocalKey<$type> = $crate::task::LocalKey::new();
        $($crate::task_local! { $($rest)* })?
    };
}

/// A key of [`task_local!`](crate::task_local): it has the value of the innermost scope around the code that
/// asks.
///
/// A value is set by a scope and never changed in place; one that changes is a `Cell` or a `RefCell`. A
/// spawned task has the values that its spawner had at that moment, and keeps them: a value is
/// dropped with the last scope or task that has it, on its shard. What runs elsewhere, a closure of
/// [`spawn_blocking`](crate::task::spawn_blocking) or a task of another shard, has none: hand it over.
///
/// # Examples
/// See [`task_local!`](crate::task_local).
pub struct LocalKey<T: 'static> {
    /// The key is known by its address, so it needs one of its own.
    address: u8,
    value: PhantomData<fn() -> T>,
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new() -> Self {
        LocalKey { address: 0, value: PhantomData }
    }

    fn key(&'static self) -> Key {
        (&raw const self.address).addr()
    }

    /// Runs a future in which the key has this value.
    ///
    /// The future is polled and dropped with the value set; after its output the value stays with the
    /// tasks that it spawned.
    ///
    /// # Cancel safety
    /// That of the future itself.
    ///
    /// # Errors
    /// Those of the future itself.
    ///
    /// # Examples
    /// ```
    /// corering::task_local! { static USER: &'static str; }
    ///
    /// corering::block_on(USER.scope("ada", async {
    ///     assert_eq!(USER.get(), "ada");
    /// }));
    /// ```
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> LocalScope<F> {
        let value = Rc::new(value);
        LocalScope {
            key: self.key(),
            value,
            below: None,
            context: None,
            future: ManuallyDrop::new(Some(future)),
        }
    }

    /// Calls a function in which the key has this value.
    ///
    /// # Examples
    /// ```
    /// corering::task_local! { static DEPTH: u32; }
    ///
    /// assert_eq!(DEPTH.sync_scope(1, || DEPTH.get() + 1), 2);
    /// ```
    pub fn sync_scope<R>(&'static self, value: T, call: impl FnOnce() -> R) -> R {
        let below = Context::current();
        let context = Context::with_value(below.as_deref(), self.key(), Rc::new(value));
        let _entered = context.enter();
        call()
    }

    /// Calls a function with the value.
    ///
    /// # Panics
    /// Outside a scope of the key.
    ///
    /// # Examples
    /// ```
    /// corering::task_local! { static USER: String; }
    ///
    /// let length = USER.sync_scope("ada".to_owned(), || USER.with(|user| user.len()));
    /// assert_eq!(length, 3);
    /// ```
    #[track_caller]
    pub fn with<R>(&'static self, look: impl FnOnce(&T) -> R) -> R {
        match self.try_with(look) {
            Ok(result) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Calls a function with the value, if the key has one here.
    ///
    /// # Errors
    /// Outside a scope of the key.
    ///
    /// # Examples
    /// ```
    /// corering::task_local! { static USER: String; }
    ///
    /// assert!(USER.try_with(|user| user.len()).is_err());
    /// ```
    pub fn try_with<R>(&'static self, look: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        // It is held meanwhile: what the function calls may end the scope.
        let value = Context::with_current(|context| context.value(self.key())).flatten();
        match value.as_deref().and_then(<dyn Any>::downcast_ref) {
            Some(value) => Ok(look(value)),
            None => Err(AccessError(())),
        }
    }
}

impl<T: Clone + 'static> LocalKey<T> {
    /// A clone of the value.
    ///
    /// # Panics
    /// Outside a scope of the key.
    ///
    /// # Examples
    /// ```
    /// corering::task_local! { static DEPTH: u32; }
    ///
    /// assert_eq!(DEPTH.sync_scope(1, || DEPTH.get()), 1);
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T {
        self.with(T::clone)
    }

    /// A clone of the value, if the key has one here.
    ///
    /// # Errors
    /// Outside a scope of the key.
    ///
    /// # Examples
    /// ```
    /// corering::task_local! { static DEPTH: u32; }
    ///
    /// assert_eq!(DEPTH.try_get().unwrap_or(0), 0);
    /// ```
    pub fn try_get(&'static self) -> Result<T, AccessError> {
        self.try_with(T::clone)
    }
}

/// A main future, with the values that task-locals have where it is called.
pub(crate) fn in_this_context<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let context = Context::current();
    poll_pinned(future, move |future: Pin<&mut F>, cx: &mut PollContext<'_>| {
        let _entered = context.as_ref().map(Context::enter);
        future.poll(cx)
    })
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// The key of a task-local has no value here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessError(());

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task-local has no value here: run this inside `KEY.scope(value, future)`")
    }
}

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessError")
    }
}

impl Error for AccessError {}

/// The future of [`LocalKey::scope`].
#[must_use = "a scope does nothing until it is awaited"]
pub struct LocalScope<F> {
    key: Key,
    value: Rc<dyn Any>,
    /// The context around the scope, when it was polled last.
    below: Option<Rc<Context>>,
    /// That context, with the value.
    context: Option<Rc<Context>>,
    /// `None` once it has ended.
    future: ManuallyDrop<Option<F>>,
}

impl<F> LocalScope<F> {
    /// The context of the future. Where it is polled, other keys may have other values than the last
    /// time.
    fn context(&mut self) -> Rc<Context> {
        let below = Context::current();
        let same = match (&below, &self.below) {
            (Some(below), Some(known)) => Rc::ptr_eq(below, known),
            (None, None) => true,
            _ => false,
        };
        match &self.context {
            Some(context) if same => context.clone(),
            _ => {
                let context = Context::with_value(below.as_deref(), self.key, self.value.clone());
                self.below = below;
                self.context.insert(context).clone()
            }
        }
    }
}

impl<F: Future> Future for LocalScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<F::Output> {
        // SAFETY: the future is not moved: it is polled, and dropped, where it is.
        let this = unsafe { self.get_unchecked_mut() };
        let context = this.context();
        let _entered = context.enter();
        let future = this.future.as_mut().expect("a scope was polled after its end");
        // SAFETY: the future is pinned as the whole is.
        let polled = unsafe { Pin::new_unchecked(future) }.poll(cx);
        if polled.is_ready() {
            // Assigning drops it in place, with the value still set.
            *this.future = None;
        }
        polled
    }
}

impl<F> Drop for LocalScope<F> {
    fn drop(&mut self) {
        if self.future.is_none() {
            return;
        }
        let context = self.context();
        let _entered = context.enter();
        // SAFETY: dropped here and nowhere else, in place.
        unsafe { ManuallyDrop::drop(&mut self.future) };
    }
}

impl<F: Future> FusedFuture for LocalScope<F> {
    fn is_terminated(&self) -> bool {
        self.future.is_none()
    }
}

impl<F> fmt::Debug for LocalScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalScope").field("ended", &self.future.is_none()).finish_non_exhaustive()
    }
}
