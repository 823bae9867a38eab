//! The scheduler of a shard: it spawns tasks, runs the ready ones, and drops them all at the end.
//!
//! It never waits and never touches the kernel; the runtime's loop does, between two runs.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::builder::PanicHook;
use super::cell::allocate;
use super::header::{
    CANCELLED, COMPLETE, IN_CONTEXT, JOINABLE, POSTED, QUEUED, RUNNING, TaskPtr, WOKEN, release,
    release_ended,
};
use super::home::{Owner, Share};
use super::id::{Id, Ids};
use super::join_handle::{AbortHandle, JoinHandle};
use super::lists::{LiveList, RunQueue};
use super::local::Context;
use super::waker::root_waker;
use super::{JoinError, TaskPanic};
use crate::util::budget;
use crate::util::current::{self, Current, Hidden, Pointer};
use crate::util::mailbox::Mailbox;
use crate::util::sync_types::{Ordering, thread_local};
use crate::util::unwind::{Payload, drop_quietly, shield};

/// Spawns a task onto the shard of this thread. It runs until it is complete or aborted, also when
/// the handle is dropped.
///
/// The future need not be `Send`: a task never leaves its shard.
///
/// # Panics
/// Outside a corering runtime.
#[track_caller]
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    match Scheduler::current() {
        Some(scheduler) => scheduler.spawn(future),
        None => no_runtime(),
    }
}

#[track_caller]
pub(super) fn no_runtime() -> ! {
    panic!(
        "spawn needs a corering runtime on this thread: call it inside corering::block_on or \
         under #[corering::main]"
    )
}

/// The task that calls, if it is one: the future of `block_on` is none.
///
/// # Examples
/// ```
/// use corering::task;
///
/// corering::block_on(async {
///     assert!(task::current().is_none());
///     let task = task::Builder::new().name("worker").spawn(async {
///         let current = task::current().expect("this is a task");
///         current.name().map(|name| name.len())
///     });
///     assert_eq!(task.await.unwrap(), Some(6));
/// });
/// ```
pub fn current() -> Option<AbortHandle> {
    let running = CURRENT.with(|current| current.running.get())??;
    // SAFETY: what runs is live, and this is its thread.
    Some(unsafe { AbortHandle::of(running) })
}

/// The number of the task that calls.
///
/// # Panics
/// Outside a task; the future of `block_on` is none. See [`try_id`].
///
/// # Examples
/// ```
/// corering::block_on(async {
///     let task = corering::spawn(async { corering::task::id() });
///     assert_eq!(task.id(), task.await.unwrap());
/// });
/// ```
#[track_caller]
pub fn id() -> Id {
    try_id().expect("no task calls: the future of block_on is none, and has no number")
}

/// The number of the task that calls, if it is one: the future of `block_on` is none.
///
/// # Examples
/// ```
/// assert_eq!(corering::task::try_id(), None);
/// ```
pub fn try_id() -> Option<Id> {
    let running = CURRENT.with(|current| current.running.get())??;
    // SAFETY: what runs is live, and this is its thread.
    Some(unsafe { running.as_ref() }.id())
}

/// The tasks of this thread's shard that are not complete, oldest first: to debug, or to abort them.
///
/// It costs a step for each. Outside a runtime there are none.
///
/// # Examples
/// ```
/// use corering::task;
///
/// corering::block_on(async {
///     corering::spawn(std::future::pending::<()>());
///     for task in task::all() {
///         println!("{task:?}");
///     }
/// });
/// ```
pub fn all() -> Vec<AbortHandle> {
    let mut tasks = Vec::new();
    CURRENT.with(|current| {
        // SAFETY: what is in the list is live, and this is its thread.
        current.live.for_each(|task| tasks.push(unsafe { AbortHandle::of(task) }));
    });
    tasks
}

