//! Fetches pages by `reqwest`, which needs tokio's runtime, in tasks of corering's.

use std::process::ExitCode;

use clap::Parser;
use corering::compat::tokio::Guest;
use corering::{Driver, Runtime};
use futures_util::stream::{self, StreamExt};
use reqwest::{Client, Url};

/// Fetches pages by reqwest, several at a time, and prints a line for each as it ends.
///
/// reqwest needs tokio's runtime, which is a guest here. Only http:// is spoken: this reqwest is built
/// without TLS. A page that cannot be fetched is named, and the status is then 1.
#[derive(Parser)]
struct Arguments {
    /// The pages to fetch, such as http://localhost:8080/.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<Url>,

    /// How many are fetched at a time.
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,

    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("guest_reqwest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many pages could not be fetched.
fn run(arguments: Arguments) -> std::io::Result<usize> {
    let guest = Guest::new()?;
    // Around the runtime, so that all its tasks may use tokio, to their ends.
    let _tokio = guest.enter();
    let runtime = Runtime::builder().driver(arguments.driver).build()?;
    Ok(runtime.block_on(fetch_all(arguments.urls, arguments.parallel)))
}

async fn fetch_all(urls: Vec<Url>, parallel: u16) -> usize {
    let client = Client::new();
    let tasks = urls.into_iter().map(|url| {
        let client = client.clone();
        async move { corering::spawn(async move { report(&client, &url).await }).await }
    });
    let outcomes = stream::iter(tasks).buffer_unordered(parallel.into());
    outcomes.filter(|outcome| std::future::ready(!matches!(outcome, Ok(true)))).count().await
}

/// Prints what came of a page, and returns whether it was fetched.
async fn report(client: &Client, url: &Url) -> bool {
    match fetch(client, url).await {
        Ok(bytes) => println!("{url}: {bytes} bytes"),
        Err(error) => {
            eprintln!("{url}: {}", with_causes(&error.without_url()));
            return false;
        }
    }
    true
}

/// Returns how many bytes the page has. Only a piece of it is in memory at a time.
async fn fetch(client: &Client, url: &Url) -> reqwest::Result<usize> {
    let mut response = client.get(url.clone()).send().await?.error_for_status()?;
    let mut bytes = 0;
    while let Some(piece) = response.chunk().await? {
        bytes += piece.len();
    }
    Ok(bytes)
}

/// An error of reqwest's says what failed, and its causes say why.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
