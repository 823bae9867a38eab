//! Tests of timers as users hold them.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::poll;

use super::*;
use crate::net::UnixStream;
use crate::{Driver, Runtime, metrics, spawn, yield_now};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

/// Polls once and says whether it is ready.
async fn is_ready(sleep: &mut Sleep) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *sleep).poll(cx).is_ready())).await
}

#[corering::test]
async fn a_sleep_ends_after_its_time_and_never_before() {
    for _ in 0..20 {
        let begin = now();
        sleep(SHORT).await;
        assert!(now() - begin >= SHORT);
    }
    assert_eq!(metrics().timers, 0);
}

#[corering::test]
async fn sleeps_end_in_the_order_of_their_deadlines() {
    let begin = now();
    let order = Rc::new(Cell::new(Vec::new()));
    let tasks = [5, 1, 3, 2, 4].map(|place| {
        let order = order.clone();
        spawn(async move {
            sleep_until(begin + place * SHORT).await;
            let mut so_far = order.take();
            so_far.push(place);
            order.set(so_far);
        })
    });
    for task in tasks {
        task.await.expect("the task ends");
    }
    assert_eq!(order.take(), [1, 2, 3, 4, 5]);
}

#[corering::test]
async fn a_dropped_sleep_takes_its_timer_away() {
    let mut sleeps: Vec<Sleep> = (0..100).map(|_| sleep(LONG)).collect();
    for sleep in &mut sleeps {
        assert!(!is_ready(sleep).await);
    }
    assert_eq!(metrics().timers, 100);
    drop(sleeps);
    assert_eq!(metrics().timers, 0);
}

#[corering::test]
async fn the_end_of_time_never_comes() {
    let mut forever = sleep(Duration::MAX);
    assert_eq!(forever.deadline(), None);
    assert!(!is_ready(&mut forever).await);
    sleep(SHORT).await;
    assert!(!is_ready(&mut forever).await);
    assert_eq!(timeout(Duration::MAX, async { 7 }).await, Ok(7));
}

#[corering::test]
async fn the_farthest_moment_of_the_clock_is_far_and_no_error() {
    let mut reach = Duration::from_secs(1);
    while now().checked_add(reach * 2).is_some() {
        reach *= 2;
    }
    let mut far = sleep_until(now() + reach);
    assert!(!is_ready(&mut far).await);
    sleep(SHORT).await;
    assert!(!is_ready(&mut far).await);
}

#[corering::test]
async fn a_sleep_of_zero_lets_the_other_tasks_run() {
    let done = Rc::new(Cell::new(false));
    let other = spawn({
        let done = done.clone();
        async move {
            yield_now().await;
            done.set(true);
        }
    });
    while !done.get() {
        sleep(Duration::ZERO).await;
    }
    other.await.expect("the task ends");
}

#[corering::test]
async fn a_sleep_can_be_set_anew_before_and_after_its_end() {
    let mut sleep = sleep(LONG);
    assert!(!is_ready(&mut sleep).await);
    sleep.reset(now() + SHORT);
    (&mut sleep).await;
    assert!(sleep.is_elapsed() && is_ready(&mut sleep).await);
    sleep.reset(now() + SHORT);
    assert!(!sleep.is_elapsed());
    (&mut sleep).await;
    assert_eq!(metrics().timers, 0);
}

#[corering::test]
async fn the_task_that_polled_last_is_woken() {
    let mut moved = sleep(SHORT);
    assert!(!is_ready(&mut moved).await);
    spawn(moved).await.expect("the sleep ends in the task that has it now");
}

#[corering::test]
async fn a_million_sleeping_timers_are_fine() {
    const COUNT: u64 = 1_000_000;
    let begin = now();
    let mut sleeps: Vec<Sleep> = (0..COUNT)
        .map(|n| sleep_until(begin + LONG + Duration::from_micros(n * 37 % 9973)))
        .collect();
    let armed = poll_fn(|cx| {
        Poll::Ready(sleeps.iter_mut().all(|sleep| Pin::new(sleep).poll(cx).is_pending()))
    })
    .await;
    assert!(armed);
    assert_eq!(metrics().timers, COUNT);
    // The shard goes on beside them.
    sleep(SHORT).await;
    // And all of them fire.
    for sleep in &mut sleeps {
        sleep.reset(begin);
    }
    assert_eq!(metrics().timers, 0);
    let armed = poll_fn(|cx| {
        Poll::Ready(sleeps.iter_mut().all(|sleep| Pin::new(sleep).poll(cx).is_pending()))
    })
    .await;
    assert!(armed);
    for sleep in &mut sleeps {
        sleep.await;
    }
    assert_eq!(metrics().timers, 0);
}

