//! What a capability token says.

use std::fmt;

use serde::{Serialize, Serializer};

use super::error::{CapabilityError, Part};
use super::json::{Json, Members};
use super::scope::Scope;
use super::thumbprint::Thumbprint;
use super::{MAX_ACTORS, MAX_AUDIENCE, MAX_LIFETIME, MAX_NAME_BYTES};
use crate::ids::{AgentId, CapabilityId, PrincipalId};
use crate::time::UnixSeconds;

/// The largest time that every reader of JSON holds exactly (RFC 7493 section 2.2).
const MAX_TIME: u64 = (1 << 53) - 1;

/// The claims of a token. As such they are wishes: those that are believed are in a
/// [`VerifiedCapability`](super::VerifiedCapability).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`: who has issued it, in 1 to 256 bytes.
    pub issuer: String,
    /// `client_id`: who acts, which is also the `sub` unless it acts for somebody.
    pub agent: AgentId,
    /// `sub`, where that is somebody else for whom the agent acts. The agent is then the
    /// last of those who acted (RFC 8693 section 4.1).
    pub subject: Option<Actor>,
    /// `aud`: the 1 to 16 services that it is for, each in 1 to 256 bytes.
    pub audience: Vec<String>,
    /// `iat`: when it was issued.
    pub issued: UnixSeconds,
    /// `nbf`: from when on it counts. Where a token does not say: from `iat` on.
    pub not_before: UnixSeconds,
    /// `exp`: the second from which on it does not count any more.
    pub expires: UnixSeconds,
    /// `jti`: its name, safe to log.
    pub id: CapabilityId,
    /// `scope`: what it is good for.
    pub scope: Scope,
    /// `act` (RFC 8693 section 4.1): the last one who acted first, and up to 8 in
    /// all. Empty where a token does not say.
    pub actors: Vec<Actor>,
    /// `cnf` (RFC 7800): the key that a request must prove to have (RFC 9449 section
    /// 6.1), if the token is bound to one.
    pub confirmation: Option<Thumbprint>,
}

/// One of those who acted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// An agent.
    Agent(AgentId),
    /// A principal.
    Principal(PrincipalId),
}

impl Claims {
    /// Reads claims whose signature fits.
    ///
    /// What is not known is ignored (RFC 7519 section 4): the claims that make a
    /// token narrower are all read here, and whatever else there is can only have
    /// been meant to add. It is not so within `act` and `cnf`, where each member is
    /// a part of who is meant.
    pub(super) fn read(text: &[u8]) -> Result<Self, CapabilityError> {
        let mut members = Members::read(text, Part::Claims)?;
        let issued = time(&mut members, "iat")?.ok_or(CapabilityError::MissingClaim("iat"))?;
        let actors = actors(&mut members)?;
        let issuer = text_of(&mut members, "iss")?;
        let (agent, subject) = agent(&mut members, actors.first())?;
        let claims = Self {
            issuer,
            agent,
            subject,
            audience: audience(&mut members)?,
            issued,
            not_before: time(&mut members, "nbf")?.unwrap_or(issued),
            expires: time(&mut members, "exp")?.ok_or(CapabilityError::MissingClaim("exp"))?,
            id: text_of(&mut members, "jti")?
                .parse()
                .map_err(|_| CapabilityError::BadClaim("jti"))?,
            scope: Scope::parse(text_of(&mut members, "scope")?)?,
            actors,
            confirmation: confirmation(&mut members)?,
        };
        claims.check_form()?;
        Ok(claims)
    }

    /// The bounds that the types of the fields do not hold, for whoever reads claims
    /// and whoever writes them.
    pub(super) fn check_form(&self) -> Result<(), CapabilityError> {
        let is_name = |name: &str| (1..=MAX_NAME_BYTES).contains(&name.len());
        if !is_name(&self.issuer) {
            return Err(CapabilityError::BadClaim("iss"));
        }
        let services = &self.audience;
        if !(1..=MAX_AUDIENCE).contains(&services.len()) || !services.iter().all(|it| is_name(it)) {
            return Err(CapabilityError::BadClaim("aud"));
        }
        let acts = Actor::Agent(self.agent);
        if self.subject.is_some_and(|it| it == acts || self.actors.first() != Some(&acts)) {
            return Err(CapabilityError::TwoAgents);
        }
        if self.actors.len() > MAX_ACTORS {
            return Err(CapabilityError::BadClaim("act"));
        }
        for (name, at) in [("iat", self.issued), ("nbf", self.not_before), ("exp", self.expires)] {
            if at.0 > MAX_TIME {
                return Err(CapabilityError::BadClaim(name));
            }
        }
        match self.lifetime() {
            Some(1..=MAX_LIFETIME) if self.not_before < self.expires => Ok(()),
            _ => Err(CapabilityError::WrongLifetime),
        }
    }

