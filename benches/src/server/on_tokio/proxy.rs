//! Every byte goes on to another server, and what that sends comes back, by tokio's own copy, with its
//! own choice of buffers: 8 KiB for each direction.

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use super::Shop;

#[expect(clippy::manual_async_fn, reason = "such a one would hold the client's stream twice")]
pub(super) fn connection(
    mut client: TcpStream,
    shop: &'static Shop,
) -> impl Future<Output = ()> + Send {
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
