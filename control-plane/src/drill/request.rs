//! What is asked of a drill, and what is refused.

use kya_core::AgentId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::fetch::Fetcher;
use crate::labels::{LabelKey, LabelValue, Labels, Selector};

/// Most relying parties of one drill.
const MAX_PARTIES: usize = 64;
const MAX_SAMPLES: u32 = 200;
const MAX_RATE: u32 = 5_000;
/// Probes in a second, of all parties together.
const MAX_TOTAL_RATE: usize = 20_000;
const MAX_NAME: usize = 64;
const MAX_URL: usize = 2_048;
const MAX_P99_MS: u32 = 60_000;
/// Of `probe_ca`: some certificates, and no bundle of all the world's.
const MAX_CA: usize = 32 * 1024;

/// What a drill is to do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrillRequest {
    /// The relying parties, each by an address behind its proxy.
    pub parties: Vec<Party>,
    /// How often the canary is stopped: 1 to 200 times, 20 if not said.
    #[serde(default = "twenty")]
    pub samples: u32,
    /// Probes of each party in a second: 1 to 5000, 1000 if not said.
    #[serde(default = "thousand")]
    pub rate: u32,
    /// How the canary is stopped.
    #[serde(default)]
    pub act: Act,
    /// The labels of the canary; `env!=prod` if not said.
    #[serde(default = "not_production")]
    pub selector: String,
    /// The agent that is the canary, which must have the label `canary=true`. One is made
    /// if none is named.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub agent_id: Option<AgentId>,
    /// The most that the 99th percentile of the last rejection may be, in milliseconds.
    #[serde(default)]
    pub p99_ms: Option<u32>,
    /// PEM certificates of the authorities by which the certificates of `https://` parties
    /// are verified, instead of those of the machine that the control plane runs on.
    #[serde(default)]
    pub probe_ca: Option<String>,
}

/// A relying party.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// What it is called: 1 to 64 of letters, digits and `_.:/-`.
    pub name: String,
    /// An `http://` or `https://` address through its proxy, which answers 2xx to the canary.
    /// GET requests are sent there.
    pub url: String,
}

/// How a canary is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// It is suspended, with requests in flight aborted, and restored after each sample.
    #[default]
    Suspend,
    /// It is revoked, and each sample has a canary of its own.
    Revoke,
}

fn twenty() -> u32 {
    20
}

fn thousand() -> u32 {
    1_000
}

fn not_production() -> String {
    "env!=prod".to_owned()
}

impl DrillRequest {
    /// The addresses in the order of the parties, and the selector.
    ///
    /// # Errors
    /// What is wrong, with the member that it is about.
    pub(super) fn check(&self) -> Result<(Vec<Url>, Selector), String> {
        let between = |member: &str, number: u32, most: u32| match (1..=most).contains(&number) {
            true => Ok(()),
            false => Err(format!("`{member}`: must be between 1 and {most}, not {number}")),
        };
        between("samples", self.samples, MAX_SAMPLES)?;
        between("rate", self.rate, MAX_RATE)?;
        between("p99_ms", self.p99_ms.unwrap_or(1), MAX_P99_MS)?;
        if !(1..=MAX_PARTIES).contains(&self.parties.len()) {
            let count = self.parties.len();
            return Err(format!("`parties`: must be 1 to {MAX_PARTIES}, these are {count}"));
        }
        let total =
            self.parties.len().saturating_mul(usize::try_from(self.rate).unwrap_or(usize::MAX));
        if total > MAX_TOTAL_RATE {
            return Err(format!(
                "`rate`: {total} probes a second to all parties together, and {MAX_TOTAL_RATE} are the most"
            ));
        }
        if self.act == Act::Revoke && self.agent_id.is_some() {
            return Err("`agent_id`: an agent of yours is not revoked by a drill; leave it out, and each sample has a canary of its own".to_owned());
        }
        if let Some(pem) = &self.probe_ca {
            if pem.len() > MAX_CA {
                return Err(format!("`probe_ca`: has more than {MAX_CA} bytes"));
            }
            if pem.contains("PRIVATE KEY") {
                return Err(
                    "`probe_ca`: has a private key in it, which belongs to nobody but its owner"
                        .to_owned(),
                );
            }
            Fetcher::from_pem(pem.as_bytes()).map_err(|why| format!("`probe_ca`: {why}"))?;
        }
        let mut urls = Vec::with_capacity(self.parties.len());
        for (n, party) in self.parties.iter().enumerate() {
            let wrong = |member: &str, why: String| format!("`parties[{n}].{member}`: {why}");
            name(&party.name).map_err(|why| wrong("name", why))?;
            if self.parties.iter().take(n).any(|other| other.name == party.name) {
                return Err(wrong("name", format!("there are two parties `{}`", party.name)));
            }
            urls.push(address(&party.url).map_err(|why| wrong("url", why))?);
        }
        let selector = self.selector.parse::<Selector>();
        Ok((urls, selector.map_err(|why| format!("`selector`: {why}"))?))
    }
}

