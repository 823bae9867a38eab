//! One page by hyper.

use corering::compat::{Hyper, HyperTimer};
use corering::net::TcpStream;

use super::Shop;
use crate::server::hyper_page;

pub(super) fn connection(
    stream: TcpStream,
    shop: &'static Shop,
) -> impl Future<Output = hyper::Result<()>> {
    hyper_page::serve(Hyper::new(stream), HyperTimer, shop.stage.site.body, &shop.work)
}
