//! What both servers do when the operating system gives them no connection.

use std::future::Future;
use std::io;
use std::time::Duration;

use crate::throttle::Throttle;

/// Pause after `accept` fails, which is mostly when file descriptors have run
/// out: the connection stays in the backlog, so the next try fails at once.
const PAUSE: Duration = Duration::from_millis(100);
static WARNINGS: Throttle = Throttle::new(Duration::from_secs(1));

/// What was accepted; `None`, after a pause, if nothing could be.
pub(crate) async fn or_pause<T>(accepting: impl Future<Output = io::Result<T>>) -> Option<T> {
    match accepting.await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            if WARNINGS.passes() {
                tracing::warn!(%error, "cannot accept a connection");
            }
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn after_a_failure_nothing_is_tried_for_a_moment() {
        let began = Instant::now();
        assert_eq!(or_pause(ready(Ok(7))).await, Some(7));
        let no_descriptors = ready(Err::<i32, _>(io::ErrorKind::QuotaExceeded.into()));
        assert_eq!(or_pause(no_descriptors).await, None);
        assert!(began.elapsed() >= PAUSE);
    }
}
