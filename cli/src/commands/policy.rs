//! `kya policy …`

mod show;

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use kya_core::AgentId;
use kya_core::policy::{MAX_DOCUMENT_BYTES, PolicyFormat, read};

use super::dry::{self, reached};
use super::print_page;
use crate::acknowledgement::{self, Wording};
use crate::api::{
    Agent, AgentChange, AssignPolicy, Policies, Policy, PolicyChange, PolicyPreview,
    PolicyVersions, RollBack, Stop,
};
use crate::args::{MaybeWhy, Page, PolicyCommand, Stopping};
use crate::client::{Answer, Client, Place, Written};
use crate::error::Error;
use crate::output::{Output, or_dash, table};

const APPLY: Wording = Wording {
    done: "Applied",
    effect: "",
    noun: "change",
    title: "Change",
    already: "it says that already",
    risk: "may still decide by the version before",
};

const REVOKE: Wording = Wording {
    done: "Revoked",
    effect: "",
    noun: "revocation",
    title: "Revocation",
    already: "it permits nothing already",
    risk: "may still allow agents under this policy",
};

const ASSIGN: Wording = Wording {
    done: "Assigned",
    effect: "",
    noun: "assignment",
    title: "Assignment",
    already: "it already was so",
    risk: "may still decide by the policy before",
};

pub(super) async fn run(
    command: PolicyCommand,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match command {
        PolicyCommand::Apply { file, if_version, maybe, dry, wait } => {
            let written = written(&file.path)?;
            match dry.dry_run {
                true => preview(client, output, written, if_version).await,
                false => apply(client, output, written, if_version, &maybe, wait.wait).await,
            }
        }
        PolicyCommand::Check { file } => check(output, &file.path),
        PolicyCommand::Get { of, version } => {
            show::policy(output, client.policy(&of.policy, version).await?)
        }
        PolicyCommand::List { page } => list(client, output, &page).await,
        PolicyCommand::Diff { policy, from, to, file } => match (policy, file) {
            (Some(policy), _) => {
                let text = |version: Option<u32>| version.map(|version| version.to_string());
                let query = [("from", text(from)), ("to", text(to))];
                show::comparison(output, client.policy_diff(&policy, &query).await?)
            }
            (None, Some(path)) => preview(client, output, written(&path)?, None).await,
            // The parser has seen to it.
            (None, None) => Err(Error::Usage("either a policy or a --file".to_owned())),
        },
        PolicyCommand::History { of, before, limit } => {
            history(client, output, &of.policy, before, limit).await
        }
        PolicyCommand::Rollback { of, to, stop: Stopping { why, dry, wait } } => {
            let body = RollBack { to, why: (&why).into(), dry_run: dry.dry_run };
            if dry.dry_run {
                let answer = client.roll_back_policy(&of.policy, &body).await?;
                return previewed(client, output, answer);
            }
            let answer = client.roll_back_policy(&of.policy, &body).await?;
            changed(client, output, &APPLY, answer, wait.wait).await
        }
        PolicyCommand::Revoke { of, stop: stopping } => {
            let (stop, wait) = (Stop::from(&stopping), &stopping.wait);
            let place = Place::Policy(&of.policy);
            if stop.dry_run {
                let answer = client.stop(place, "revoke", &stop).await?;
                return dry::print(client, output, &format!("revoke {}", of.policy), answer);
            }
            let answer = client.stop(place, "revoke", &stop).await?;
            changed(client, output, &REVOKE, answer, wait.wait).await
        }
        PolicyCommand::Assign { of, agent, maybe, wait } => {
            assign(client, output, agent, Some(&of.policy), &maybe, wait.wait).await
        }
        PolicyCommand::Unassign { agent, maybe, wait } => {
            assign(client, output, agent, None, &maybe, wait.wait).await
        }
    }
}

/// What a file says. It is read here once, so that what is wrong with it is known
/// before it is sent.
fn written(path: &Path) -> Result<Written, Error> {
    let shown = path.display();
    let fail = |error: std::io::Error| Error::Usage(format!("cannot read {shown}: {error}"));
    let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut text).map_err(fail)?;
    } else {
        let file = std::fs::File::open(path).map_err(fail)?;
        file.take(most).read_to_end(&mut text).map_err(fail)?;
    }
    let is_json = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("json"));
    let format = if is_json { PolicyFormat::Json } else { PolicyFormat::Yaml };
    let document =
        read(&text, format).map_err(|error| Error::Usage(format!("{shown}: {error}")))?;
    match document.check() {
        Ok(_) => Ok(Written { text, format }),
        Err(problems) => {
            let all: Vec<_> = problems.0.iter().map(|it| format!("{shown}: {it}")).collect();
            Err(Error::Usage(all.join("\n")))
        }
    }
}

fn check(output: &mut Output<'_>, path: &Path) -> Result<(), Error> {
    let Written { text, format } = written(path)?;
    let wrong = |error: &dyn std::fmt::Display| Error::Usage(error.to_string());
    let document = read(&text, format).map_err(|error| wrong(&error))?;
    let policy = document.check().map_err(|error| wrong(&error))?;
    if output.is_json() {
        let document = serde_json::to_value(policy.to_document()).map_err(|error| wrong(&error))?;
        return output.document(&document);
    }
    output.lines(format!("{} is a policy: {}", path.display(), policy.name()))
}