    /// From `iat` to `exp`, in seconds; `None` if that is less than nothing.
    pub fn lifetime(&self) -> Option<u64> {
        self.expires.0.checked_sub(self.issued.0)
    }
}

fn text_of(members: &mut Members, name: &'static str) -> Result<String, CapabilityError> {
    match members.take(name) {
        Some(Json::Text(text)) => Ok(text),
        Some(_) => Err(CapabilityError::BadClaim(name)),
        None => Err(CapabilityError::MissingClaim(name)),
    }
}

/// A NumericDate (RFC 7519 section 2) in whole seconds. A fraction would be rounded
/// by each reader in its own way.
fn time(members: &mut Members, name: &'static str) -> Result<Option<UnixSeconds>, CapabilityError> {
    match members.take(name) {
        Some(Json::Integer(at)) => Ok(Some(UnixSeconds(at))),
        Some(_) => Err(CapabilityError::BadClaim(name)),
        None => Ok(None),
    }
}

/// RFC 8725 section 3.8: the subject is one that this issuer names, and the client it was
/// issued to (RFC 9068 section 2.2) no other, or one that acts for it and is said to (RFC
/// 8693 section 4.1).
fn agent(
    members: &mut Members,
    last: Option<&Actor>,
) -> Result<(AgentId, Option<Actor>), CapabilityError> {
    let subject = Actor::parse(&text_of(members, "sub")?);
    let subject = subject.ok_or(CapabilityError::BadClaim("sub"))?;
    let client = text_of(members, "client_id")?.parse::<AgentId>();
    let client = client.map_err(|_| CapabilityError::BadClaim("client_id"))?;
    let client_acts = Actor::Agent(client);
    match subject {
        subject if subject == client_acts => Ok((client, None)),
        subject if last == Some(&client_acts) => Ok((client, Some(subject))),
        _ => Err(CapabilityError::TwoAgents),
    }
}

/// RFC 7519 section 4.1.3: one service, or a list of them.
fn audience(members: &mut Members) -> Result<Vec<String>, CapabilityError> {
    let bad = CapabilityError::BadClaim("aud");
    match members.take("aud") {
        Some(Json::Text(service)) => Ok(vec![service]),
        Some(Json::List(services)) => services
            .into_iter()
            .map(|it| if let Json::Text(service) = it { Ok(service) } else { Err(bad) })
            .collect(),
        Some(_) => Err(bad),
        None => Err(CapabilityError::MissingClaim("aud")),
    }
}

/// RFC 8693 section 4.1: each actor is an object, and who acted before it is the
/// `act` within. Whatever else stood there would be a part of its identity.
fn actors(members: &mut Members) -> Result<Vec<Actor>, CapabilityError> {
    let bad = CapabilityError::BadClaim("act");
    let mut actors = Vec::new();
    let mut next = members.take("act");
    while let Some(actor) = next {
        let Json::Object(mut actor) = actor else { return Err(bad) };
        let Some(Json::Text(subject)) = actor.take("sub") else { return Err(bad) };
        next = actor.take("act");
        if !actor.is_empty() || actors.len() >= MAX_ACTORS {
            return Err(bad);
        }
        actors.push(Actor::parse(&subject).ok_or(bad)?);
    }
    Ok(actors)
}

/// RFC 7800 section 3.1 would have other members ignored. A confirmation that is not
/// checked is none, so all of them must be understood.
fn confirmation(members: &mut Members) -> Result<Option<Thumbprint>, CapabilityError> {
    let Some(confirmation) = members.take("cnf") else { return Ok(None) };
    let Json::Object(mut confirmation) = confirmation else {
        return Err(CapabilityError::BadClaim("cnf"));
    };
    match confirmation.take("jkt") {
        _ if !confirmation.is_empty() => Err(CapabilityError::UnknownConfirmation),
        None => Err(CapabilityError::UnknownConfirmation),
        Some(Json::Text(jkt)) => {
            Thumbprint::parse(&jkt).map(Some).ok_or(CapabilityError::BadClaim("cnf"))
        }
        Some(_) => Err(CapabilityError::BadClaim("cnf")),
    }
}

impl Actor {
    fn parse(text: &str) -> Option<Self> {
        let agent = text.parse().map(Self::Agent);
        agent.or_else(|_| text.parse().map(Self::Principal)).ok()
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(id) => fmt::Display::fmt(id, f),
            Self::Principal(id) => fmt::Display::fmt(id, f),
        }
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
