//! A plain TCP connection that is read: messages of one size, which begin with
//! their number.

use anyhow::{Context as _, Result};
use kya_envoy::unix_ms;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Bytes of the number, little-endian.
pub(super) const NUMBER: usize = 8;

/// Reads messages of `bytes` for ever, and says the number of each and when it came.
pub(super) async fn follow(
    address: &str,
    bytes: usize,
    connected: impl FnOnce(),
    heard: impl Fn(u64, f64),
) -> Result<()> {
    let mut tcp = TcpStream::connect(address).await.context("cannot connect")?;
    tcp.set_nodelay(true)?;
    connected();
    let mut message = vec![0; bytes];
    loop {
        tcp.read_exact(&mut message).await.context("the writer is gone")?;
        let number = message.first_chunk::<NUMBER>().context("messages are too short")?;
        heard(u64::from_le_bytes(*number), unix_ms());
    }
}
