//! The two ways to send: a closed loop and an open one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Loaded;
use super::connection::Connection;
use super::requests::Requests;

/// How long nothing may be answered.
const STUCK: Duration = Duration::from_secs(5);
/// Most requests that wait for a connection: then the rate is more than can be had.
const MOST_WAITING: usize = 50_000;

/// The times of a slice.
#[derive(Debug)]
pub(super) struct Taken {
    times: Vec<Duration>,
    all: Duration,
}

impl Taken {
    pub(super) fn loaded(mut self) -> Loaded {
        self.times.sort_unstable();
        let at = |percent: usize| {
            let rank = (self.times.len() * percent).div_ceil(100).max(1);
            let time = self.times.get(rank - 1).copied().unwrap_or_default();
            (time.as_secs_f64() * 1e7).round() / 10.0
        };
        Loaded {
            requests: self.times.len() as u64,
            seconds: self.all.as_secs_f64(),
            p50_us: at(50),
            p90_us: at(90),
            p99_us: at(99),
            max_us: at(100),
        }
    }
}

/// Sends on each connection as soon as the last request was answered.
pub(super) fn closed(
    connections: &mut [Connection],
    requests: &mut Requests,
    status: u16,
    limit: Duration,
) -> Result<Taken> {
    let began = Instant::now();
    for connection in &mut *connections {
        connection.send(requests.take(), Instant::now())?;
    }
    let mut times = Vec::new();
    while connections.iter().any(|connection| connection.since.is_some()) {
        watch(connections, STUCK)?;
        receive(connections, status, &mut times, |connection, now| {
            match now.duration_since(began) < limit {
                true => connection.send(requests.take(), now),
                false => Ok(()),
            }
        })?;
    }
    Ok(Taken { times, all: began.elapsed() })
}

/// Sends at random times, whatever is answered.
pub(super) fn open(
    connections: &mut [Connection],
    requests: &mut Requests,
    status: u16,
    limit: Duration,
    per_second: f64,
) -> Result<Taken> {
    let mut gaps = Gaps { state: per_second.to_bits(), mean: 1.0 / per_second };
    let began = Instant::now();
    let mut due = began + gaps.next();
    let (mut times, mut waiting) = (Vec::new(), VecDeque::new());
    loop {
        let now = Instant::now();
        while due <= now && due.duration_since(began) < limit {
            waiting.push_back(due);
            due += gaps.next();
        }
        ensure!(waiting.len() <= MOST_WAITING, "{per_second:.0} requests a second are too many");
        for connection in connections.iter_mut().filter(|connection| connection.since.is_none()) {
            let Some(since) = waiting.pop_front() else { break };
            connection.send(requests.take(), since)?;
        }
        let over = due.duration_since(began) >= limit;
        let busy = connections.iter().any(|connection| connection.since.is_some());
        if over && !busy && waiting.is_empty() {
            return Ok(Taken { times, all: began.elapsed() });
        }
        match over {
            true => wait(connections, STUCK)?,
            false => ready(connections, due.saturating_duration_since(Instant::now())).map(drop)?,
        }
        receive(connections, status, &mut times, |_, _| Ok(()))?;
    }
}

/// Waits for any answer without ever sleeping, but gives way to whoever wants the CPU.
///
/// A client that sleeps has to be woken, and whoever sends it an answer pays for that:
/// 2 us each time, the more often the later the answers come. That would be counted as the
/// server's, and as the more the slower it is.
fn watch(connections: &[Connection], limit: Duration) -> Result<()> {
    let began = Instant::now();
    while ready(connections, Duration::ZERO)? == 0 {
        ensure!(began.elapsed() < limit, "nothing was answered for {limit:?}");
        std::thread::yield_now();
    }
    Ok(())
}

/// Waits for any answer.
fn wait(connections: &[Connection], limit: Duration) -> Result<()> {
    if ready(connections, limit)? == 0 {
        bail!("nothing was answered for {limit:?}");
    }
    Ok(())
}

/// Waits for any answer, so long at most; on how many connections there is something.
fn ready(connections: &[Connection], limit: Duration) -> Result<usize> {
    let busy = connections.iter().filter(|connection| connection.since.is_some());
    let mut polled: Vec<_> =
        busy.map(|connection| PollFd::new(&connection.stream, PollFlags::IN)).collect();
    let limit =
        Timespec { tv_sec: i64::try_from(limit.as_secs())?, tv_nsec: limit.subsec_nanos().into() };
    match poll(&mut polled, Some(&limit)) {
        Ok(count) => Ok(count),
        Err(rustix::io::Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Takes what was answered, and does `next` where it was.
fn receive(
    connections: &mut [Connection],
    expected: u16,
    times: &mut Vec<Duration>,
    mut next: impl FnMut(&mut Connection, Instant) -> Result<()>,
) -> Result<()> {
    for connection in connections {
        let Some(since) = connection.since else { continue };
        let Some(status) = connection.receive()? else { continue };
        ensure!(status == expected, "answered {status}, not {expected}");
        let now = Instant::now();
        connection.since = None;
        times.push(now.duration_since(since));
        next(connection, now)?;
    }
    Ok(())
}

/// Times between two events of a Poisson process, the same in every run.
#[derive(Debug)]
struct Gaps {
    state: u64,
    mean: f64,
}

impl Gaps {
    fn next(&mut self) -> Duration {
        // xorshift64: good enough for times.
        self.state = self.state.max(1);
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let uniform = ((self.state >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        Duration::from_secs_f64(-uniform.ln() * self.mean)
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
