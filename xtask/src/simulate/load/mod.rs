//! Load for one Envoy, a slice of time at a time: requests over connections that are
//! kept, as fast as they are answered or at a rate of their own.
//!
//! It is one thread that reads and writes plain sockets, so that it takes little of the
//! machine that it shares with what is measured. Everything that can be made before a
//! slice is made before it: connections, and the bytes of the requests.

mod connection;
mod pace;
mod requests;

use std::collections::HashMap;
use std::io::BufRead as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use self::connection::Connection;
use self::requests::Requests;
use super::{Said, say};

/// What the load is told, a line each. It answers `Prepare` with [`Said::Ready`] and `Go`
/// with [`Said::Loaded`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Makes everything that the next slice needs.
    Prepare(Slice),
    /// Does it.
    Go,
}

/// A slice of load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// The listener.
    pub(crate) address: String,
    /// What is asked for.
    pub(crate) path: String,
    /// By what each request acts.
    pub(crate) shown: Shown,
    /// What every answer is.
    pub(crate) status: u16,
    pub(crate) pace: Pace,
    pub(crate) millis: u64,
}

/// What requests show as `authorization: Bearer …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shown {
    /// All the same.
    One(String),
    /// Opaque tokens by their numbers, from 0 to below this, each another than the last.
    Numbers(u32),
    /// The lines of a file, each after the other.
    Lines(String),
}

/// How fast.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// On each connection the next when the last was answered.
    Closed { connections: usize },
    /// At random times that depend on no answer, so many a second (a Poisson process). The
    /// time of a request counts from when it was to be sent, also where no connection was
    /// free then.
    Open { connections: usize, per_second: f64 },
}

/// What became of a slice. Every request was answered as it should be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Loaded {
    pub(crate) requests: u64,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// Time to an answer, in microseconds.
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
}

/// Carries out orders until stdin ends.
pub(super) fn run() -> Result<()> {
    let mut client = Client::default();
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?).context("an order")? {
            Order::Prepare(slice) => client.prepare(slice).map(|()| Said::Ready),
            Order::Go => client.go().map(Said::Loaded),
        };
        match answer {
            Ok(said) => say(&said),
            Err(error) => say(&Said::Failed { why: format!("{error:#}") }),
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Client {
    /// To each listener.
    connections: HashMap<String, Vec<Connection>>,
    /// Of each path of a listener.
    requests: HashMap<(String, String), Requests>,
    next: Option<Slice>,
}

impl Client {
    fn prepare(&mut self, slice: Slice) -> Result<()> {
        // Waking up as exactly as the kernel can is what an open loop needs. A kernel that
        // has no such file wakes it up a little later.
        let _ = std::fs::write("/proc/self/timerslack_ns", "1");
        let (Pace::Closed { connections } | Pace::Open { connections, .. }) = slice.pace;
        let open = self.connections.entry(slice.address.clone()).or_default();
        while open.len() < connections {
            open.push(Connection::open(&slice.address)?);
        }
        let place = (slice.address.clone(), slice.path.clone());
        let requests = match self.requests.entry(place) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => new.insert(Requests::of(&slice)?),
        };
        requests.make_ready();
        self.next = Some(slice);
        Ok(())
    }

    fn go(&mut self) -> Result<Loaded> {
        let slice = self.next.take().context("no slice was prepared")?;
        let place = (slice.address.clone(), slice.path.clone());
        let requests = self.requests.get_mut(&place).context("no requests")?;
        let open = self.connections.get_mut(&slice.address).context("no connections")?;
        let limit = Duration::from_millis(slice.millis);
        let taken = match slice.pace {
            Pace::Closed { connections } => {
                let open = open.get_mut(..connections).context("too few connections")?;
                pace::closed(open, requests, slice.status, limit)
            }
            Pace::Open { connections, per_second } => {
                let open = open.get_mut(..connections).context("too few connections")?;
                pace::open(open, requests, slice.status, limit, per_second)
            }
        };
        let taken = taken.with_context(|| format!("{} {}", slice.address, slice.path));
        if taken.is_err() {
            // Answers may be on their way still, which would be taken for others.
            self.connections.remove(&slice.address);
        }
        Ok(taken?.loaded())
    }
}
