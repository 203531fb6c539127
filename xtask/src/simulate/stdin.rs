//! What a simulation is told: lines of stdin, with which it ends.

use std::future::Future;
use std::io::{BufRead as _, Read as _};

use anyhow::Result;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::file_limit;

/// Lines that wait to be taken; whoever writes more waits.
const LINES: usize = 64;

/// Runs what never ends well until stdin ends, with room for so many connections.
pub(super) fn until_the_end(
    connections: usize,
    simulation: impl Future<Output = Result<()>>,
) -> Result<()> {
    file_limit::make_room(connections)?;
    Runtime::new()?.block_on(async {
        tokio::select! {
            ended = simulation => ended,
            closed = tokio::task::spawn_blocking(wait_for_the_end) => Ok(closed?),
        }
    })
}

/// Returns when stdin ends.
pub(super) fn wait_for_the_end() {
    // Whatever it says, it is the end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// The lines of stdin as they come. There are no more when it has ended.
pub(super) fn lines() -> mpsc::Receiver<String> {
    let (told, tells) = mpsc::channel(LINES);
    // A thread of its own, so that nothing waits for it.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if told.blocking_send(line).is_err() {
                break;
            }
        }
    });
    tells
}
