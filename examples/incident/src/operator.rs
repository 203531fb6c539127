use anyhow::{Context as _, Result, ensure};
use kya_envoy::{Cli, Fleet};
use serde_json::Value;

use crate::Say;

/// A person with `kya` and a key of their own.
pub(crate) struct Operator<'a> {
    name: &'static str,
    kya: Cli,
    say: Say<'a>,
}

impl<'a> Operator<'a> {
    pub(crate) fn new(name: &'static str, kya: Cli, say: Say<'a>) -> Self {
        Self { name, kya, say }
    }

    /// The name under which the control plane logs what they do.
    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Does something, and shows it as their terminal would.
    pub(crate) async fn does(&self, args: &[&str]) -> Result<String> {
        self.types(args);
        let out = self.kya.text(args).await?;
        out.lines().for_each(|line| (self.say)(&format!("  {line}")));
        Ok(out)
    }

    /// Makes a change that every worker of `fleet` has to acknowledge.
    pub(crate) async fn changes(&self, fleet: &Fleet, args: &[&str]) -> Result<String> {
        let out = self.does(&[args, &["--wait", "20s"]].concat()).await?;
        let (workers, proxies) = (fleet.workers(), fleet.sidecars.len());
        let all = format!(
            "Acknowledged by {workers} of {workers} workers of {proxies} of {proxies} proxies"
        );
        ensure!(out.contains(&all), "not every worker has acknowledged: {out}");
        Ok(out)
    }

    /// Tries what the control plane has to refuse.
    pub(crate) async fn is_refused(&self, args: &[&str]) -> Result<String> {
        self.types(args);
        let said = self.kya.refused(args).await?;
        (self.say)(&format!("  {}", said.trim_end()));
        Ok(said)
    }

    /// Has the control plane decide about a request, which it denies: the exit code says so.
    pub(crate) async fn is_told_deny(&self, args: &[&str]) -> Result<String> {
        self.types(args);
        let ended = self.kya.end(args).await?;
        (self.say)(&format!("  {}", ended.out.trim_end()));
        ensure!(ended.code == Some(5), "it was not denied: {ended:?}");
        Ok(ended.out)
    }

    /// Looks at a trail that was changed: the exit code says that it does not verify.
    pub(crate) async fn finds_tampering(&self, args: &[&str]) -> Result<()> {
        self.types(args);
        let ended = self.kya.end(args).await?;
        (self.say)(&format!("  {}", ended.err.trim_end()));
        ensure!(ended.code == Some(7), "it verifies: {ended:?}");
        Ok(())
    }

    /// Looks something up.
    pub(crate) async fn reads(&self, args: &[&str]) -> Result<Value> {
        self.types(args);
        self.kya.json(args).await
    }

    /// Looks something up again and again, which is not shown.
    pub(crate) async fn sees(&self, args: &[&str]) -> Result<String> {
        self.kya.text(args).await
    }

    /// Gets a secret or an id: what is printed is not shown.
    pub(crate) async fn gets(&self, args: &[&str], field: &str) -> Result<String> {
        let document = self.reads(args).await?;
        let value = document[field].as_str().with_context(|| format!("there is no {field}"))?;
        Ok(value.to_owned())
    }

    fn types(&self, args: &[&str]) {
        let quoted = args.iter().map(|word| match word.contains(' ') {
            true => format!("'{word}'"),
            false => (*word).to_owned(),
        });
        let line = quoted.collect::<Vec<_>>().join(" ");
        (self.say)(&format!("\n{}$ kya {line}", self.name));
    }
}
