use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::frames::Frames;
use super::{Fault, Shared, Towards};

const CHUNK: usize = 16 * 1024;
/// A slow wire moves a little this often.
const SLICES_PER_SECOND: u64 = 20;

/// Carries bytes both ways until one end closes, or a fault ends it.
pub(super) async fn relay(proxy: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect(shared.server).await?;
    proxy.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.seen().newest.clear();
    let (from_proxy, to_proxy) = proxy.into_split();
    let (from_server, to_server) = server.into_split();
    let silent = AtomicBool::new(false);
    let way = |towards| Way {
        towards,
        shared,
        silent: &silent,
        fault: shared.fault.subscribe(),
        since_fault: 0,
        frames: Frames::default(),
    };
    tokio::select! {
        ended = way(Towards::Proxy).carry(from_server, to_proxy) => ended,
        ended = way(Towards::ControlPlane).carry(from_proxy, to_server) => ended,
    }
}

/// One direction of a connection.
struct Way<'a> {
    towards: Towards,
    shared: &'a Shared,
    /// Set for good once something was swallowed.
    silent: &'a AtomicBool,
    fault: watch::Receiver<Fault>,
    /// Bytes that have passed since the fault was set.
    since_fault: u64,
    frames: Frames,
}

impl Way<'_> {
    async fn carry(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            self.look();
            let count = tokio::select! {
                count = from.read(&mut buffer) => count?,
                _ = self.fault.changed() => {
                    self.fault.mark_changed();
                    continue;
                }
            };
            if count == 0 {
                // A black hole does not pass on an end either.
                if self.silent.load(Ordering::Relaxed) && self.towards == Towards::Proxy {
                    pending::<()>().await;
                }
                return Ok(());
            }
            let mut rest = buffer.get_mut(..count).unwrap_or_default();
            while !rest.is_empty() {
                let fault = self.look();
                let now = self.allowance(fault).min(rest.len() as u64) as usize;
                let (part, later) = rest.split_at_mut(now);
                self.pass(fault, part, &mut to).await?;
                rest = later;
            }
        }
    }

    /// The fault of this moment; a new one starts the count anew.
    fn look(&mut self) -> Fault {
        if self.fault.has_changed().unwrap_or(false) {
            self.since_fault = 0;
        }
        let fault = *self.fault.borrow_and_update();
        if fault == Fault::Swallow {
            self.silent.store(true, Ordering::Relaxed);
        }
        fault
    }

    /// How much may pass before the fault has to be looked at again.
    fn allowance(&self, fault: Fault) -> u64 {
        match fault {
            Fault::Slow(per_second) => (per_second / SLICES_PER_SECOND).max(1),
            Fault::CutAfter(count) if self.towards == Towards::Proxy => {
                count.saturating_sub(self.since_fault).max(1)
            }
            _ => u64::MAX,
        }
    }

    async fn pass(
        &mut self,
        fault: Fault,
        part: &mut [u8],
        to: &mut OwnedWriteHalf,
    ) -> io::Result<()> {
        let garbled_from = match fault {
            _ if self.silent.load(Ordering::Relaxed) => return Ok(()),
            Fault::CutAfter(count)
                if self.towards == Towards::Proxy && self.since_fault >= count =>
            {
                self.shared.seen().ended_by_fault += 1;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Fault::Garble(towards, from) if towards == self.towards => Some(from),
            _ => None,
        };
        if self.towards == Towards::Proxy {
            // Before anything is changed, so that it does not lose its way.
            let keep = match fault {
                Fault::GarbleMessages(keep) => Some(keep),
                _ => None,
            };
            self.frames.walk(part, keep);
        }
        if let Some(from) = garbled_from {
            let intact = from.saturating_sub(self.since_fault);
            part.iter_mut().skip(intact as usize).for_each(garble);
        }
        to.write_all(part).await?;
        self.since_fault += part.len() as u64;
        self.shared.seen().note(self.towards, part);
        if matches!(fault, Fault::Slow(_)) {
            tokio::time::sleep(Duration::from_millis(1000 / SLICES_PER_SECOND)).await;
        }
        Ok(())
    }
}

/// Makes a byte another one, always.
pub(super) fn garble(byte: &mut u8) {
    *byte ^= 0x5a;
}
