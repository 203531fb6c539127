//! A proxy that was let in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::access::AccessError;
use super::sessions::Session;
use super::{NodeName, NodePattern};
use crate::store::NodeRegistration;
use crate::telemetry::Metrics;
use crate::time::{Clock, second_start};

/// How often the wall clock is looked at by whoever waits for an expiry: it may
/// be set while one waits.
const LOOK: Duration = Duration::from_secs(30);

/// By which registration a proxy was let in. To be held for as long as it is
/// served, and asked when that is to [end](NodeIdentity::ended).
#[derive(Debug)]
pub struct NodeIdentity {
    pub(super) registration: NodeRegistration,
    pub(super) session: Session,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
}

impl NodeIdentity {
    /// The registration.
    pub fn name(&self) -> &NodeName {
        &self.registration.name
    }

    /// Which `node.id` it is for.
    pub fn pattern(&self) -> &NodePattern {
        &self.registration.node_id
    }

    /// Whether it is for one proxy and no other.
    pub fn is_for_one(&self) -> bool {
        self.pattern().is_exact()
    }

    /// Refuses a proxy that calls itself something else than it may.
    ///
    /// # Errors
    /// [`AccessError::OtherNode`].
    pub fn admits(&self, node_id: &str) -> Result<(), AccessError> {
        match self.pattern().matches(node_id) {
            true => Ok(()),
            false => {
                let refusal = AccessError::OtherNode {
                    name: self.name().clone(),
                    pattern: self.pattern().clone(),
                    node_id: node_id.to_owned(),
                };
                self.metrics.node_refused(refusal.reason());
                Err(refusal)
            }
        }
    }

    /// Waits until the registration no longer counts, and says why.
    pub async fn ended(&self) -> AccessError {
        tokio::select! {
            () = self.session.end.cancelled() => AccessError::Revoked(self.name().clone()),
            () = self.expiry() => AccessError::expired(&self.registration),
        }
    }

    async fn expiry(&self) {
        let Some(expires) = self.registration.expires else { return std::future::pending().await };
        loop {
            let left = second_start(expires).0.saturating_sub(self.clock.now().0);
            if left == 0 {
                return;
            }
            sleep(Duration::from_micros(left).min(LOOK)).await;
        }
    }
}
