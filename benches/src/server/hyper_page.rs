//! The handler of the workload `hyper`, the same on every runtime: one page, kept alive, with a limit
//! in time for the head of each request, as servers that face a network have it.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, Timer, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

use super::counters::Work;

/// hyper's own choice, written down.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers every request of a connection by `body`.
///
/// What comes back is the task: an `async fn` around it would hold `io` twice. An error is the end of
/// the connection, whichever side caused it.
pub(super) fn serve<I, T>(
    io: I,
    timer: T,
    body: &'static [u8],
    work: &'static Work,
) -> impl Future<Output = hyper::Result<()>>
where
    I: Read + Write + Unpin,
    T: Timer + Send + Sync + 'static,
{
    let answer = move |_: Request<Incoming>| {
        work.requests(1);
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(body)))))
    };
    http1::Builder::new()
        .timer(timer)
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(io, service_fn(answer))
}
