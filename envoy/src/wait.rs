use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

const POLL_EVERY: Duration = Duration::from_millis(10);

/// Asks `poll` again and again until it has a value.
///
/// `what` ends the sentence "gave up waiting for …".
///
/// # Errors
/// When `limit` has passed, or at the first error of `poll`.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut poll: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = poll().await? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("gave up waiting for {what} after {limit:?}");
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}
