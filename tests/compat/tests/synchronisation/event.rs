//! asyncio's `Event`.

use std::cell::Cell;

use corering::sync::Notify;

/// Set or not. Tasks of a shard share it by an `Rc`, and wait until it is set.
#[derive(Debug, Default)]
struct Event {
    is_set: Cell<bool>,
    change: Notify,
}

impl Event {
    fn set(&self) {
        self.is_set.set(true);
        self.change.notify_waiters();
    }

    fn clear(&self) {
        self.is_set.set(false);
    }

    fn is_set(&self) -> bool {
        self.is_set.get()
    }

    async fn wait(&self) {
        if !self.is_set() {
            self.change.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::rc::Rc;

    use corering::task::JoinSet;
    use corering::{spawn, yield_now};
    use futures_util::poll;

    use super::Event;

    #[corering::test]
    async fn event_lets_all_that_wait_pass() {
        let event = Rc::new(Event::default());
        let mut waiting = JoinSet::new();
        for _ in 0..100 {
            let event = event.clone();
            waiting.spawn(async move { event.wait().await });
        }
        yield_now().await;
        assert!(!event.is_set());
        event.set();
        while let Some(waited) = waiting.join_next().await {
            waited.expect("it does not panic");
        }
        assert!(event.is_set());
        event.wait().await;
    }

    #[corering::test]
    async fn event_that_was_set_and_cleared_lets_pass_who_waited() {
        let event = Event::default();
        let mut early = pin!(event.wait());
        assert!(poll!(early.as_mut()).is_pending());
        event.set();
        event.clear();
        assert!(poll!(early.as_mut()).is_ready());
        let mut late = pin!(event.wait());
        assert!(poll!(late.as_mut()).is_pending());
    }

    #[corering::test]
    async fn dropped_waits_for_an_event_leave_the_others() {
        let event = Rc::new(Event::default());
        let aborted = spawn({
            let event = event.clone();
            async move { event.wait().await }
        });
        let kept = spawn({
            let event = event.clone();
            async move { event.wait().await }
        });
        yield_now().await;
        {
            let mut dropped = pin!(event.wait());
            assert!(poll!(dropped.as_mut()).is_pending());
        }
        event.set();
        // It was called already.
        aborted.abort();
        assert!(aborted.await.is_err());
        kept.await.expect("it is not aborted");
        assert_eq!(Rc::strong_count(&event), 1);
    }
}
