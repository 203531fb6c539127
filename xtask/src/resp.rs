//! What Redis is asked and what it says: RESP2, as far as the benchmarks need it.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const END: &[u8] = b"\r\n";
/// Arrays within arrays.
const DEEPEST: usize = 4;

/// One thing that Redis says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// `+OK`
    Simple(String),
    /// `-ERR …`
    Error(String),
    /// `:1`
    Integer(i64),
    /// A string of any bytes, or none.
    Bulk(Option<Bytes>),
    /// Several values, or none.
    Array(Option<Vec<Value>>),
}

/// A command and its arguments, as Redis reads them.
pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(*word);
        bytes.extend(END);
    }
    bytes
}

/// A connection to Redis.
#[derive(Debug)]
pub(crate) struct Client {
    tcp: TcpStream,
    buffer: BytesMut,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let tcp = TcpStream::connect(address).await.context("cannot connect to Redis")?;
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, buffer: BytesMut::new() })
    }

    /// Asks, and does not wait for the answer.
    pub(crate) async fn send(&mut self, words: &[&[u8]]) -> Result<()> {
        self.tcp.write_all(&command(words)).await.context("Redis is gone")
    }

    /// What Redis says next. That it refuses is an error.
    pub(crate) async fn hear(&mut self) -> Result<Value> {
        loop {
            match next_value(&mut self.buffer)? {
                Some(Value::Error(why)) => bail!("Redis said: {why}"),
                Some(value) => return Ok(value),
                None => {
                    let read = self.tcp.read_buf(&mut self.buffer).await?;
                    ensure!(read > 0, "Redis closed the connection");
                }
            }
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&mut self, words: &[&[u8]]) -> Result<Value> {
        self.send(words).await?;
        self.hear().await
    }
}

/// Takes a whole value out of what has come.
fn next_value(buffer: &mut BytesMut) -> Result<Option<Value>> {
    let Some((value, rest)) = parse(buffer, DEEPEST)? else { return Ok(None) };
    let length = buffer.len() - rest.len();
    buffer.advance(length);
    Ok(Some(value))
}

/// The first value, and what comes after it; nothing if it is not whole.
fn parse(bytes: &[u8], depth: usize) -> Result<Option<(Value, &[u8])>> {
    let Some((line, rest)) = split_line(bytes) else { return Ok(None) };
    let (kind, text) = line.split_at_checked(1).context("an empty line")?;
    let text = std::str::from_utf8(text).context("a line that is no text")?;
    let number = || text.parse::<i64>().with_context(|| format!("no number: {text}"));
    let value = match kind {
        b"+" => Value::Simple(text.to_owned()),
        b"-" => Value::Error(text.to_owned()),
        b":" => Value::Integer(number()?),
        b"$" => match usize::try_from(number()?) {
            Ok(length) => {
                let Some((content, rest)) = rest.split_at_checked(length) else { return Ok(None) };
                let Some((end, rest)) = rest.split_at_checked(END.len()) else { return Ok(None) };
                ensure!(end == END, "a string that is longer than it says");
                let content = Bytes::copy_from_slice(content);
                return Ok(Some((Value::Bulk(Some(content)), rest)));
            }
            Err(_) => Value::Bulk(None),
        },
        b"*" => match usize::try_from(number()?) {
            Ok(length) => {
                let depth = depth.checked_sub(1).context("arrays within arrays within arrays")?;
                let (mut values, mut rest) = (Vec::new(), rest);
                for _ in 0..length {
                    let Some((value, after)) = parse(rest, depth)? else { return Ok(None) };
                    values.push(value);
                    rest = after;
                }
                return Ok(Some((Value::Array(Some(values)), rest)));
            }
            Err(_) => Value::Array(None),
        },
        _ => bail!("Redis said what is no RESP2: {}", String::from_utf8_lossy(line)),
    };
    Ok(Some((value, rest)))
}

/// What stands before the first end of a line, and what after it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(END.len()).position(|two| two == END)?;
    let (line, rest) = bytes.split_at_checked(at)?;
    Some((line, rest.get(END.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &'static str) -> Value {
        Value::Bulk(Some(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn values_are_taken_out_whole_however_they_arrive() {
        let said = b"*3\r\n$7\r\nmessage\r\n$3\r\nkya\r\n$4\r\na\r\nb\r\n:42\r\n+OK\r\n-ERR no\r\n$-1\r\n*-1\r\n$0\r\n\r\n";
        let expected = [
            Value::Array(Some(vec![bulk("message"), bulk("kya"), bulk("a\r\nb")])),
            Value::Integer(42),
            Value::Simple("OK".to_owned()),
            Value::Error("ERR no".to_owned()),
            Value::Bulk(None),
            Value::Array(None),
            bulk(""),
        ];
        for step in [1, 2, 7, said.len()] {
            let (mut buffer, mut taken) = (BytesMut::new(), Vec::new());
            for piece in said.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(value) = next_value(&mut buffer).unwrap() {
                    taken.push(value);
                }
            }
            assert_eq!(taken, expected, "in steps of {step}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn what_is_no_resp_is_an_error() {
        for bad in ["HTTP/1.1 200 OK\r\n", ":x\r\n", "\r\n", "$2\r\nabc\r\n"] {
            assert!(next_value(&mut BytesMut::from(bad)).is_err(), "{bad:?}");
        }
        let deep = "*1\r\n".repeat(100);
        assert!(next_value(&mut BytesMut::from(&*deep)).is_err(), "a stack has an end");
    }

    #[test]
    fn a_command_is_read_as_an_array_of_strings() {
        let mut sent = BytesMut::from(&command(&[b"SET", b"key", b"a value\r\n"])[..]);
        let words = vec![bulk("SET"), bulk("key"), bulk("a value\r\n")];
        assert_eq!(next_value(&mut sent).unwrap(), Some(Value::Array(Some(words))));
    }

    #[tokio::test]
    async fn a_refusal_is_an_error_that_says_why() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut client = Client::connect(&address).await.unwrap();
        let (mut redis, _) = listener.accept().await.unwrap();
        redis.write_all(b":1\r\n-ERR max number of clients reached\r\n").await.unwrap();
        assert_eq!(client.ask(&[b"PING"]).await.unwrap(), Value::Integer(1));
        let error = client.hear().await.unwrap_err().to_string();
        assert!(error.contains("max number of clients reached"), "{error}");
        drop(redis);
        assert!(client.hear().await.is_err());
    }
}
