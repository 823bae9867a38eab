//! The pool of threads: how threads come and go, what a panic does, and how it shuts down.

use std::sync::Barrier;
use std::sync::mpsc::{self, Receiver, Sender};

use super::*;
use crate::sys::signal_mask;

type Closure = Box<dyn FnOnce() + Send>;

fn pool(threads_max: usize, keep_alive: Duration) -> Pool<Closure> {
    Pool::new(Config { threads_max, keep_alive, ..Config::default() })
}

/// Keeps its thread until the sender goes.
fn blocked_job(started: &Sender<()>) -> (Closure, Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let started = started.clone();
    let job = Box::new(move || {
        started.send(()).expect("the test waits for the start");
        assert!(released.recv().is_err(), "nothing is ever sent");
    });
    (job, release)
}

fn spawn(pool: &Pool<Closure>, job: impl FnOnce() + Send + 'static) {
    pool.spawn(Box::new(job)).expect("the pool takes jobs");
}

fn wait_for_threads<J: Job>(pool: &Pool<J>, threads: usize) {
    let mut state = pool.shared.lock();
    while state.threads != threads {
        state = pool.shared.end.wait(state).expect("no panic under the lock");
    }
}

fn in_an_hour() -> Instant {
    clock::now() + Duration::from_secs(3600)
}

#[test]
fn jobs_start_in_the_order_they_came() {
    let pool = pool(1, Duration::from_secs(10));
    let (sender, results) = mpsc::channel();
    for number in 0..1_000 {
        let sender = sender.clone();
        spawn(&pool, move || sender.send(number).expect("the test receives"));
    }
    drop(sender);
    assert_eq!(results.iter().collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
    assert_eq!(pool.threads(), 1);
}

#[test]
fn jobs_that_wait_for_each_other_all_get_a_thread() {
    let pool = pool(512, Duration::from_secs(10));
    for _ in 0..20 {
        let barrier = Arc::new(Barrier::new(9));
        for _ in 0..8 {
            let barrier = Arc::clone(&barrier);
            spawn(&pool, move || {
                barrier.wait();
            });
        }
        // Stands still if any of the eight were promised a thread that another one took.
        barrier.wait();
    }
    assert_eq!(pool.shutdown(Some(in_an_hour())), 0);
}

#[test]
fn threads_never_exceed_the_bound() {
    let pool = pool(3, Duration::from_secs(10));
    let (started, starts) = mpsc::channel();
    let (jobs, releases): (Vec<_>, Vec<_>) = (0..10).map(|_| blocked_job(&started)).unzip();
    for job in jobs {
        pool.spawn(job).expect("the queue is unbounded");
    }
    for _ in 0..3 {
        starts.recv().expect("three jobs start");
    }
    assert_eq!((pool.threads(), pool.queued()), (3, 7));
    drop(releases);
    for _ in 0..7 {
        starts.recv().expect("the others follow");
    }
    assert_eq!(pool.threads(), 3);
}

#[test]
fn idle_threads_end_and_new_ones_come_on_demand() {
    let pool = pool(4, Duration::from_millis(1));
    for _ in 0..3 {
        let (sender, results) = mpsc::channel();
        for _ in 0..4 {
            let sender = sender.clone();
            spawn(&pool, move || sender.send(()).expect("the test receives"));
        }
        drop(sender);
        assert_eq!(results.iter().count(), 4);
        wait_for_threads(&pool, 0);
    }
}

#[test]
fn job_queued_while_threads_end_is_never_lost() {
    // A keep-alive of nothing makes every thread end as soon as the queue is empty.
    let pool = pool(2, Duration::ZERO);
    for number in 0..2_000 {
        let (sender, result) = mpsc::channel();
        spawn(&pool, move || sender.send(number).expect("the test receives"));
        assert_eq!(result.recv(), Ok(number));
    }
    wait_for_threads(&pool, 0);
}

#[test]
fn panic_in_a_job_keeps_the_thread_and_the_pool() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("again"));
        }
    }
    let pool = pool(1, Duration::from_secs(10));
    spawn(&pool, || std::panic::resume_unwind(Box::new("once")));
    spawn(&pool, || std::panic::resume_unwind(Box::new(PanicsWhenDropped)));
    let (sender, result) = mpsc::channel();
    spawn(&pool, move || sender.send("alive").expect("the test receives"));
    assert_eq!(result.recv(), Ok("alive"));
    assert_eq!(pool.threads(), 1);
    assert_eq!(pool.shutdown(Some(in_an_hour())), 0);
}

/// Tells the name of its thread and which signals it blocks.
struct Tells(Sender<(Option<String>, [bool; 4])>);