fn name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/-".contains(&byte);
    match (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) {
        true => Ok(()),
        false => Err(format!("must be 1 to {MAX_NAME} letters, digits and `_.:/-`")),
    }
}

fn address(text: &str) -> Result<Url, String> {
    if text.len() > MAX_URL {
        return Err(format!("has more than {MAX_URL} characters"));
    }
    let url = Url::parse(text).map_err(|why| format!("is no address: {why}"))?;
    match url.scheme() {
        "http" | "https" if url.host().is_some() => {}
        _ => return Err("must be an http:// or https:// address".to_owned()),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password in it, which are not sent".to_owned());
    }
    if url.fragment().is_some() {
        return Err("has a fragment, which is not sent".to_owned());
    }
    if url.query().is_some() {
        return Err("has a query, which may be a secret and would stay in the audit trail: name a path without one".to_owned());
    }
    Ok(url)
}

/// The labels of a canary that is made for this selector.
///
/// # Errors
/// Why there can be none.
pub(super) fn canary_labels(selector: &Selector) -> Result<Labels, String> {
    let word = |text: &str| LabelValue::try_from(text.to_owned()).map_err(|why| why.to_string());
    let labels: Labels =
        "canary=true".parse().map_err(|why: crate::labels::LabelError| why.to_string())?;
    let labels = selector
        .met_by(labels.clone(), &word("drill")?)
        .or(selector.met_by(labels, &word("canary")?))
        .ok_or_else(|| {
            format!("`selector`: no canary can be one of {selector}: it has the label canary=true")
        })?;
    match is_production(&labels) {
        true => Err(format!("`selector`: {selector} means production, which no drill stops")),
        false => Ok(labels),
    }
}

/// Whether an agent with these labels is fit to be the canary of this selector.
///
/// # Errors
/// Why it is not.
pub(super) fn check_canary(labels: &Labels, selector: &Selector) -> Result<(), String> {
    if is_production(labels) {
        return Err(
            "`agent_id`: it is a production agent by its label env, and no drill stops one"
                .to_owned(),
        );
    }
    if label(labels, "canary") != Some("true") {
        return Err("`agent_id`: it is no canary: it has not the label canary=true".to_owned());
    }
    match selector.matches(labels) {
        true => Ok(()),
        false => Err(format!("`agent_id`: it is none of {selector}")),
    }
}

fn label<'a>(labels: &'a Labels, key: &str) -> Option<&'a str> {
    let key = LabelKey::try_from(key.to_owned()).ok()?;
    labels.get(&key).map(LabelValue::as_str)
}