async fn preview(
    client: &Client,
    output: &mut Output<'_>,
    written: Written,
    seen: Option<u32>,
) -> Result<(), Error> {
    let query = [("dry_run", Some("true".to_owned()))];
    previewed(client, output, client.apply_policy(written, seen, &query).await?)
}

fn previewed(
    client: &Client,
    output: &mut Output<'_>,
    answer: Answer<PolicyPreview>,
) -> Result<(), Error> {
    if !answer.value.dry_run {
        return Err(
            client.unexpected("asked for a dry run, it does not say that it was one".into())
        );
    }
    show::preview(output, answer)
}

async fn apply(
    client: &Client,
    output: &mut Output<'_>,
    written: Written,
    seen: Option<u32>,
    maybe: &MaybeWhy,
    wait: Duration,
) -> Result<(), Error> {
    let query = [("reason", maybe.reason.clone()), ("incident_id", maybe.incident_id.clone())];
    let answer = client.apply_policy(written, seen, &query).await?;
    changed(client, output, &APPLY, answer, wait).await
}

async fn changed(
    client: &Client,
    output: &mut Output<'_>,
    wording: &Wording,
    answer: Answer<PolicyChange>,
    wait: Duration,
) -> Result<(), Error> {
    let Answer { value: PolicyChange { policy, commit, reach }, json } = answer;
    let mut lines = format!("{}: {} version {}", wording.done, policy.name, policy.version);
    if let Some(version) = policy.rolled_back_to {
        lines.push_str(&format!(", which is version {version} again"));
    }
    if let Some(reach) = reach {
        lines.push_str(&format!("\nAll verify calls of {} will now return DENY", reached(reach)));
    }
    let lines = acknowledgement::unless_changed(lines, wording, &commit);
    acknowledgement::report_lines(client, output, wording, lines, &commit, json, wait).await
}

async fn assign(
    client: &Client,
    output: &mut Output<'_>,
    id: AgentId,
    policy: Option<&str>,
    maybe: &MaybeWhy,
    wait: Duration,
) -> Result<(), Error> {
    let body = AssignPolicy { policy, why: maybe.into() };
    let Answer { value, json } = client.assign_policy(id, &body).await?;
    let AgentChange { agent: Agent { agent_id, policy: told, policy_id, .. }, commit, .. } = value;
    let is_it = match policy {
        None => policy_id.is_none(),
        wanted => told.as_deref() == wanted || policy_id.as_deref() == wanted,
    };
    // It is said only when the server says so, and of this agent.
    if agent_id != id || !is_it {
        return Err(client.unexpected(format!(
            "asked to put {id} under {}, it says that {agent_id} is under {}",
            policy.unwrap_or("no policy"),
            told.as_deref().unwrap_or("none")
        )));
    }
    let lines = match told {
        Some(name) => format!("Assigned: {id} is under {name}"),
        None => format!("Unassigned: {id} is under no policy"),
    };
    let lines = acknowledgement::unless_changed(lines, &ASSIGN, &commit);
    acknowledgement::report_lines(client, output, &ASSIGN, lines, &commit, json, wait).await
}

async fn list(
    client: &Client,
    output: &mut Output<'_>,
    page: &Page<kya_core::PolicyId>,
) -> Result<(), Error> {
    let Answer { value: Policies { policies, next }, json } =
        client.policies(&page.query()).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let rows: Vec<_> = policies
        .into_iter()
        .map(|policy| {
            let Policy { policy_id, name, version, step, committed_at, actor, .. } = policy;
            [policy_id.to_string(), name, version.to_string(), step, committed_at, actor]
        })
        .collect();
    let columns = ["POLICY ID", "NAME", "VERSION", "STEP", "COMMITTED AT", "BY"];
    print_page(output, columns, rows, "No policies.", next)
}

async fn history(
    client: &Client,
    output: &mut Output<'_>,
    policy: &str,
    before: Option<u32>,
    limit: u32,
) -> Result<(), Error> {
    let query =
        [("before", before.map(|version| version.to_string())), ("limit", Some(limit.to_string()))];
    let answer = client.policy_versions(policy, &query).await?;
    let Answer { value: PolicyVersions { versions, next }, json } = answer;
    if output.is_json() {
        return output.document(&json);
    }
    let rows: Vec<_> = versions
        .into_iter()
        .map(|policy| {
            let step = show::step(&policy);
            let Policy { version, committed_at, actor, reason, incident_id, .. } = policy;
            let version = version.to_string();
            [version, step, committed_at, actor, or_dash(reason), or_dash(incident_id)]
        })
        .collect();
    let columns = ["VERSION", "STEP", "COMMITTED AT", "BY", "REASON", "INCIDENT ID"];
    output.lines(table(columns, rows))?;
    if let Some(next) = next {
        output.note(format_args!("There are more: --before {next}"));
    }
    Ok(())
}
