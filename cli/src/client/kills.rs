//! Calls about kills.

use std::time::Duration;

use hyper::Method;
use kya_core::KillId;
use serde_json::Value;

use super::{Answer, Client, Query};
use crate::api::{KillReport, Kills};
use crate::error::Error;

impl Client {
    /// How long it waits for an answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) async fn kills(&self, query: &Query<'_>) -> Result<Answer<Kills>, Error> {
        self.get(&["kills"], query).await
    }

    /// As it comes: what it says is believed when its signature was looked at.
    pub(crate) async fn kill_receipt(
        &self,
        id: KillId,
        wait: Duration,
    ) -> Result<Answer<Value>, Error> {
        let wait_for = format!("{}ms", wait.as_millis());
        let path = ["kills", &id.to_string(), "receipt"];
        let url = self.url(&path, &[("wait", Some(wait_for))]);
        self.call(Method::GET, url, None, self.timeout + wait).await
    }

    /// Answers when the kill is complete, or after `wait`.
    pub(crate) async fn kill(
        &self,
        id: KillId,
        wait: Duration,
    ) -> Result<Answer<KillReport>, Error> {
        let wait_for = format!("{}ms", wait.as_millis());
        let url = self.url(&["kills", &id.to_string()], &[("wait", Some(wait_for))]);
        self.call(Method::GET, url, None, self.timeout + wait).await
    }
}
