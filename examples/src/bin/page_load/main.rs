//! Fetches a page and its images, at once and one after the other: the reason asynchronous I/O exists.

mod demo;
mod fetch;
mod html;
mod response;
mod url;

use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use corering::{Driver, Runtime};
use futures_util::future::{Either, join_all, select};

use crate::fetch::fetch;
use crate::url::Url;

/// Fetches a page and its images, one after the other and then all at once, and prints both times.
///
/// Only http:// is spoken, and redirects are not followed. Each image is fetched over a connection
/// of its own. An image that cannot be fetched is named, and the status is then 1.
#[derive(Debug, Parser)]
struct Arguments {
    /// The page to fetch, such as http://localhost:8080/.
    #[arg(long, required_unless_present = "demo", conflicts_with = "demo")]
    url: Option<Url>,

    /// Fetches a page of its own: twelve images on three slow servers, all on loopback.
    #[arg(long)]
    demo: bool,

    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Runtime::builder()
        .driver(arguments.driver)
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(run_until_signal(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("page_load: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run_until_signal(arguments: Arguments) -> Result<(), String> {
    let stop = pin!(corering::signal::shutdown());
    match select(pin!(run(arguments)), stop).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((signal, _)) => signal.map_err(|error| error.to_string()),
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let page_url = match arguments.url {
        Some(url) => url,
        None => demo::start().await.map_err(|error| format!("the demo cannot start: {error}"))?,
    };
    let page = fetch(&page_url).await?;
    let sources = html::image_sources(&String::from_utf8_lossy(&page));
    let mut images = Vec::new();
    for source in &sources {
        match page_url.join(source) {
            Ok(image) => images.push(image),
            Err(error) => println!("skipped an image: {error}"),
        }
    }
    println!("{page_url} has {} images", images.len());

    let started = Instant::now();
    let mut one_by_one = Vec::new();
    for image in &images {
        one_by_one.push(fetch(image).await);
    }
    report("one after the other", &one_by_one, started.elapsed());

    let started = Instant::now();
    let at_once = join_all(images.iter().map(fetch)).await;
    report("all at once", &at_once, started.elapsed());

    match one_by_one.into_iter().chain(at_once).find_map(Result::err) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

fn report(how: &str, images: &[Result<Vec<u8>, String>], elapsed: Duration) {
    let bytes: usize = images.iter().flatten().map(Vec::len).sum();
    let millis = elapsed.as_millis();
    println!("{how}: {} images, {bytes} bytes, {millis} ms", images.iter().flatten().count());
}
