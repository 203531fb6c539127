use std::path::Path;

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
    /// Its id.
    pub id: String,
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
        Ok(Drilled { document, shown: ended.out, id })
    }

    /// Writes the report of a drill into a folder, in each of its formats, and has each
    /// verified as an auditor does: without the server, by the key of the trail.
    ///
    /// # Errors
    /// When one cannot be written, or does not verify.
    pub async fn report(&self, artifacts: &Artifacts, id: &str, folder: &Path) -> Result<()> {
        let kya = self.fleet.kya(artifacts)?;
        let key = self.fleet.control_plane.audit_key();
        let key = key.to_str().context("a folder with a plain name")?;
        for format in ["html", "pdf", "json"] {
            let file = folder.join(format!("report.{format}"));
            let file = file.to_str().context("a folder with a plain name")?;
            let report = ["drill", "report", id, "--format", format, "--key", key, "--out", file];
            kya.text(&report).await?;
            kya.text(&["audit", "verify", file, "--key", key]).await?;
        }
        Ok(())
    }
}
