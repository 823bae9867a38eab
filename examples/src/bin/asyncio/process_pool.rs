//! Counts primes in processes of their own, two at a time.

use std::io;
use std::ops::Range;

use corering::process::{Functions, Pool, functions};
use futures_util::future::try_join_all;

const FUNCTIONS: Functions = functions![primes];

fn primes(numbers: Range<u32>) -> usize {
    numbers.filter(|n| *n > 1 && (2..*n).all(|divisor| n % divisor != 0)).count()
}

#[corering::main(worker = FUNCTIONS)]
pub(crate) async fn main() -> io::Result<()> {
    let pool = Pool::builder(FUNCTIONS).workers(2).build()?;
    let parts = [0..1000, 1000..2000, 2000..3000];
    let calls = parts.iter().map(|part| pool.call(primes, part.clone()));
    let counts = try_join_all(calls).await?;
    for (part, count) in parts.iter().zip(counts) {
        println!("{count} primes from {} to {}", part.start, part.end);
    }
    pool.shutdown().await;
    Ok(())
}
