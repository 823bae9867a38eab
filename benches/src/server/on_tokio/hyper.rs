//! One page by hyper.

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Shop;
use crate::server::hyper_page;

pub(super) async fn connection(stream: TcpStream, shop: &'static Shop) {
    let (io, timer) = (TokioIo::new(stream), TokioTimer::new());
    hyper_page::serve(io, timer, shop.stage.site.body, &shop.work).await;
}
