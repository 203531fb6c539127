use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// More than the tests send. What is longer is not recorded to its end.
const MOST: usize = 4 << 20;
/// How long a replay waits for the proxy to say as much as it had said then.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a control plane has said on one connection, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Tape {
    /// Bytes that the proxy had said before, and then these.
    said: Vec<(u64, Vec<u8>)>,
    heard: u64,
    length: usize,
}

impl Tape {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// The proxy said something.
    pub(super) fn heard(&mut self, count: usize) {
        self.heard += count as u64;
    }

    /// The control plane said something.
    pub(super) fn record(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() <= MOST {
            self.length += bytes.len();
            self.said.push((self.heard, bytes.to_vec()));
        }
    }

    /// Says it again, to a proxy that expects something else, and then nothing
    /// more until the proxy closes the connection.
    pub(super) async fn play(self, mut proxy: TcpStream) -> io::Result<()> {
        proxy.set_nodelay(true)?;
        let mut buffer = vec![0; 16 * 1024];
        let mut heard = 0u64;
        for (before, bytes) in self.said {
            while heard < before {
                match timeout(PATIENCE, proxy.read(&mut buffer)).await {
                    Ok(count) => match count? {
                        0 => return Ok(()),
                        count => heard += count as u64,
                    },
                    // It says less this time.
                    Err(_) => break,
                }
            }
            proxy.write_all(&bytes).await?;
        }
        while proxy.read(&mut buffer).await? > 0 {}
        Ok(())
    }
}