#[corering::test]
async fn a_timeout_drops_what_was_not_in_time() {
    struct Noticed(Rc<Cell<bool>>);
    impl Drop for Noticed {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let noticed = Noticed(dropped.clone());
    let slow = async move {
        let _noticed = noticed;
        pending::<()>().await;
    };
    assert_eq!(timeout(SHORT, slow).await, Err(Elapsed));
    assert!(dropped.get());
    assert_eq!(metrics().timers, 0);
}

#[corering::test]
async fn dropped_limit_keeps_no_waker() {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let task = Arc::new(Task);
    let waker = Waker::from(task.clone());
    let mut cx = Context::from_waker(&waker);
    for limit in [SHORT, LONG] {
        let mut limited = Box::pin(timeout(limit, pending::<()>()));
        assert!(limited.as_mut().poll(&mut cx).is_pending());
        assert_eq!(Arc::strong_count(&task), 3);
        drop(limited);
        assert_eq!(Arc::strong_count(&task), 2);
    }
}

#[corering::test]
async fn future_that_is_ready_at_once_arms_no_timer() {
    let armed = timeout(LONG, async { metrics().timers });
    assert_eq!(armed.await, Ok(0));
    let mut limited = Box::pin(timeout(LONG, yield_now()));
    let first = poll_fn(|cx| Poll::Ready(limited.as_mut().poll(cx))).await;
    assert_eq!((first, metrics().timers), (Poll::Pending, 1));
}

#[corering::test]
async fn read_that_outlives_its_limits_goes_on_where_it_was() -> io::Result<()> {
    let (mut reader, mut writer) = UnixStream::pair()?;
    let mut read = reader.read_exact(Vec::with_capacity(12), 12);
    for part in 0..5 {
        assert_eq!(timeout(SHORT, &mut read).await.map(drop), Err(Elapsed));
        writer.write_all(vec![part; 2]).await?;
    }
    writer.write_all(vec![5; 2]).await?;
    assert_eq!(read.await?, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    Ok(())
}

#[corering::test]
async fn a_timeout_that_is_not_needed_leaves_no_timer() {
    let quick = async {
        yield_now().await;
        "in time"
    };
    assert_eq!(timeout(LONG, quick).await, Ok("in time"));
    assert_eq!(timeout_at(now() + LONG, async { 1 }).await, Ok(1));
    assert_eq!(metrics().timers, 0);
}

#[corering::test]
async fn a_future_that_is_ready_wins_over_a_limit_that_is_over() {
    assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1));
    assert_eq!(timeout_at(now(), pending::<()>()).await, Err(Elapsed));
}

#[corering::test]
async fn an_elapsed_limit_is_an_io_error_of_its_kind() {
    let elapsed = timeout(Duration::ZERO, pending::<()>()).await.expect_err("it never ends");
    assert_eq!(elapsed.to_string(), "the time limit was reached");
    assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
}

#[corering::test]
async fn limit_is_moved_between_the_polls_of_its_future() {
    let (end, ended) = crate::sync::oneshot::channel::<()>();
    let mut limited = Box::pin(timeout(Duration::ZERO, ended));
    assert!(poll!(limited.as_mut()).is_pending());
    let later = now() + LONG;
    limited.as_mut().reschedule(later);
    assert_eq!((limited.deadline(), metrics().timers), (Some(later), 0));
    sleep(SHORT).await;
    assert!(poll!(limited.as_mut()).is_pending() && !limited.is_expired());
    // Nearer, and past.
    limited.as_mut().reschedule(now());
    assert_eq!(limited.as_mut().await, Err(Elapsed));
    assert!(limited.is_expired());
    assert_eq!(limited.as_mut().await, Err(Elapsed));
    // The future stands where it was.
    limited.as_mut().reschedule(None);
    assert!(!limited.is_expired() && limited.deadline().is_none());
    assert!(poll!(limited.as_mut()).is_pending());
    end.send(()).expect("it is awaited");
    assert_eq!(limited.await, Ok(Ok(())));
    assert_eq!(metrics().timers, 0);
}

