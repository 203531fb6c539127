//! One HTTP/1.1 connection that is kept, with at most one request at a time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

/// Longest answer that is taken.
const MOST_BYTES: usize = 64 * 1024;

/// A connection, and the request that is under way on it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
    /// From when the request under way counts.
    pub(super) since: Option<Instant>,
}

impl Connection {
    pub(super) fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096), since: None })
    }

    /// Sends a request that counts from `since`.
    pub(super) fn send(&mut self, request: &[u8], since: Instant) -> Result<()> {
        // A socket on which nothing is under way takes so little whole.
        let sent = self.stream.write(request).context("cannot send")?;
        ensure!(sent == request.len(), "only {sent} bytes of a request could be sent");
        self.since = Some(since);
        Ok(())
    }

    /// Reads what has come; the status, once the whole answer has.
    pub(super) fn receive(&mut self) -> Result<Option<u16>> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the connection was closed"),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some((status, length)) = whole(&self.received)? {
                ensure!(length == self.received.len(), "more than one answer to a request");
                self.received.clear();
                return Ok(Some(status));
            }
            ensure!(self.received.len() < MOST_BYTES, "an answer of more than {MOST_BYTES} bytes");
        }
    }
}

/// The status of an answer and how long it is, if it is there whole.
fn whole(received: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..end]).context("headers that are no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.with_context(|| format!("no answer of HTTP/1.1: {head}"))?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.with_context(|| format!("an answer without a length: {head}"))??;
    let all = end + 4 + length;
    Ok((received.len() >= all).then_some((status, all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nx: y\r\n\r\nno!";
        for end in 0..answer.len() {
            assert_eq!(whole(&answer[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(whole(answer).unwrap(), Some((403, answer.len())));
        // What follows is another one's.
        let more = [&answer[..], b"HTTP"].concat();
        assert_eq!(whole(&more).unwrap(), Some((403, answer.len())));
    }

    #[test]
    fn what_has_no_length_or_is_no_answer_is_refused() {
        assert!(whole(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(whole(b"hello\r\n\r\n").is_err());
    }
}
