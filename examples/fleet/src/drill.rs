use anyhow::{Context as _, Result, bail};
use kya_envoy::Artifacts;
use serde_json::Value;

use crate::DrillFleet;

/// What a drill is to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often the canary is stopped.
    pub samples: u32,
    /// Requests to each Envoy in a second.
    pub rate: u32,
}

/// A drill that has ended.
#[derive(Debug)]
pub struct Drilled {
    /// All that it has found, with every sample: what `kya -o json drill show --samples` prints.
    pub document: Value,
    /// The same for people: what `kya drill show` prints.
    pub shown: String,
}

impl Drilled {
    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        self.document["state"] == "passed"
    }
}

impl DrillFleet {
    /// Runs a drill through all Envoys, and says how far it is.
    ///
    /// # Errors
    /// When there was none. One that has not passed is no error.
    pub async fn drill(
        &self,
        artifacts: &Artifacts,
        plan: Plan,
        say: &dyn Fn(&str),
    ) -> Result<Drilled> {
        let kya = self.fleet.kya(artifacts)?;
        let (samples, rate) = (plan.samples.to_string(), plan.rate.to_string());
        let probes = self.probes();
        let mut args = vec!["drill", "run", "--samples", &samples, "--rate", &rate];
        args.extend(probes.iter().flat_map(|probe| ["--probe", probe]));
        let mut running = kya.start(&args)?;
        let mut id = None;
        while let Some(line) = running.next_line().await? {
            say(&line);
            id = id.or(line.strip_prefix("Drill: ").map(str::to_owned));
        }
        let ended = running.end().await?;
        // It has passed, or it has not.
        if !matches!(ended.code, Some(0 | 8)) {
            bail!("kya drill run ended with {:?}: {}", ended.code, ended.err);
        }
        let id = id.context("the drill has no id")?;
        let document = kya.json(&["drill", "show", &id, "--samples"]).await?;
        Ok(Drilled { document, shown: ended.out })
    }
}
