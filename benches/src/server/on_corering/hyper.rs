//! One page by hyper.

use corering::compat::{Hyper, HyperTimer};
use corering::net::TcpStream;

use super::Shop;
use crate::server::hyper_page;

pub(super) async fn connection(stream: TcpStream, shop: &'static Shop) {
    let (io, timer) = (Hyper::new(stream), HyperTimer);
    hyper_page::serve(io, timer, shop.stage.site.body, &shop.work).await;
}
