//! Plain TCP connections that are read: messages of one size, which begin with their
//! number.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use kya_envoy::unix_ms;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::arrivals::Arrivals;
use super::crowd::{Crowd, Turn};
use super::{Said, say, stdin};

/// Bytes of the number, little-endian.
pub(super) const NUMBER: usize = 8;

/// Options of `xtask simulate readers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the writer listens.
    #[arg(long)]
    address: String,
    /// How many connections.
    #[arg(long)]
    count: usize,
    /// How long its messages are.
    #[arg(long)]
    bytes: usize,
}

pub(super) fn run(options: &Options) -> Result<()> {
    stdin::until_the_end(options.count, async {
        let messages = Arc::new(Arrivals::of(options.count));
        let mut crowd = Crowd::of(options.count);
        for _ in 0..options.count {
            let (address, bytes) = (options.address.clone(), options.bytes);
            let messages = Arc::clone(&messages);
            crowd.join(move |turn| async move { read(&address, bytes, turn, &messages).await });
        }
        crowd.stay().await
    })
}

/// Reads messages for ever.
async fn read(address: &str, bytes: usize, turn: Turn, messages: &Arrivals) -> Result<()> {
    let mut tcp = TcpStream::connect(address).await.context("cannot connect")?;
    tcp.set_nodelay(true)?;
    turn.is_there();
    let mut message = vec![0; bytes];
    loop {
        tcp.read_exact(&mut message).await.context("the writer is gone")?;
        let number = message.first_chunk::<NUMBER>().context("messages are too short")?;
        if let Some(arrived) = messages.note(u64::from_le_bytes(*number), bytes, unix_ms()) {
            say(&Said::Message(arrived));
        }
    }
}
