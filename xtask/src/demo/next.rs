//! What to try by hand while the demo stays up.

use anyhow::{Context, Result};
use kya_envoy::{Artifacts, Fleet, curl_charge};

use super::story::Told;

/// Lines to copy, with this run's addresses and secrets filled in.
pub(super) fn suggestions(artifacts: &Artifacts, fleet: &Fleet, told: &Told) -> Result<String> {
    let api = fleet.api();
    let (server, key) = (api.base(), api.admin_key());
    let kya = artifacts.cli()?;
    let folder = kya.parent().context("kya is in a folder")?.display();
    let first = fleet.sidecars.first().context("there is a sidecar")?;
    let charge = |token: &str| curl_charge(&first.url(""), token);
    let (spared, spared_token) = &told.spared;
    let (agent, spared_charge) = (&spared.agent_id, charge(&spared_token.token));
    let revoked_charge = charge(&told.revoked.token);
    let (admin, pid) = (first.admin(), fleet.control_plane.pid());
    Ok(format!(
        "Everything stays up until Ctrl-C. To try it by hand, in another terminal:

  export KYA_SERVER={server} KYA_TOKEN={key}
  export PATH={folder}:$PATH

# The revoked agent is denied by every worker, with the reason in the body:
  {revoked_charge}

# Another agent is untouched:
  {spared_charge}

# Suspend it, try its charge again, and put it back:
  kya agent suspend {agent} --reason 'taking a look'
  kya agent restore {agent}

# Which proxies are connected, and what each of their workers knows:
  kya node list

# What Envoy has counted:
  curl -s '{admin}/stats?filter=kya\\.decision'

# Without the control plane, the sidecars go on deciding by what they know:
  kill -9 {pid}
"
    ))
}