/// Reports a panic of a task to the runtime's hook, and makes an error of it.
///
/// # Safety
/// The task is live, and this is its thread.
#[cold]
pub(super) unsafe fn panicked(task: TaskPtr, payload: Payload) -> JoinError {
    // SAFETY: the caller's word.
    let header = unsafe { task.as_ref() };
    let id = header.id();
    if let Some(hook) = CURRENT.with(|current| current.on_panic.clone()).flatten() {
        let context = header.context();
        let name = context.as_deref().and_then(Context::name);
        let panic = TaskPanic::new(id, name, &*payload);
        shield(|| hook.call(&panic));
    }
    JoinError::panicked(id, payload)
}

/// As [`panicked`], of a part of the task that runs, which goes on.
#[cold]
pub(crate) fn panicked_here(payload: Payload) -> JoinError {
    match CURRENT.with(|current| current.running.get()).flatten() {
        // SAFETY: what runs is live, and this is its thread.
        Some(running) => unsafe { panicked(running, payload) },
        None => JoinError::panicked(None, payload),
    }
}

/// The mailbox of this thread's shard.
pub(crate) fn current_mailbox() -> Option<Arc<Mailbox>> {
    CURRENT.with(|current| Arc::clone(&current.home.mailbox))
}

/// What the polls of one round may take, until the kernel, the timers and the signals are looked at.
pub(crate) struct Allowance {
    polls: i64,
    leaves: i64,
    /// As few polls are left when the mailbox is looked at next.
    look_at: i64,
}

/// Polls between two looks at the mailbox, which are a few loads: a shard that is awake answers another
/// one within so many, and not only in its next round.
const POLLS_PER_LOOK: i64 = 16;

impl Allowance {
    /// 128 polls: enough that a visit to the kernel costs little for each, few enough that no
    /// completion waits long. They may begin 512 leaves together, so that tasks whose sources are
    /// always ready keep nothing else waiting. The poll that goes beyond either is the last.
    pub(crate) fn of_a_round() -> Self {
        Allowance::new(128, 512)
    }

    #[cfg(test)]
    pub(super) fn of_polls(polls: i64) -> Self {
        Allowance::new(polls, i64::MAX)
    }

    fn new(polls: i64, leaves: i64) -> Self {
        Allowance { polls, leaves, look_at: polls - POLLS_PER_LOOK }
    }

    #[inline]
    pub(crate) fn take(&mut self, polls: i64, leaves: i64) {
        self.polls -= polls;
        self.leaves -= leaves;
    }

    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.polls <= 0 || self.leaves <= 0
    }

    #[inline]
    fn polls_until_look(&self) -> i64 {
        self.polls - self.look_at.max(0)
    }

    #[inline]
    fn is_time_to_look(&mut self) -> bool {
        let is_time = self.polls <= self.look_at;
        if is_time {
            self.look_at -= POLLS_PER_LOOK;
        }
        is_time
    }
}

/// The tasks of one shard. It belongs to the thread that made it.
pub(crate) struct Scheduler {
    home: Owner,
    ready: RunQueue,
    live: LiveList,
    root_waker: Waker,
    root_woken: Cell<bool>,
    ids: Ids,
    /// The task whose code runs.
    running: Cell<Option<TaskPtr>>,
    on_panic: Option<PanicHook>,
    /// Live tasks that no end of a runtime waits for.
    background: Rc<Cell<usize>>,
}

/// A live task in the background.
struct Background(Rc<Cell<usize>>);

impl Scheduler {
    /// A scheduler whose tasks other threads wake through `mailbox`.
    ///
    /// # Panics
    /// The mailbox belongs to another scheduler: the two would take each other's thread for theirs.
    pub(crate) fn new(mailbox: Arc<Mailbox>, on_panic: Option<PanicHook>) -> Rc<Scheduler> {
        assert!(mailbox.claim(), "a mailbox belongs to one scheduler");
        let home = Owner::new(mailbox);
        Rc::new(Scheduler {
            ready: RunQueue::default(),
            live: LiveList::default(),
            root_waker: root_waker(home.share()),
            root_woken: Cell::new(false),
            ids: Ids::default(),
            running: Cell::new(None),
            on_panic,
            background: Rc::default(),
            home,
        })
    }

    /// The scheduler that this thread has entered.
    pub(crate) fn current() -> Option<Rc<Scheduler>> {
        CURRENT.get()
    }