impl Tells {
    fn tell(&self) {
        let blocked = [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGSEGV];
        let name = thread::current().name().map(str::to_owned);
        self.0.send((name, blocked.map(signal_mask::is_blocked))).expect("the test receives");
    }
}

impl Job for Tells {
    fn run(self) {
        self.tell();
    }
}

#[test]
fn threads_are_named_and_block_the_programs_signals() {
    let pool = Pool::new(Config { threads_max: 1, ..Config::default() });
    let (sender, result) = mpsc::channel();
    assert!(pool.spawn(Tells(sender)).is_ok());
    let expected = (Some("corering-pool".to_owned()), [true, true, true, false]);
    assert_eq!(result.recv(), Ok(expected));
    assert!(!signal_mask::is_blocked(libc::SIGTERM), "the spawning thread keeps its own mask");
}

#[test]
fn closures_of_the_user_have_the_mask_of_the_program() {
    let pool = pool(1, Duration::from_secs(10));
    let (sender, result) = mpsc::channel();
    for _ in 0..2 {
        let tells = Tells(sender.clone());
        spawn(&pool, move || tells.tell());
        let expected = (Some("corering-pool".to_owned()), [false; 4]);
        assert_eq!(result.recv(), Ok(expected));
    }
}

#[test]
fn plain_struct_jobs_run_without_a_box() {
    struct Add(u64, u64, Sender<u64>);
    impl Job for Add {
        fn run(self) {
            self.2.send(self.0 + self.1).expect("the test receives");
        }
    }
    let pool = Pool::new(Config::default());
    let (sender, result) = mpsc::channel();
    pool.spawn(Add(2, 3, sender)).map_err(|refused| refused.error).expect("the pool takes jobs");
    assert_eq!(result.recv(), Ok(5));
}

#[test]
fn shutdown_waits_for_running_jobs_and_drops_the_others() {
    let pool = Arc::new(pool(1, Duration::from_secs(10)));
    let (started, starts) = mpsc::channel();
    let (job, release) = blocked_job(&started);
    pool.spawn(job).expect("the pool takes jobs");
    starts.recv().expect("the job starts");
    let (never_sent, unstarted): (Sender<()>, Receiver<()>) = mpsc::channel();
    spawn(&pool, move || never_sent.send(()).expect("this job never starts"));

    let second = Arc::clone(&pool);
    let shutdown = thread::spawn(move || second.shutdown(Some(in_an_hour())));
    assert!(unstarted.recv().is_err(), "the unstarted job was dropped");
    let refused = pool.spawn(Box::new(|| {})).expect_err("no job is taken any more");
    assert!(refused.error.to_string().contains("shut down"));
    assert_eq!(pool.threads(), 1, "the running job is waited for");
    drop(release);
    assert_eq!(shutdown.join().expect("no panic"), 0);
    assert_eq!(pool.threads(), 0);
}

#[test]
fn shutdown_reports_jobs_that_outlast_the_deadline() {
    let pool = pool(4, Duration::from_secs(10));
    let (started, starts) = mpsc::channel();
    let (jobs, releases): (Vec<_>, Vec<_>) = (0..2).map(|_| blocked_job(&started)).unzip();
    for job in jobs {
        pool.spawn(job).expect("the pool takes jobs");
        starts.recv().expect("the job starts");
    }
    assert_eq!(pool.shutdown(Some(clock::now())), 2);
    drop(releases);
    assert_eq!(pool.shutdown(Some(in_an_hour())), 0);
}

#[test]
fn drop_ends_idle_threads_and_drops_unstarted_jobs() {
    let pool = pool(1, Duration::from_secs(3600));
    let shared = Arc::clone(&pool.shared);
    let (started, starts) = mpsc::channel();
    let (job, release) = blocked_job(&started);
    pool.spawn(job).expect("the pool takes jobs");
    starts.recv().expect("the job starts");
    let (never_sent, unstarted): (Sender<()>, Receiver<()>) = mpsc::channel();
    spawn(&pool, move || never_sent.send(()).expect("this job never starts"));
    drop(pool);
    assert!(unstarted.recv().is_err());
    drop(release);
    let mut state = shared.lock();
    while state.threads > 0 {
        state = shared.end.wait(state).expect("no panic under the lock");
    }
}

#[test]
fn unstarted_job_that_panics_when_dropped_does_not_stop_the_shutdown() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("dropped"));
        }
    }
    let pool = pool(1, Duration::from_secs(10));
    let (started, starts) = mpsc::channel();
    let (job, release) = blocked_job(&started);
    pool.spawn(job).expect("the pool takes jobs");
    starts.recv().expect("the job starts");
    for _ in 0..2 {
        let captured = PanicsWhenDropped;
        spawn(&pool, move || drop(captured));
    }
    drop(release);
    assert_eq!(pool.shutdown(Some(in_an_hour())), 0);
}

