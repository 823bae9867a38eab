//! Fetches URLs by hyper's client, over connections that are kept.

use std::process::ExitCode;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use corering::Driver;
use corering_examples::client::{Client, parse_url, run_until_signal};
use futures_util::stream::{self, StreamExt};
use url::Url;

/// Fetches URLs, some at a time, and prints of each its status, how many bytes came, and from where.
///
/// Only http:// is spoken. Redirects are followed, and a connection is used again for the next URL of
/// its server. A URL that cannot be fetched is named, and the status is then 1.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to fetch, such as http://localhost:8080/.
    #[arg(required = true, value_name = "URL", value_parser = parse_url)]
    urls: Vec<Url>,

    /// How many URLs are fetched at a time.
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    parallel: usize,

    /// Speaks HTTP/2 from the beginning, to servers that are known to understand it.
    #[arg(long)]
    http2: bool,

    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_until_signal("http_client", arguments.driver, run(&arguments))
}

async fn run(Arguments { urls, parallel, http2, .. }: &Arguments) -> Result<(), String> {
    let client = Client::new(*http2);
    let mut answers = stream::iter(urls).map(|url| client.fetch(url)).buffered(*parallel);
    let mut failed = Ok(());
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => {
                println!("{} {} {}", answer.status.as_u16(), answer.body.len(), answer.url)
            }
            Err(error) => {
                println!("{error}");
                failed = Err("not all URLs could be fetched".to_owned());
            }
        }
    }
    failed
}
