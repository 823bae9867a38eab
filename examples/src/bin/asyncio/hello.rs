//! Prints a word, sleeps, and prints another.

use corering::time::{self, Duration};

#[corering::main]
pub(crate) async fn main() {
    println!("hello");
    time::sleep(Duration::from_millis(10)).await;
    println!("world");
}