#[test]
fn without_any_thread_the_job_comes_back_with_the_error() {
    // No address space is large enough for such a stack.
    let stack_size = Some(1 << 60);
    let pool = Pool::new(Config { stack_size, ..Config::default() });
    let (sender, result) = mpsc::channel();
    let job: Closure = Box::new(move || sender.send("run").expect("the test receives"));
    let refused = pool.spawn(job).expect_err("no thread can be created");
    assert_eq!(refused.error.raw_os_error(), None, "it is no error of what the job was to do");
    assert!(refused.error.to_string().contains("thread"), "{}", refused.error);
    assert_eq!((pool.threads(), pool.queued()), (0, 0));
    (refused.job)();
    assert_eq!(result.recv(), Ok("run"));
}

/// Nothing but its own drop. Like a closure of the user's that captures something.
struct Told(Sender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[test]
fn job_taken_back_leaves_the_others_in_their_order() {
    for taken in 0..4 {
        let pool = pool(1, Duration::from_secs(10));
        let (started, starts) = mpsc::channel();
        let (job, release) = blocked_job(&started);
        let running = pool.spawn(job).expect("the pool takes jobs");
        starts.recv().expect("the job starts");
        let (sender, results) = mpsc::channel();
        let keys: Vec<Key> = (0..4)
            .map(|number| {
                let sender = sender.clone();
                let job = Box::new(move || sender.send(number).expect("the test receives"));
                pool.spawn(job).expect("the pool takes jobs")
            })
            .collect();
        drop(sender);
        assert!(pool.take_back(running).is_none(), "it has started");
        assert!(pool.take_back(keys[taken]).is_some());
        assert!(pool.take_back(keys[taken]).is_none(), "it is not there any more");
        assert_eq!((pool.queued(), pool.running()), (3, 1));
        drop(release);
        let others: Vec<usize> = (0..4).filter(|&number| number != taken).collect();
        assert_eq!(results.iter().collect::<Vec<_>>(), others);
    }
}

#[test]
fn key_of_a_job_that_has_started_takes_no_later_job() {
    let pool = pool(1, Duration::from_secs(10));
    let (sender, results) = mpsc::channel();
    let first = sender.clone();
    let job = Box::new(move || first.send(1).expect("the test receives"));
    let stale = pool.spawn(job).expect("the pool takes jobs");
    assert_eq!(results.recv(), Ok(1));
    let (started, starts) = mpsc::channel();
    let (job, release) = blocked_job(&started);
    pool.spawn(job).expect("the pool takes jobs");
    starts.recv().expect("the job starts");
    spawn(&pool, move || sender.send(2).expect("the test receives"));
    assert!(pool.take_back(stale).is_none());
    drop(release);
    assert_eq!(results.recv(), Ok(2));
}

#[test]
fn finish_runs_what_was_queued() {
    let pool = Arc::new(pool(1, Duration::from_secs(3600)));
    let (started, starts) = mpsc::channel();
    let (job, release) = blocked_job(&started);
    pool.spawn(job).expect("the pool takes jobs");
    starts.recv().expect("the job starts");
    let (sender, results) = mpsc::channel();
    spawn(&pool, move || sender.send("run").expect("the test receives"));
    pool.refuse();
    assert!(pool.spawn(Box::new(|| {})).is_err(), "no job is taken any more");
    let second = Arc::clone(&pool);
    let finish = thread::spawn(move || second.finish(Some(in_an_hour())));
    drop(release);
    assert_eq!(finish.join().expect("no panic"), 0);
    assert_eq!(results.recv(), Ok("run"));
    assert_eq!(pool.threads(), 0);
}

#[test]
fn finish_drops_what_has_not_started_at_its_deadline() {
    let pool = pool(1, Duration::from_secs(10));
    let (started, starts) = mpsc::channel();
    let (job, release) = blocked_job(&started);
    pool.spawn(job).expect("the pool takes jobs");
    starts.recv().expect("the job starts");
    let (sender, results) = mpsc::channel();
    let told = Told(sender);
    spawn(&pool, move || told.0.send("run").expect("the test receives"));
    assert_eq!(pool.finish(Some(clock::now())), 1);
    assert_eq!(results.recv(), Ok("dropped"));
    drop(release);
    assert_eq!(pool.shutdown(Some(in_an_hour())), 0);
}

#[test]
fn threads_have_the_name_of_their_pool() {
    let pool = Pool::new(Config { name: "resize".to_owned(), ..Config::default() });
    let (sender, result) = mpsc::channel();
    assert!(pool.spawn(Tells(sender)).is_ok());
    assert_eq!(result.recv().expect("it runs").0.as_deref(), Some("resize"));
}