#[corering::test]
async fn body_moves_its_own_limit() {
    let begin = now();
    let ended = timeout_with(begin + SHORT, async |limit| {
        assert_eq!(limit.deadline(), Some(begin + SHORT));
        limit.reschedule(begin + LONG);
        sleep(2 * SHORT).await;
        limit.reschedule(None);
        sleep(SHORT).await;
        assert_eq!(limit.deadline(), None);
        "in its own time"
    });
    assert_eq!(ended.await, Ok("in its own time"));
    let mut steps = 0;
    let ended = timeout_with(None, async |limit| {
        steps += 1;
        yield_now().await;
        assert_eq!(metrics().timers, 0, "no limit needs no timer");
        limit.reschedule(now() + SHORT);
        yield_now().await;
        steps += 1;
        pending::<()>().await;
    });
    assert_eq!(ended.await, Err(Elapsed));
    assert_eq!((steps, metrics().timers), (2, 0));
}

#[corering::test]
async fn body_that_ends_wins_over_a_limit_it_has_moved_to_the_past() {
    let ended = timeout_with(None, async |limit| {
        limit.reschedule(now());
        1
    });
    assert_eq!(ended.await, Ok(1));
}

#[corering::test]
async fn ticks_come_at_their_moments() {
    let begin = now();
    let mut beat = interval_at(begin + SHORT, SHORT);
    for n in 1..=5 {
        let due = beat.tick().await;
        assert_eq!(due, begin + n * SHORT);
        assert!(now() >= due);
    }
}

#[corering::test]
async fn ticks_that_nobody_waited_for_come_in_a_burst() {
    let mut beat = interval(SHORT);
    let first = beat.tick().await;
    sleep(10 * SHORT).await;
    for n in 1..=10 {
        assert_eq!(beat.tick().await, first + n * SHORT);
    }
}

#[corering::test]
async fn next_tick_can_be_moved_and_the_beat_with_it() {
    let mut beat = interval(LONG);
    let first = beat.tick().await;
    beat.reset_immediately();
    let second = beat.tick().await;
    assert!(second >= first && second < first + LONG);
    beat.reset_after(SHORT);
    let third = beat.tick().await;
    assert!(third >= second + SHORT && third < second + LONG);
    beat.reset_at(third + SHORT);
    assert_eq!(beat.tick().await, third + SHORT);
    assert!(poll!(pin!(beat.tick())).is_pending());
    assert_eq!(metrics().timers, 1);
    beat.reset();
    assert_eq!(metrics().timers, 0);
    // What is past comes now, and what follows it has been missed.
    beat.reset_at(first - LONG);
    assert_eq!([beat.tick().await, beat.tick().await], [first - LONG, first]);
    beat.reset_after(Duration::MAX);
    assert!(poll!(pin!(beat.tick())).is_pending());
    assert_eq!(metrics().timers, 0);
}

#[corering::test]
async fn a_tick_whose_future_was_dropped_is_not_lost() {
    let mut beat = interval(SHORT);
    let mut last = beat.tick().await;
    // A slow machine may come so late that the next one is due already.
    while let Ok(tick) = timeout(Duration::ZERO, beat.tick()).await {
        last = tick;
    }
    assert_eq!(beat.tick().await, last + SHORT);
}

#[test]
fn a_timer_outside_a_runtime_says_so() {
    let mut sleep = pin!(sleep(SHORT));
    let mut cx = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| sleep.as_mut().poll(&mut cx)));
    let payload = polled.expect_err("there is no wheel to put it on");
    let message = payload.downcast_ref::<String>().expect("the message is formatted");
    assert!(message.contains("no corering runtime on this thread"), "{message}");
}

#[test]
fn a_sleep_moves_from_one_runtime_to_another_and_outlives_both() {
    let build = || Runtime::builder().driver(Driver::Epoll).build().expect("epoll is everywhere");
    let (one, other) = (build(), build());
    let mut moved = sleep(SHORT);
    assert!(!one.block_on(is_ready(&mut moved)));
    assert_eq!(one.metrics().timers, 1);
    other.block_on(&mut moved);
    assert_eq!((one.metrics().timers, other.metrics().timers), (0, 0));
    moved.reset(now() + LONG);
    assert!(!one.block_on(is_ready(&mut moved)));
    drop((one, other));
    drop(moved);
}
