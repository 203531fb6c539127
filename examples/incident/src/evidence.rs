//! What is left of the incident for whoever was not there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kya_envoy::until;
use serde_json::Value;

use crate::stage::Stage;

/// How long what the workers decided may take to be in the trail.
const REPORTED: Duration = Duration::from_secs(20);

/// Everything about the suspect is taken out of the trail, proved against the signed
/// checkpoint, and proved again offline by the key alone; a copy with one word changed is
/// not. Nothing was allowed past a kill.
pub(crate) async fn evidence(stage: &Stage<'_>) -> Result<()> {
    let (oncall, id) = (&stage.oncall, &stage.suspect.id);
    let keys = oncall.reads(&["audit", "keys"]).await?;
    let key = keys["keys"][0]["verifier_key"].as_str().context("there is no key")?;
    let decided = ["audit", "export", "--agent", id, "--type", "decision"];
    let is_told = || oncall.sees(&decided);
    let all = async || Ok(is_told().await?.contains(r#""reason":"agent_revoked""#).then_some(()));
    until("the denials after the revocation to be in the trail", REPORTED, all).await?;

    let file = stage.fleet.dir().join("evidence.jsonl");
    let path = text(&file)?;
    let export = ["audit", "export", "--agent", id, "--since", "1h", "--verify-chain", "--out"];
    oncall.does(&[&export[..], &[path]].concat()).await?;
    let exported = fs::read_to_string(&file)?;
    let (mut allowed, mut denied) = (0usize, 0usize);
    for line in exported.lines() {
        let line: Value = serde_json::from_str(line)?;
        let record = &line["record"];
        ensure!(record["type"] != "decision" || record["agent_id"] == id.as_str(), "{record}");
        match record["decision"].as_str() {
            Some("allow") => allowed += 1,
            Some("deny") => denied += 1,
            _ => {}
        }
    }
    ensure!(allowed > 0 && denied > 0, "{allowed} allowed and {denied} denied");
    (stage.say)(&format!("  {allowed} requests were allowed and {denied} denied"));

    let verify = ["audit", "verify", path, "--key", key];
    let said = oncall.does(&verify).await?;
    ensure!(said.contains("Verified"), "{said}");
    let forged = stage.fleet.dir().join("forged.jsonl");
    fs::write(&forged, exported.replacen(r#""decision":"allow""#, r#""decision":"deny""#, 1))?;
    oncall.finds_tampering(&["audit", "verify", text(&forged)?, "--key", key]).await?;

    oncall.does(&["audit", "check-kills", "--key", key]).await?;
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is no text")
}