fn is_production(labels: &Labels) -> bool {
    let env = label(labels, "env").unwrap_or_default();
    ["prod", "production"].iter().any(|name| env.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(members: Value) -> DrillRequest {
        let mut whole = json!({ "parties": [{ "name": "a", "url": "http://a.example/x" }] });
        whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_is_not_said_is_harmless() {
        let plain = request(json!({}));
        let said = (plain.samples, plain.rate, plain.act, &*plain.selector);
        assert_eq!(said, (20, 1000, Act::Suspend, "env!=prod"));
        let (urls, selector) = plain.check().unwrap();
        assert_eq!((urls[0].as_str(), urls.len()), ("http://a.example/x", 1));
        let labels = canary_labels(&selector).unwrap();
        assert_eq!(labels.to_string(), "canary=true,env=drill");
    }

    #[test]
    fn what_no_drill_does_is_refused_with_its_member() {
        let party = |url: &str| json!({ "parties": [{ "name": "a", "url": url }] });
        let many = (0..21).map(|n| json!({ "name": format!("p{n}"), "url": "http://a" }));
        let id = AgentId::from_bytes([1; 16]);
        for (members, part) in [
            (json!({ "samples": 0 }), "`samples`: must be between 1 and 200"),
            (json!({ "rate": 5001 }), "`rate`: must be between"),
            (json!({ "p99_ms": 0 }), "`p99_ms`: must"),
            (json!({ "parties": [] }), "`parties`: must be 1 to 64"),
            (json!({ "parties": many.collect::<Vec<_>>() }), "`rate`: 21000 probes"),
            (json!({ "act": "revoke", "agent_id": id }), "`agent_id`: an agent of yours"),
            (json!({ "selector": "env=" }), "`selector`: "),
            (json!({ "probe_ca": "no PEM" }), "`probe_ca`: there is no PEM certificate"),
            (json!({ "probe_ca": "-----BEGIN PRIVATE KEY-----" }), "has a private key in it"),
            (json!({ "probe_ca": "x".repeat(MAX_CA + 1) }), "`probe_ca`: has more than"),
            (party("ftp://a.example"), "`parties[0].url`: must be an http"),
            (party("http://me:x@a.example"), "has a user or password"),
            (party("http://a.example/#x"), "has a fragment"),
            (party("http://a.example/?key=secret"), "has a query"),
            (party("a.example/x"), "is no address"),
            (json!({ "parties": [{ "name": "a b", "url": "http://a" }] }), "`parties[0].name`"),
            (
                json!({ "parties": [{ "name": "a", "url": "http://a" }, { "name": "a", "url": "http://b" }] }),
                "two parties `a`",
            ),
        ] {
            let refused = request(members).check().unwrap_err();
            assert!(refused.contains(part), "{part}: {refused}");
        }
    }

    #[test]
    fn no_production_agent_is_a_canary() {
        let check = |labels: &str, selector: &str| {
            check_canary(&labels.parse().unwrap(), &selector.parse().unwrap())
        };
        assert_eq!(check("canary=true,env=staging", "env!=prod"), Ok(()));
        assert_eq!(check("canary=true", "env!=prod"), Ok(()));
        for env in ["prod", "production", "PROD", "Production"] {
            let labels = format!("canary=true,env={env}");
            assert!(check(&labels, "canary").unwrap_err().contains("production"), "{env}");
        }
        assert!(check("env=staging", "env!=prod").unwrap_err().contains("canary=true"));
        assert!(check("canary=yes", "env!=prod").unwrap_err().contains("canary=true"));
        assert!(check("canary=true,env=dev", "env=staging").unwrap_err().contains("none of"));
        for production in ["env=prod", "env=production", "env=Prod"] {
            let refused = canary_labels(&production.parse().unwrap()).unwrap_err();
            assert!(refused.contains("production"), "{refused}");
        }
        let other = canary_labels(&"env!=drill".parse().unwrap()).unwrap();
        assert_eq!(other.to_string(), "canary=true,env=canary");
        assert!(canary_labels(&"!canary".parse().unwrap()).is_err());
    }
}
