//! Agents whose time is over: the log of events says so when it is seen.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::store::Store;

/// How often somebody looks. It is no part of what denies: each proxy does by its clock.
const EVERY: Duration = Duration::from_secs(1);
/// Agents that are noted in one transaction.
const AT_ONCE: u32 = 256;

/// Notes for ever which agents have expired. Of several servers whoever looks first
/// notes it.
pub(crate) async fn note(store: Arc<dyn Store>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        loop {
            match store.note_expired(AT_ONCE).await {
                Ok(noted) if noted >= u64::from(AT_ONCE) => {}
                Ok(0) => break,
                Ok(noted) => {
                    tracing::info!(agents = noted, "agents have expired");
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "which agents have expired could not be noted");
                    break;
                }
            }
        }
    }
}
