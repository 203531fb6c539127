use anyhow::{Context as _, Result, ensure};
use kya_envoy::traffic::{charged_everywhere, denied_everywhere};
use kya_envoy::{Artifacts, Cli, Fleet};

use crate::Say;
use crate::cast::Agent;
use crate::operator::Operator;

/// Everything that takes part.
pub(crate) struct Stage<'a> {
    pub(crate) fleet: Fleet,
    pub(crate) say: Say<'a>,
    /// May do everything.
    pub(crate) admin: Operator<'a>,
    /// May stop things, and start none.
    pub(crate) oncall: Operator<'a>,
    /// The agent that the incident is about.
    pub(crate) suspect: Agent,
    /// One that acts for it.
    pub(crate) helper: Agent,
    /// One that nobody stops, under the same policy.
    pub(crate) bystander: Agent,
    /// A folder with the policies.
    policies: String,
    /// Payments that were allowed so far.
    pub(crate) paid: u64,
}

impl<'a> Stage<'a> {
    /// Registers everybody, and sees that they may act.
    pub(crate) async fn set(artifacts: &Artifacts, fleet: Fleet, say: Say<'a>) -> Result<Self> {
        let policies = artifacts.root().join("examples/incident/policies");
        let policies = policies.to_str().context("the path is no text")?.to_owned();
        let admin = Operator::new("admin", fleet.kya(artifacts)?, say);
        let add = ["operator", "add", "oncall-anna", "--role", "operator"];
        let key = admin.gets(&add, "key").await?;
        let kya = Cli::new(artifacts, fleet.api().base(), &key)?;
        let oncall = Operator::new("oncall-anna", kya, say);

        admin.does(&["principal", "add", "alice@example.com"]).await?;
        let file = format!("{policies}/checkout.yaml");
        let apply = ["policy", "apply", "-f", &file, "--if-version", "0", "--reason", "first"];
        admin.changes(&fleet, &apply).await?;
        let under = ["--owner", "alice@example.com", "--policy", "checkout", "--name"];
        let register = async |name| Agent::register(&admin, &[&under[..], &[name]].concat()).await;
        let suspect = register("checkout-assistant-v2").await?;
        let bystander = register("report-bot").await?;
        let below = ["--parent", &suspect.id, "--policy", "checkout", "--name", "refund-helper"];
        let helper = Agent::register(&admin, &below).await?;
        fleet.wait_converged().await?;

        let mut stage =
            Self { fleet, say, admin, oncall, suspect, helper, bystander, policies, paid: 0 };
        for agent in [&stage.suspect.clone(), &stage.helper.clone(), &stage.bystander.clone()] {
            stage.allowed(agent).await?;
        }
        Ok(stage)
    }

    /// One of the policies of this example.
    pub(crate) fn policy(&self, name: &str) -> String {
        format!("{}/{name}.yaml", self.policies)
    }

    /// Every worker allows its charges.
    pub(crate) async fn allowed(&mut self, agent: &Agent) -> Result<()> {
        let count = charged_everywhere(&self.fleet.sidecars, &agent.token, &agent.id).await?;
        self.paid += count;
        (self.say)(&format!("  {}: {count} charges by all workers, all allowed", agent.id));
        Ok(())
    }

    /// Every worker denies its charges for `reason`.
    pub(crate) async fn denied(&self, agent: &Agent, reason: &str) -> Result<()> {
        let count = denied_everywhere(&self.fleet.sidecars, &agent.token, 403, reason).await?;
        (self.say)(&format!(
            "  {}: {count} charges by all workers, all denied: {reason}",
            agent.id
        ));
        Ok(())
    }

    /// Nobody else has felt anything.
    pub(crate) async fn others_go_on(&mut self) -> Result<()> {
        let bystander = self.bystander.clone();
        self.allowed(&bystander).await.context("an agent that nobody stopped")
    }

    /// The service has seen what was allowed, and nothing that was denied or cut.
    pub(crate) async fn ledger_agrees(&self) -> Result<()> {
        let total = self.fleet.upstream.total().await?;
        ensure!(total == self.paid, "{} payments were allowed, and {total} made", self.paid);
        Ok(())
    }
}
