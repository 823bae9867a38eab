//! Calls a function again and again, some time after the last call.

use corering::time::{self, Duration};

fn show(number: u32) -> bool {
    println!("call {number}");
    number == 3
}

#[corering::main]
pub(crate) async fn main() {
    let mut number = 1;
    while !show(number) {
        time::sleep(Duration::from_millis(10)).await;
        number += 1;
    }
}
