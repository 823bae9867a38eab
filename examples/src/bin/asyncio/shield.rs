//! Protects a payment from the limit of the request that began it.

use corering::task::JoinError;
use corering::time::{self, Duration};

async fn pay() {
    time::sleep(Duration::from_millis(50)).await;
    println!("paid");
}

#[corering::main]
pub(crate) async fn main() -> Result<(), JoinError> {
    // Dropping a handle, or what borrows it, does not end the task.
    let mut payment = corering::spawn(pay());
    if time::timeout(Duration::from_millis(10), &mut payment).await.is_err() {
        println!("the request gave up");
    }
    payment.await
}
