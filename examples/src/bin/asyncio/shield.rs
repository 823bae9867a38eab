//! Protects a payment from the limit of the request that began it.

use std::rc::Rc;

use corering::sync::Notify;
use corering::task::JoinError;
use corering::time::{self, Duration};

async fn pay(confirmed: Rc<Notify>) {
    confirmed.notified().await;
    println!("paid");
}

#[corering::main]
pub(crate) async fn main() -> Result<(), JoinError> {
    let confirmed = Rc::new(Notify::new());
    // What is given up is the wait. A task goes on without its handle, too.
    let mut payment = corering::spawn(pay(confirmed.clone()));
    if time::timeout(Duration::from_millis(10), &mut payment).await.is_err() {
        println!("the request gave up");
    }
    confirmed.notify_one();
    payment.await
}
