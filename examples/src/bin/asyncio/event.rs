//! Lets a task wait until an event is set.

use std::cell::Cell;
use std::rc::Rc;

use corering::sync::Notify;
use corering::task::JoinError;
use corering::time::{self, Duration};

#[derive(Default)]
struct Event {
    set: Cell<bool>,
    changed: Notify,
}

impl Event {
    fn set(&self) {
        self.set.set(true);
        self.changed.notify_waiters();
    }

    async fn wait(&self) {
        while !self.set.get() {
            self.changed.notified().await;
        }
    }
}

async fn waiter(event: Rc<Event>) {
    println!("waiting");
    event.wait().await;
    println!("the event is set");
}

#[corering::main]
pub(crate) async fn main() -> Result<(), JoinError> {
    let event = Rc::new(Event::default());
    let task = corering::spawn(waiter(event.clone()));
    time::sleep(Duration::from_millis(10)).await;
    println!("setting");
    event.set();
    task.await
}
