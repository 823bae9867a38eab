//! Fetching by hyper's client: what `http_client` and `page_load` share.

use std::error::Error;
use std::future::Future;
use std::iter::successors;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use corering::compat::{HyperConnector, HyperExecutor, HyperTimer};
use corering::time::timeout;
use corering::{Driver, Runtime};
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::USER_AGENT;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy;
use tower::ServiceExt;
use tower_http::follow_redirect::{FollowRedirect, RequestUri};
use url::Url;

/// Bytes of an answer that are taken, so that no server fills the memory.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long one URL may take, with all its redirects.
const TIME_MAX: Duration = Duration::from_secs(30);

/// A client that follows redirects, and keeps connections for the next request.
#[derive(Clone, Debug)]
pub struct Client {
    service: FollowRedirect<legacy::Client<HyperConnector, Empty<Bytes>>>,
}

/// What came, and from where: a redirect may have led elsewhere.
#[derive(Debug)]
pub struct Answer {
    /// Of the last server.
    pub status: StatusCode,
    /// That of the last request.
    pub url: String,
    /// All of it.
    pub body: Bytes,
}

impl Client {
    /// A client of HTTP/1.1; or of HTTP/2, if all servers are known to speak it.
    pub fn new(http2: bool) -> Self {
        let mut builder = legacy::Client::builder(HyperExecutor);
        builder.timer(HyperTimer).pool_timer(HyperTimer).http2_only(http2);
        Client { service: FollowRedirect::new(builder.build(HyperConnector)) }
    }

    /// Fetches a URL, or says why that failed.
    pub async fn fetch(&self, url: &Url) -> Result<Answer, String> {
        match timeout(TIME_MAX, self.request(url)).await {
            Ok(answer) => answer.map_err(|error| format!("{url}: {}", with_causes(&*error))),
            Err(_) => Err(format!("{url}: no answer within {} s", TIME_MAX.as_secs())),
        }
    }

    async fn request(&self, url: &Url) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let request = Request::get(url.as_str()).header(USER_AGENT, "corering-examples");
        let request = request.body(Empty::new())?;
        let answer = match self.service.clone().oneshot(request.clone()).await {
            // A server may close a connection that was kept just as the next request comes by it.
            Err(error) if !error.is_connect() => self.service.clone().oneshot(request).await?,
            answer => answer?,
        };
        let status = answer.status();
        let last = answer.extensions().get::<RequestUri>().map(|RequestUri(uri)| uri.to_string());
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
        Ok(Answer { status, url: last.unwrap_or_else(|| url.to_string()), body })
    }
}

/// An error and what has led to it, each of which hyper tells by itself.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let all = successors(Some(error), |&error| error.source()).map(ToString::to_string);
    all.collect::<Vec<_>>().join(": ")
}

/// A URL that can be fetched here: there is no TLS.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("\"{text}\" is no URL: {error}"))?;
    match url.scheme() {
        "http" => Ok(url),
        _ => Err(format!("\"{text}\" does not begin with http://")),
    }
}

/// Runs the main future of a program until it ends or a signal comes, and tells of its error.
pub fn run_until_signal(
    program: &str,
    driver: Driver,
    main: impl Future<Output = Result<(), String>>,
) -> ExitCode {
    let until_signal = async {
        match select(pin!(main), pin!(corering::signal::shutdown())).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((signal, _)) => signal.map_err(|error| error.to_string()),
        }
    };
    let runtime = Runtime::builder().driver(driver).build().map_err(|error| error.to_string());
    match runtime.and_then(|runtime| runtime.block_on(until_signal)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{program}: {message}");
            ExitCode::FAILURE
        }
    }
}
