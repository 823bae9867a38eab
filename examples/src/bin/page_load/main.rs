//! Fetches a page and its images, at once and one after the other: the reason asynchronous I/O exists.

mod demo;
mod html;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use corering::Driver;
use corering_examples::client::{Client, parse_url, run_until_signal};
use futures_util::future::join_all;
use hyper::StatusCode;
use hyper::body::Bytes;
use url::Url;

/// Fetches a page and its images, one after the other and then all at once, and prints both times.
///
/// Only http:// is spoken. Redirects are followed, and connections are used again where servers keep
/// them. An image that cannot be fetched is named, and the status is then 1.
#[derive(Debug, Parser)]
struct Arguments {
    /// The page to fetch, such as http://localhost:8080/.
    #[arg(long, required_unless_present = "demo", conflicts_with = "demo")]
    #[arg(value_parser = parse_url)]
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
    run_until_signal("page_load", arguments.driver, run(arguments.url))
}

async fn run(url: Option<Url>) -> Result<(), String> {
    let page_url = match url {
        Some(url) => url,
        None => demo::start().await.map_err(|error| format!("the demo cannot start: {error}"))?,
    };
    let client = Client::new(false);
    let page = fetch(&client, &page_url).await?;
    let sources = html::image_sources(&String::from_utf8_lossy(&page));
    let mut images = Vec::new();
    for source in &sources {
        let image = page_url.join(source.trim()).map_err(|error| error.to_string());
        match image.and_then(|image| parse_url(image.as_str())) {
            Ok(image) => images.push(image),
            Err(error) => println!("skipped an image: {error}"),
        }
    }
    println!("{page_url} has {} images", images.len());

    let started = Instant::now();
    let mut one_by_one = Vec::new();
    for image in &images {
        one_by_one.push(fetch(&client, image).await);
    }
    report("one after the other", &one_by_one, started.elapsed());

    let started = Instant::now();
    let at_once = join_all(images.iter().map(|image| fetch(&client, image))).await;
    report("all at once", &at_once, started.elapsed());

    match one_by_one.into_iter().chain(at_once).find_map(Result::err) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// Fetches what has to be there.
async fn fetch(client: &Client, url: &Url) -> Result<Bytes, String> {
    let answer = client.fetch(url).await?;
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        status => Err(format!("{url}: the server answers with status {status}")),
    }
}

fn report(how: &str, images: &[Result<Bytes, String>], elapsed: Duration) {
    let bytes: usize = images.iter().flatten().map(Bytes::len).sum();
    let millis = elapsed.as_millis();
    println!("{how}: {} images, {bytes} bytes, {millis} ms", images.iter().flatten().count());
}
