//! The floor of a fan-out: the same bytes, written to one socket after the other.

use std::io::{BufRead as _, Write as _};
use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use kya_envoy::unix_ms;

use super::readers::NUMBER;
use super::{Said, say};
use crate::file_limit;

/// Options of `xtask simulate writer`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many connections will be made.
    #[arg(long)]
    count: usize,
    /// How long each message is.
    #[arg(long)]
    bytes: usize,
}

/// Writes a message to every connection at each line of stdin, which is its number.
pub(super) fn run(options: &Options) -> Result<()> {
    ensure!(options.bytes >= NUMBER, "a message has at least {NUMBER} bytes");
    file_limit::make_room(options.count)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say(&Said::Listens { address: listener.local_addr()?.to_string() });
    let mut sockets = Vec::new();
    while sockets.len() < options.count {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    let mut message = vec![0; options.bytes];
    for line in std::io::stdin().lock().lines() {
        let id: u64 = line?.trim().parse().context("a line is the number of a message")?;
        if let Some(number) = message.first_chunk_mut::<NUMBER>() {
            *number = id.to_le_bytes();
        }
        let began = unix_ms();
        for socket in &mut sockets {
            socket.write_all(&message)?;
        }
        say(&Said::Began { id, unix_ms: began });
    }
    Ok(())
}
