//! Gives up on work that takes too long.

use corering::time::{self, Duration};

async fn for_ever() {
    time::sleep(Duration::from_secs(3600)).await;
    println!("never printed");
}

#[corering::main]
pub(crate) async fn main() {
    if time::timeout(Duration::from_millis(10), for_ever()).await.is_err() {
        println!("timed out");
    }
    let in_time = async {
        corering::yield_now().await;
        println!("in time");
    };
    time::timeout(Duration::from_secs(3600), in_time).await.expect("an hour is enough");
}
