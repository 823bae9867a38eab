//! Every byte comes back. A connection that breaks ends its own task and nothing else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Shop;

pub(super) async fn connection<S>(mut stream: S, shop: &'static Shop)
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut buffer = vec![0; shop.stage.arguments.size.clamp(2 * 1024, 128 * 1024)];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        shop.work.echoes(count);
        if stream.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}
