//! Connections that are subscribed to a channel of Redis.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use kya_envoy::unix_ms;

use super::arrivals::Arrivals;
use super::crowd::{Crowd, Turn};
use super::{Said, say, stdin};
use crate::resp::{Client, Value};

/// The channel.
pub(crate) const CHANNEL: &str = "kya";
/// Digits of the number at the beginning of each message.
const DIGITS: usize = 20;

/// Options of `xtask simulate subscribers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where Redis listens.
    #[arg(long)]
    redis: String,
    /// How many connections.
    #[arg(long)]
    count: usize,
}

pub(super) fn run(options: &Options) -> Result<()> {
    stdin::until_the_end(options.count, async {
        let messages = Arc::new(Arrivals::of(options.count));
        let mut crowd = Crowd::of(options.count);
        for _ in 0..options.count {
            let (redis, messages) = (options.redis.clone(), Arc::clone(&messages));
            crowd.join(move |turn| async move { subscribe(&redis, turn, &messages).await });
        }
        crowd.stay().await
    })
}

/// What is published as message number `id`, so that a subscriber is sent `bytes` bytes.
pub(crate) fn message(id: u64, bytes: usize) -> String {
    let number = format!("{id:0DIGITS$}");
    // It says how long it is, which may be a digit more or less.
    let pad = |length: usize| format!("{number:.<length$}");
    let fits = |length: &usize| pushed(&pad(*length)) <= bytes;
    let length = (DIGITS..=bytes).rev().find(fits).unwrap_or(DIGITS);
    pad(length)
}

/// How many bytes a subscriber is sent for this message.
pub(crate) fn pushed(message: &str) -> usize {
    crate::resp::command(&[b"message", CHANNEL.as_bytes(), message.as_bytes()]).len()
}

/// The number of a message.
fn number(message: &[u8]) -> Result<u64> {
    let digits = message.get(..DIGITS).context("the message is too short")?;
    Ok(std::str::from_utf8(digits)?.parse()?)
}

/// Hears messages for ever.
async fn subscribe(redis: &str, turn: Turn, messages: &Arrivals) -> Result<()> {
    let mut client = Client::connect(redis).await?;
    client.ask(&[b"SUBSCRIBE", CHANNEL.as_bytes()]).await?;
    turn.is_there();
    loop {
        let value = client.hear().await?;
        let at = unix_ms();
        let Value::Array(Some(parts)) = &value else { bail!("no message: {value:?}") };
        let [_, _, Value::Bulk(Some(message))] = &parts[..] else {
            bail!("no message: {value:?}");
        };
        if let Some(arrived) = messages.note(number(message)?, message.len(), at) {
            say(&Said::Message(arrived));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_as_many_bytes_as_are_wanted_and_says_its_number() {
        // Where the length gets a digit more, one byte is not to be had.
        for bytes in [100, 150, 190, 211, 1500] {
            let message = message(77, bytes);
            assert!((bytes - 1..=bytes).contains(&pushed(&message)), "{bytes}: {message}");
            assert_eq!(number(message.as_bytes()).unwrap(), 77);
        }
        assert_eq!(number(message(u64::MAX, 0).as_bytes()).unwrap(), u64::MAX);
        assert!(number(b"12").is_err());
    }
}
