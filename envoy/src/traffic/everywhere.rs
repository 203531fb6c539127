use anyhow::{Context, Result};
use serde_json::Value;

use super::caller::{Answer, Caller};
use super::reach::reach_every_worker;
use crate::Sidecar;
use crate::upstream::{CHARGES, charge_body};

/// Connections that each worker has to answer before a fact about it counts.
const EACH: u64 = 5;

/// Sends `body` to `path` with `token` until every worker of each of `sidecars` has
/// answered some, and returns how many answers there were.
///
/// # Errors
/// With the first answer that is not `expected`; and as [`reach_every_worker`] has them.
pub async fn post_everywhere(
    sidecars: &[Sidecar],
    token: &str,
    (path, body): (&str, &Value),
    expected: impl Fn(&Answer) -> bool,
) -> Result<u64> {
    let caller = Caller::with_token(token)?;
    let mut count = 0;
    for sidecar in sidecars {
        let call = async || caller.post(sidecar, path, body).await;
        count += reach_every_worker(sidecar, EACH, call).await?.all(&expected)?;
    }
    Ok(count)
}

/// Charges on every worker: all made, in the name of `agent_id`.
pub async fn charged_everywhere(sidecars: &[Sidecar], token: &str, agent_id: &str) -> Result<u64> {
    let charge = charge_body();
    post_everywhere(sidecars, token, (CHARGES, &charge), |answer| answer.is_charge_of(agent_id))
        .await
        .with_context(|| format!("the charges of {agent_id} are not all allowed"))
}

/// Charges on every worker: all denied with `status` for `reason`.
pub async fn denied_everywhere(
    sidecars: &[Sidecar],
    token: &str,
    status: u16,
    reason: &str,
) -> Result<u64> {
    let charge = charge_body();
    let denied = |answer: &Answer| answer.is_denial(status, reason);
    post_everywhere(sidecars, token, (CHARGES, &charge), denied)
        .await
        .with_context(|| format!("the charges are not all denied with {status} {reason}"))
}