    /// The mailbox through which other threads reach this shard.
    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.home.mailbox
    }

    /// Makes this the thread's current scheduler until the guard is dropped. Guards are dropped in
    /// the reverse order of their making.
    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        Entered {
            _scheduler: CURRENT.enter(Rc::clone(self)),
            _budget: budget::Apart::begin(),
            _context: Context::hide(),
        }
    }

    /// Makes a task of `future`, at the back of the run queue.
    pub(crate) fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.spawn_with(future, Context::inherited())
    }

    #[inline]
    pub(super) fn spawn_with<F: Future + 'static>(
        &self,
        future: F,
        context: Option<Rc<Context>>,
    ) -> JoinHandle<F::Output> {
        let task = allocate(future, self.ids.next(), context, self.home.share());
        // SAFETY: the task is new, so in no list; the scheduler's reference lasts until it is out.
        unsafe { self.live.push(task) };
        // SAFETY: this is the task's thread, and the task is allocated.
        unsafe { self.schedule(task) };
        // SAFETY: the second of the new task's references is the handle's, and the type is F's.
        unsafe { JoinHandle::new(task) }
    }

    /// Makes a task that the end of the runtime neither waits for nor reports: what it leaves undone its
    /// drop sees to.
    pub(crate) fn spawn_in_background(&self, future: impl Future<Output = ()> + 'static) {
        let counted = Background::new(self.background.clone());
        let task = async move {
            let _counted = counted;
            future.await;
        };
        drop(self.spawn_with(task, None));
    }

    /// Polls ready tasks, in the order in which they became ready, until the allowance is spent or
    /// none is ready. A task that is woken meanwhile goes to the back. Tasks that other threads wake
    /// meanwhile join in; what they have for the runtime ends the run. Returns the number of polls.
    pub(crate) fn run(&self, left: &mut Allowance) -> u64 {
        let before = left.polls;
        while !left.is_spent() {
            if left.is_time_to_look() {
                if self.home.mailbox.has_news() {
                    break;
                }
                self.receive_foreign_wakes();
            }
            if !self.run_until_look(left) {
                break;
            }
        }
        self.running.set(None);
        (before - left.polls).unsigned_abs()
    }

    /// Polls ready tasks until it is time to look at the mailbox. False: none is ready.
    #[inline]
    fn run_until_look(&self, left: &mut Allowance) -> bool {
        // In registers, for the sake of each poll.
        let mut polls = left.polls_until_look();
        let mut leaves = left.leaves;
        let mut is_ready = true;
        while polls > 0 && leaves > 0 {
            let Some(task) = self.ready.pop() else {
                is_ready = false;
                break;
            };
            // SAFETY: a queued task is allocated.
            let header = unsafe { task.as_ref() };
            let flags = header.flags.get() & !QUEUED;
            if flags & COMPLETE != 0 {
                header.flags.set(flags);
                // SAFETY: it was cancelled in the queue, which got a reference of its own then.
                unsafe { release(task) };
                continue;
            }
            header.flags.set(flags | RUNNING);
            budget::begin_poll();
            self.running.set(Some(task));
            // SAFETY: not complete, so live; a running task is never queued, so it was not running.
            unsafe { self.run_task(task, flags) };
            polls -= 1;
            leaves -= budget::taken();
        }
        left.polls -= left.polls_until_look() - polls;
        left.leaves = leaves;
        is_ready
    }

    /// Whether [`run`](Self::run) would find a task, or the root future was woken on this thread.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || self.root_woken.get()
    }

    /// Whether a task of this thread's shard will run after the one that runs now, in this round.
    #[inline]
    pub(crate) fn another_is_ready() -> bool {
        CURRENT.with(|current| !current.ready.is_empty()) == Some(true)
    }

    /// Queues the tasks that other threads have woken.
    pub(crate) fn receive_foreign_wakes(&self) {
        for node in self.home.mailbox.take_posted() {
            let task: TaskPtr = node.cast();
            // SAFETY: the mailbox's reference, ours now, keeps the task allocated.
            let header = unsafe { task.as_ref() };
            // Before the task is queued: a wake after this posts it again. Acquire: the poll sees
            // what all who woke it wrote before.
            header.state.fetch_and(!POSTED, Ordering::AcqRel);
            // SAFETY: tasks in this mailbox belong to this scheduler and thread.
            unsafe { self.schedule(task) };
            // SAFETY: the mailbox's reference is given up once. A queued task has another.
            unsafe { release(task) };
        }
    }

    /// The waker of the future that `block_on` polls itself. Any thread may use it.
    pub(crate) fn root_waker(&self) -> Waker {
        self.root_waker.clone()
    }

    /// Whether the root waker was used on this thread since the last call.
    pub(crate) fn take_root_wake_from_here(&self) -> bool {
        self.root_woken.replace(false)
    }

    /// Whether the root waker was used, on any thread, since the last call.
    pub(crate) fn take_root_wake(&self) -> bool {
        // Both are looked at: a wake from each side is one wake.
        self.take_root_wake_from_here() | self.home.mailbox.take_notified()
    }

    /// Marks the root future as woken, from this thread.
    pub(super) fn wake_root(&self) {
        self.root_woken.set(true);
    }

    /// The number of tasks whose future is not dropped yet, without those in the background.
    pub(crate) fn live_tasks(&self) -> usize {
        self.live.len() - self.background.get()
    }

    /// Drops the future of every task, oldest first, and of every task that is spawned meanwhile.
    /// Their handles report "cancelled". A task that calls this from its own poll ends after it.
    pub(crate) fn cancel_all(&self) {
        while let Some(task) = self.live.first_without(RUNNING) {
            // SAFETY: a live task is allocated, and this is its thread.
            unsafe { task.as_ref() }.insert(RUNNING);
            // SAFETY: not complete, so the future is there; not running, so not entered.
            unsafe { self.cancel(task) };
        }
        self.live.for_each(|task| {
            // SAFETY: a live task is allocated.
            unsafe { task.as_ref() }.insert(CANCELLED);
        });
        // What is left in the queue was cancelled there: running tasks are not queued.
        while let Some(task) = self.ready.pop() {
            // SAFETY: a queued task is allocated.
            unsafe { task.as_ref() }.remove(QUEUED);
            // SAFETY: the task is complete, so the queue has a reference of its own.
            unsafe { release(task) };
        }
    }

    /// Queues a task of this scheduler, unless it is queued, running or complete.
    ///
    /// # Safety
    /// The task is this scheduler's and allocated.
    #[inline]
    pub(super) unsafe fn schedule(&self, task: TaskPtr) {
        // SAFETY: the caller's word.
        let header = unsafe { task.as_ref() };
        let flags = header.flags.get();
        if flags & (QUEUED | COMPLETE) != 0 {
            return;
        }
        if flags & RUNNING != 0 {
            header.flags.set(flags | WOKEN);
            return;
        }
        header.flags.set(flags | QUEUED);
        // SAFETY: it was not queued, and a task that is not complete has the scheduler's reference,
        // which lasts until the task is out of the queue.
        unsafe { self.ready.push(task) };
    }

    /// Calls `then` with this thread's scheduler if it is the one of that home. False: this is another
    /// thread, or the scheduler is not entered, and the mailbox is the way.
    #[inline]
    pub(super) fn if_owner(home: &Share, then: impl FnOnce(&Scheduler)) -> bool {
        // The caller's share keeps the home, so that its address is not that of a later one.
        let is_owner = CURRENT.with(|current| {
            let is_owner = current.home.is_of(home);
            if is_owner {
                then(current);
            }
            is_owner
        });
        is_owner == Some(true)
    }

    /// Polls a task once, or cancels it if it was aborted.
    ///
    /// # Safety
    /// The task is live, not queued, and just marked as running; the flags are those before.
    unsafe fn run_task(&self, task: TaskPtr, flags: u8) {
        // SAFETY: a live task is allocated, until `finish`.
        let header = unsafe { task.as_ref() };
        let polled = if flags & (CANCELLED | IN_CONTEXT) == 0 {
            // SAFETY: not complete, so the future is there; not running until now, so not entered.
            unsafe { (header.vtable.poll)(task) }
        } else {
            // SAFETY: as above.
            unsafe { Self::poll_in_context(task, flags) }
        };
        if let Poll::Ready(()) = polled {
            // SAFETY: its output is stored.
            return unsafe { self.finish(task) };
        }
        // Aborted before the poll, or by the poll.
        let flags = header.flags.get();
        if flags & CANCELLED != 0 {
            // SAFETY: the future is still there, and its poll has returned.
            return unsafe { self.cancel(task) };
        }
        header.flags.set(flags & !(RUNNING | WOKEN));
        if flags & WOKEN != 0 {
            // SAFETY: the task is ours and live.
            unsafe { self.schedule(task) };
        }
    }

    /// Polls a task in its context, unless it was aborted.
    ///
    /// # Safety
    /// As for the vtable's `poll`.
    #[cold]
    unsafe fn poll_in_context(task: TaskPtr, flags: u8) -> Poll<()> {
        if flags & CANCELLED != 0 {
            return Poll::Pending;
        }
        // SAFETY: the caller's task is live.
        let header = unsafe { task.as_ref() };
        let context = header.context();
        let _entered = context.as_ref().map(Context::enter);
        // SAFETY: the caller's word.
        unsafe { (header.vtable.poll)(task) }
    }

    /// Drops the future of a task, and ends it.
    ///
    /// # Safety
    /// The task is live, marked as running, and its future is not entered.
    unsafe fn cancel(&self, task: TaskPtr) {
        // SAFETY: a live task is allocated.
        let header = unsafe { task.as_ref() };
        let before = self.running.replace(Some(task));
        let context = header.context();
        let entered = context.as_ref().map(Context::enter);
        // SAFETY: the caller's word.
        unsafe { (header.vtable.cancel)(task) };
        drop(entered);
        self.running.set(before);
        // SAFETY: an output ("cancelled") is stored.
        unsafe { self.finish(task) };
    }

    /// Ends a task: off the list, its awaiter woken, its output dropped if nobody can ask for it.
    ///
    /// # Safety
    /// The task is live; its future is gone and its output stored.
    unsafe fn finish(&self, task: TaskPtr) {
        // SAFETY: the scheduler's reference is given up last.
        let header = unsafe { task.as_ref() };
        let flags = header.flags.get() & !(RUNNING | WOKEN) | COMPLETE;
        header.flags.set(flags);
        // SAFETY: a live task is in the list.
        unsafe { self.live.remove(task) };
        if flags & QUEUED != 0 {
            // Cancelled where it stood. The queue's link outlives the scheduler's reference now.
            header.add_reference();
        }
        // From here on user code may drop the handle, spawn, wake and abort.
        if flags & IN_CONTEXT != 0 {
            drop_quietly(header.context.take());
        }
        if flags & JOINABLE == 0 {
            // SAFETY: complete, and the handle, who alone could take the output, is gone.
            unsafe { (header.vtable.drop_output)(task) };
        } else if let Some(waker) = header.join_waker.take() {
            shield(|| waker.wake());
        }
        // SAFETY: complete, off the live list, and the scheduler's reference is not used again.
        unsafe { release_ended(task) };
    }
}

impl Background {
    fn new(count: Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Background(count)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.cancel_all();
        // Nothing is posted after this, and what was posted before holds only a count.
        self.home.mailbox.close();
        self.receive_foreign_wakes();
    }
}

/// While it lives, its scheduler is the thread's current one.
#[must_use = "the scheduler is current only as long as the guard lives"]
pub(crate) struct Entered {
    _scheduler: current::Entered<Scheduler>,
    _budget: budget::Apart,
    _context: Hidden<Context>,
}

thread_local! {
    static POINTER: Pointer<Scheduler> = const { Pointer::empty() };
}

/// The scheduler that this thread has entered.
const CURRENT: Current<Scheduler> = Current::at(&POINTER);
