//! A TCP proxy between one Envoy and the control plane that lies when it is told to.

mod connection;
mod frames;
mod tape;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use tape::Tape;

/// What a [`Wire`] does to its connections, those there are and those to come.
///
/// Bytes are counted on each connection from the moment the fault was set, or
/// from its beginning if that was later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: every byte arrives as it was sent.
    Pass,
    /// This many bytes go to the proxy; instead of the next one the connection ends.
    CutAfter(u64),
    /// Both ways carry so many bytes per second, at least 20.
    Slow(u64),
    /// Every byte in this direction, from this one on, arrives as another.
    Garble(Towards, u64),
    /// HTTP/2 stays whole; in each DATA frame to the proxy every byte arrives as
    /// another but the first ones, so many. Five of them are gRPC's own.
    GarbleMessages(u64),
    /// Nothing arrives, and nobody is told. What a connection has lost is lost:
    /// it stays silent for good, whatever the wire does after that.
    Swallow,
    /// New connections do not reach the control plane. They are told what
    /// [`Wire::keep_tape`] has kept. Those that were there pass.
    Replay,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// What the control plane has said.
    Proxy,
    /// What the proxy has said.
    ControlPlane,
}

/// A TCP proxy in front of a control plane. Dropping it ends its connections.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    fault: watch::Sender<Fault>,
    /// How often all connections were cut.
    cuts: watch::Sender<u64>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    accepted: u64,
    ended_by_fault: u64,
    /// Bytes that went to the proxy, on all connections together.
    told: u64,
    /// What the newest connection that passed was told.
    newest: Tape,
    kept: Tape,
}

impl Seen {
    /// `bytes` have gone `towards` there.
    fn note(&mut self, towards: Towards, bytes: &[u8]) {
        match towards {
            Towards::Proxy => {
                self.told += bytes.len() as u64;
                self.newest.record(bytes);
            }
            Towards::ControlPlane => self.newest.heard(bytes.len()),
        }
    }
}

impl Wire {
    /// A wire to `server` that passes everything, on a port of its own.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            fault: watch::Sender::new(Fault::Pass),
            cuts: watch::Sender::new(0),
            seen: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where the proxy finds the control plane.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on does this.
    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.seen().accepted
    }

    /// Connections that [`Fault::CutAfter`] has ended so far.
    pub fn ended_by_fault(&self) -> u64 {
        self.shared.seen().ended_by_fault
    }

    /// Bytes that have gone to the proxy so far, on all connections together.
    pub fn told(&self) -> u64 {
        self.shared.seen().told
    }

    /// Keeps what the newest connection was told so far, for [`Fault::Replay`].
    ///
    /// # Errors
    /// When it was told nothing.
    pub fn keep_tape(&self) -> Result<()> {
        let mut seen = self.shared.seen();
        if seen.newest.is_empty() {
            bail!("nothing has come from the control plane yet");
        }
        seen.kept = seen.newest.clone();
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Its connections end with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((proxy, _)) => {
                    connections.spawn(serve(proxy, Arc::clone(&shared)));
                }
                Err(_) => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(proxy: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    shared.seen().accepted += 1;
    let relay = async {
        if *shared.fault.borrow() == Fault::Replay {
            let tape = shared.seen().kept.clone();
            tape.play(proxy).await
        } else {
            connection::relay(proxy, &shared).await
        }
    };
    // Whatever ends first ends both sockets. That one was closed by its other
    // end is no news to anybody.
    tokio::select! {
        _ = relay => {}
        _ = cuts.changed() => {}
    }
}

#[cfg(test)]
mod tests;
