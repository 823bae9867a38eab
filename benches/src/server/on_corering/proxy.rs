//! Every byte goes on to another server, and what that sends comes back.

use corering::io::copy_bidirectional;
use corering::net::TcpStream;

use super::Shop;

#[expect(clippy::manual_async_fn, reason = "such a one would hold the client's stream twice")]
pub(super) fn connection(mut client: TcpStream, shop: &'static Shop) -> impl Future<Output = ()> {
    async move {
        let to = shop.stage.arguments.to.expect("the options were checked");
        let Ok(mut server) = TcpStream::connect(to).await else { return };
        if server.set_nodelay(true).is_err() {
            return;
        }
        // Its messages are known at its end only.
        if let Ok((bytes, _)) = copy_bidirectional(&mut client, &mut server).await {
            shop.work.echoes(bytes as usize);
        }
    }
}
