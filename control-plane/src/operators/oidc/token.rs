//! A token as it is presented, and what its claims have to be.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::jwks::{Algorithm, MAX_KID};
use super::{OperatorName, Role, TokenRefusal};
use crate::config::OidcConfig;
use crate::time::UnixMicros;

/// Bytes of a token.
pub(super) const MAX_TOKEN: usize = 8 * 1024;
/// From `iat` to `exp`: nothing but time ends a token.
pub(super) const MAX_LIFETIME_HOURS: u32 = 24;
/// Characters of a foreign text that an error repeats.
const SHOWN: usize = 100;

/// A signed JWT in its compact form, of which nothing is verified yet.
pub(in crate::operators) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// What the signature is of (RFC 7515 section 5.2).
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    payload: &'a [u8],
}

/// Keys that a header names by itself (`jwk`, `jku`, `x5u`, `x5c`) are never looked at
/// (RFC 8725 section 3.10).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// Claims of a token whose signature was good. Times are seconds since 1970 (RFC 7519
/// section 2), with a fraction where the issuer writes one.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    azp: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl<'a> Token<'a> {
    pub(super) fn read(presented: &'a [u8], allowed: &[Algorithm]) -> Result<Self, TokenRefusal> {
        if presented.len() > MAX_TOKEN {
            return Err(TokenRefusal::TooLarge(presented.len()));
        }
        let malformed = |what: &str| TokenRefusal::Malformed(what.to_owned());
        let parts: Vec<_> = presented.split(|byte| *byte == b'.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(malformed("it must have three parts with a dot between them"));
        };
        let signed = header.len().saturating_add(payload.len()).saturating_add(1);
        let signed = presented.get(..signed).unwrap_or_default();
        let header: Header = part("header", header)?;
        if header.crit {
            return Err(TokenRefusal::Critical);
        }
        let algorithm = Algorithm::from_name(&header.alg)
            .filter(|algorithm| allowed.contains(algorithm))
            .ok_or_else(|| TokenRefusal::Algorithm(shown(&header.alg)))?;
        // With a type of its own, `at+jwt`, a capability token passes for nothing else.
        if let Some(typ) = header.typ.filter(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(TokenRefusal::Type(shown(&typ)));
        }
        if header.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(malformed("its `kid` is too long"));
        }
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| malformed("its signature is not in base64url"))?;
        Ok(Self { algorithm, kid: header.kid, signed, signature, payload })
    }

    /// Its claims: for after the check of its signature.
    pub(super) fn claims(&self) -> Result<Claims, TokenRefusal> {
        part("payload", self.payload)
    }
}

impl Claims {
    /// Whom they name and with which role, if they count now.
    pub(super) fn operator(
        self,
        config: &OidcConfig,
        now: UnixMicros,
    ) -> Result<(OperatorName, Role), TokenRefusal> {
        self.is_for_us(config)?;
        self.is_of_this_time(config, now)?;
        let name = self.name(&config.name_claim)?;
        // The highest counts: whoever is in two groups may do what the one may.
        let role = self.groups(&config.groups_claim)?.filter_map(|group| config.roles.get(group));
        match role.max().copied() {
            Some(role) => Ok((name, role)),
            None => Err(TokenRefusal::NoRole { name }),
        }
    }

    fn is_for_us(&self, config: &OidcConfig) -> Result<(), TokenRefusal> {
        if self.iss != config.issuer {
            return Err(TokenRefusal::Issuer(shown(&self.iss)));
        }
        let (named, others) = match &self.aud {
            OneOrMany::One(audience) => (*audience == config.audience, false),
            OneOrMany::Many(all) => (all.contains(&config.audience), all.len() > 1),
        };
        if !named {
            return Err(TokenRefusal::Audience(config.audience.clone()));
        }
        match &self.azp {
            Some(azp) if config.authorized_parties.is_empty() && *azp == config.audience => Ok(()),
            Some(azp) if config.authorized_parties.contains(azp) => Ok(()),
            None if !others => Ok(()),
            _ => Err(TokenRefusal::Party),
        }
    }

    fn is_of_this_time(&self, config: &OidcConfig, now: UnixMicros) -> Result<(), TokenRefusal> {
        // Exact to the microsecond until the year 2255 (2^53 µs).
        let (now, leeway) = (now.0 as f64 / 1e6, config.leeway.as_secs_f64());
        if self.exp + leeway <= now {
            return Err(TokenRefusal::Expired);
        }
        if self.nbf.is_some_and(|nbf| nbf > now + leeway) {
            return Err(TokenRefusal::NotYet("nbf"));
        }
        if self.iat > now + leeway {
            return Err(TokenRefusal::NotYet("iat"));
        }
        match self.exp - self.iat <= f64::from(MAX_LIFETIME_HOURS) * 3600.0 {
            true => Ok(()),
            false => Err(TokenRefusal::Lifetime),
        }
    }

    fn name(&self, claim: &str) -> Result<OperatorName, TokenRefusal> {
        let refused = |why| TokenRefusal::Name(claim.to_owned(), why);
        let text = match claim {
            "sub" => Some(&*self.sub),
            // Anybody can claim an address that the issuer has not verified.
            "email" if self.others.get("email_verified") != Some(&Value::Bool(true)) => {
                return Err(refused("the issuer has not verified the address (`email_verified`)"));
            }
            claim => self.others.get(claim).and_then(Value::as_str),
        };
        let text = text.ok_or_else(|| refused("it is not there, or no text"))?;
        OperatorName::federated(text).ok_or_else(|| refused("it is empty or too long"))
    }

    fn groups(&self, claim: &str) -> Result<impl Iterator<Item = &str>, TokenRefusal> {
        let found = match claim.strip_prefix('/') {
            None => self.others.get(claim),
            Some(rest) => {
                let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
                let top = self.others.get(&first.replace("~1", "/").replace("~0", "~"));
                match rest {
                    "" => top,
                    rest => top.and_then(|top| top.pointer(&format!("/{rest}"))),
                }
            }
        };
        let groups: Vec<&str> = match found {
            None | Some(Value::Null) => vec![],
            Some(Value::String(group)) => vec![group],
            Some(Value::Array(groups)) if groups.iter().all(Value::is_string) => {
                groups.iter().filter_map(Value::as_str).collect()
            }
            Some(_) => {
                let what = format!("its claim `{claim}` is neither a text nor a list of texts");
                return Err(TokenRefusal::Malformed(what));
            }
        };
        Ok(groups.into_iter())
    }
}

/// One part: JSON in base64url.
fn part<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, TokenRefusal> {
    let malformed = |why: String| TokenRefusal::Malformed(format!("its {name} {why}"));
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed("is not in base64url".into()))?;
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(malformed("is no JSON object".into()));
    }
    // What serde says of a wrong value may repeat it.
    serde_json::from_slice(&json).map_err(|why| malformed(shown(&format!("cannot be read: {why}"))))
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(value).map(|_| true)
}

/// A foreign text, short and without control characters.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}
