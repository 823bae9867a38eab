//! One page by hyper.

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Shop;
use crate::server::hyper_page;

pub(super) fn connection(
    stream: TcpStream,
    shop: &'static Shop,
) -> impl Future<Output = hyper::Result<()>> {
    hyper_page::serve(TokioIo::new(stream), TokioTimer::new(), shop.stage.site.body, &shop.work)
}
