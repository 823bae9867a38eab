//! A value that stays with its thread although what holds it may go to others, and that finds the way
//! back when it is dropped there: what other libraries want to be `Send`.

use std::mem;
use std::sync::Arc;

use super::mailbox::Mailbox;
use super::thread_bound::ThreadBound;

/// A value that is reached, and dropped, on the thread that made it, and on no other.
///
/// Dropped elsewhere, it moves into a message of its shard's mailbox and is dropped at home. It is
/// leaked, and counted by [`leaked`](super::thread_bound::leaked), if it has no mailbox or that is
/// closed.
pub(crate) struct SentHome<T: 'static> {
    /// `None` once it was taken out.
    value: Option<ThreadBound<T>>,
    mailbox: Option<Arc<Mailbox>>,
}

impl<T> SentHome<T> {
    /// Binds a value to the calling thread, whose shard has this mailbox.
    pub(crate) fn new(value: T, mailbox: Option<Arc<Mailbox>>) -> Self {
        SentHome { value: Some(ThreadBound::new(value)), mailbox }
    }

    /// The value; `None` on another thread.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref()?.get()
    }

    /// The value; `None` on another thread.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.value.as_mut()?.get_mut()
    }

    /// Takes the value out; `None` on another thread, from where it goes home.
    pub(crate) fn into_inner(mut self) -> Option<T> {
        self.get()?;
        self.value.take()?.into_inner()
    }
}

impl<T> Drop for SentHome<T> {
    #[inline]
    fn drop(&mut self) {
        // At home it is dropped as any field is.
        if mem::needs_drop::<T>() && self.get().is_none() {
            self.send_home();
        }
    }
}

impl<T> SentHome<T> {
    #[cold]
    fn send_home(&mut self) {
        if let (Some(value), Some(mailbox)) = (self.value.take(), &self.mailbox) {
            // A message that is refused is dropped here, and leaks the value.
            let _ = mailbox.post_message(Box::new(move || drop(value)));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::rc::Rc;
    use std::thread;

    use super::*;
    use crate::util::thread_bound::leaked;

    fn elsewhere<R: Send>(then: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| scope.spawn(then).join().expect("it does not panic"))
    }

    #[test]
    fn value_that_is_dropped_elsewhere_is_dropped_at_home() {
        let mailbox = Mailbox::new().expect("a descriptor is free");
        let value = Rc::new(7);
        let sent = SentHome::new(Rc::clone(&value), Some(Arc::clone(&mailbox)));
        elsewhere(move || drop(sent));
        assert_eq!(Rc::strong_count(&value), 2, "its thread has not looked yet");
        let mut messages = Vec::new();
        mailbox.take_messages(&mut messages);
        messages.drain(..).for_each(|message| message());
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn value_that_no_mailbox_takes_is_leaked_and_counted() {
        let mailbox = Mailbox::new().expect("a descriptor is free");
        mailbox.close();
        let value = Rc::new(7);
        let sent = SentHome::new(Rc::clone(&value), Some(mailbox));
        let homeless = SentHome::new(Rc::clone(&value), None);
        let before = leaked();
        elsewhere(move || drop((sent, homeless)));
        assert_eq!(Rc::strong_count(&value), 3);
        assert!(leaked() >= before + 2);
    }

    #[test]
    fn value_is_dropped_at_home_without_a_message() {
        let mailbox = Mailbox::new().expect("a descriptor is free");
        let value = Rc::new(7);
        // There and back.
        let sent = SentHome::new(Rc::clone(&value), Some(Arc::clone(&mailbox)));
        drop(elsewhere(move || sent));
        assert_eq!(Rc::strong_count(&value), 1);
        let sent = SentHome::new(Rc::clone(&value), Some(Arc::clone(&mailbox)));
        assert_eq!(sent.into_inner(), Some(Rc::clone(&value)));
        assert_eq!(Rc::strong_count(&value), 1);
        let mut messages = Vec::new();
        mailbox.take_messages(&mut messages);
        assert!(messages.is_empty());
    }

    #[test]
    fn value_is_out_of_reach_elsewhere_and_goes_home() {
        let mailbox = Mailbox::new().expect("a descriptor is free");
        let value = Rc::new(7);
        let mut sent = SentHome::new(Rc::clone(&value), Some(Arc::clone(&mailbox)));
        assert_eq!(sent.get_mut(), Some(&mut Rc::clone(&value)));
        elsewhere(move || {
            assert!(sent.get().is_none() && sent.get_mut().is_none());
            assert!(sent.into_inner().is_none());
        });
        // Those that nobody has read are dropped by the owner, too.
        mailbox.close();
        assert_eq!(Rc::strong_count(&value), 1);
    }
}
