//! Operators by OpenID Connect: what can be set, and what it must be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::settings::{
    OIDC_ALGORITHMS, OIDC_AUDIENCE, OIDC_AUTHORIZED_PARTIES, OIDC_CA, OIDC_GROUPS_CLAIM,
    OIDC_ISSUER, OIDC_JWKS_URL, OIDC_LEEWAY, OIDC_NAME_CLAIM, OIDC_ROLES,
};
use super::{Reader, Setting, error, path};
use crate::fetch::{FetchError, Fetcher, endpoint};
use crate::operators::{Algorithm, Role};

/// The longest leeway that can be asked for.
const MAX_LEEWAY: Duration = Duration::from_secs(300);
/// Groups that can be mapped, and parties that can be named.
const MAX_ENTRIES: usize = 256;
/// Characters of a claim, a group or an audience.
const MAX_TEXT: usize = 512;

/// Which tokens of OpenID Connect are those of operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// What `iss` must be, to the character. A URL that [`endpoint`] takes.
    pub issuer: String,
    /// What `aud` must name.
    pub audience: String,
    /// The role of each group that has one.
    pub roles: BTreeMap<String, Role>,
    /// The claim with the groups: a name, or a JSON pointer (RFC 6901) that begins with `/`.
    pub groups_claim: String,
    /// The claim that operators are called by.
    pub name_claim: String,
    /// What `azp` may be; the audience if there are none.
    pub authorized_parties: Vec<String>,
    /// Algorithms that count.
    pub algorithms: Vec<Algorithm>,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
    /// Where the keys are; where the discovery document says without.
    pub jwks_url: Option<Url>,
    /// PEM file of the authorities of the issuer's certificate; those of the machine without.
    pub ca: Option<PathBuf>,
}

impl OidcConfig {
    /// Tries whether the authorities can be read.
    ///
    /// # Errors
    /// When they cannot.
    pub fn check(&self) -> Result<(), FetchError> {
        Fetcher::new(self.ca.as_deref()).map(|_| ())
    }
}

const OTHERS: [Setting; 9] = [
    OIDC_AUDIENCE,
    OIDC_ROLES,
    OIDC_GROUPS_CLAIM,
    OIDC_NAME_CLAIM,
    OIDC_AUTHORIZED_PARTIES,
    OIDC_ALGORITHMS,
    OIDC_LEEWAY,
    OIDC_JWKS_URL,
    OIDC_CA,
];

impl Reader<'_> {
    /// All of it, or nothing: the issuer turns it on.
    pub(super) fn read_oidc(&mut self) -> Option<OidcConfig> {
        if self.find(OIDC_ISSUER).is_none() {
            for setting in OTHERS {
                if let Some((origin, _)) = self.find(setting).filter(|(from, _)| from != "default")
                {
                    let problem = "counts only with an issuer: set `oidc_issuer`, too";
                    self.errors.push(error(&origin, problem));
                }
            }
            return None;
        }
        let issuer = self.read(OIDC_ISSUER, |text| match endpoint(text)?.query() {
            Some(_) => Err(format!("`{text}` has a query, and an issuer has none")),
            None => Ok(text.to_owned()),
        });
        let audience = self.read(OIDC_AUDIENCE, name);
        let roles = self.read(OIDC_ROLES, roles);
        let groups_claim = self.read(OIDC_GROUPS_CLAIM, name);
        let name_claim = self.read(OIDC_NAME_CLAIM, name);
        let authorized_parties = match self.find(OIDC_AUTHORIZED_PARTIES) {
            Some(_) => self.read(OIDC_AUTHORIZED_PARTIES, |text| list(text, name)),
            None => Some(vec![]),
        };
        let algorithms = self.read(OIDC_ALGORITHMS, |text| list(text, algorithm));
        let leeway = self.read(OIDC_LEEWAY, leeway);
        let jwks_url = match self.find(OIDC_JWKS_URL) {
            Some(_) => Some(self.read(OIDC_JWKS_URL, endpoint)?),
            None => None,
        };
        let ca = match self.find(OIDC_CA) {
            Some(_) => Some(self.read(OIDC_CA, path)?),
            None => None,
        };
        Some(OidcConfig {
            issuer: issuer?,
            audience: audience?,
            roles: roles?,
            groups_claim: groups_claim?,
            name_claim: name_claim?,
            authorized_parties: authorized_parties?,
            algorithms: algorithms?,
            leeway: leeway?,
            jwks_url,
            ca,
        })
    }
}

fn name(text: &str) -> Result<String, String> {
    match text.chars().count() {
        0 => Err("must not be empty".to_owned()),
        length if length > MAX_TEXT => {
            Err(format!("has {length} characters, and may have {MAX_TEXT}"))
        }
        _ if text.chars().any(char::is_control) => {
            Err("must not have control characters".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

/// Texts between commas, each once.
fn list<T: PartialEq>(
    text: &str,
    item: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut items = Vec::new();
    for part in text.split(',') {
        let found = item(part.trim())?;
        if items.contains(&found) {
            return Err(format!("`{}` is there twice", part.trim()));
        }
        items.push(found);
    }
    match items.len() <= MAX_ENTRIES {
        true => Ok(items),
        false => Err(format!("has {} entries, and may have {MAX_ENTRIES}", items.len())),
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(text).ok_or_else(|| {
        format!("`{text}` is not an algorithm that may count: there are RS256, ES256 and EdDSA")
    })
}

/// `group=role,…`, or `{"group": "role", …}` for groups with a comma in their names.
fn roles(text: &str) -> Result<BTreeMap<String, Role>, String> {
    let pairs: Vec<(String, String)> = if text.trim_start().starts_with('{') {
        let read: BTreeMap<String, String> = serde_json::from_str(text)
            .map_err(|why| format!("is not a JSON object of groups and roles: {why}"))?;
        read.into_iter().collect()
    } else {
        list(text, |pair| match pair.rsplit_once('=') {
            Some((group, role)) => Ok((group.trim().to_owned(), role.trim().to_owned())),
            None => Err(format!("`{pair}` is not GROUP=ROLE such as `sre=operator`")),
        })?
    };
    let mut roles = BTreeMap::new();
    for (group, role) in pairs {
        let group = name(&group).map_err(|why| format!("the name of a group {why}"))?;
        let known = Role::from_name(&role).ok_or_else(|| {
            format!("`{role}` is not a role: there are viewer, auditor, operator and admin")
        })?;
        if roles.contains_key(&group) {
            return Err(format!("the group `{group}` is there twice"));
        }
        roles.insert(group, known);
    }
    match roles.len() {
        0 => Err("maps no group, so that nobody could be let in".to_owned()),
        length if length > MAX_ENTRIES => {
            Err(format!("has {length} groups, and may have {MAX_ENTRIES}"))
        }
        _ => Ok(roles),
    }
}

fn leeway(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= MAX_LEEWAY => Ok(duration),
        Ok(_) => Err(format!("`{text}` is longer than the 5 minutes that are allowed")),
        Err(why) => Err(format!("`{text}` is not a duration such as `30s`: {why}")),
    }
}

#[cfg(test)]
#[path = "oidc_tests.rs"]
mod tests;
