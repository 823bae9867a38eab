//! Computes three factorials side by side, a step each in turn.

async fn factorial(name: &str, number: u64) -> u64 {
    let mut product = 1;
    for factor in 2..=number {
        println!("{name}: {product} times {factor}");
        corering::yield_now().await;
        product *= factor;
    }
    product
}

#[corering::main]
pub(crate) async fn main() {
    let (a, b, c) = corering::join!(factorial("A", 2), factorial("B", 3), factorial("C", 4));
    println!("{:?}", [a, b, c]);
}
