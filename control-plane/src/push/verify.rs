//! Decisions by the control plane's own state, for services that have no proxy.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kya_core::jwt::{self, Presentation, Scope, VerifiedCache, VerifiedCapability};
use kya_core::{
    ActionName, Authority, Credential, Decision, Fingerprint, GrantIndex, Held, Image, Moment,
    Request, TokenDigest, TokenEntry, TokenTable, UnixMillis, UnixSeconds, Unreadable, decide,
};
use tonic::Status;

use super::Push;
use super::images::Images;

/// What is presented, for a decision.
pub(crate) enum Presented {
    /// A token, or what was to be one.
    Token(String),
    /// No token: as if by one that was just issued, of this grant.
    Grant(GrantIndex),
}

/// What is asked. `Debug` does not show the token.
pub(crate) struct Question {
    pub(crate) presented: Presented,
    pub(crate) action: Option<ActionName>,
    pub(crate) service: Option<String>,
}

/// A token that counts.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub(crate) token: Counting,
    /// The actions that it is for and that nothing stops now, or
    /// [`EVERYTHING`](Scope::EVERYTHING).
    pub(crate) scope: String,
}

/// Which token that is.
#[derive(Debug, Clone)]
pub(crate) enum Counting {
    /// An opaque one.
    Opaque(TokenDigest),
    /// A capability token.
    Capability(Arc<VerifiedCapability>),
}

/// What is answered, and how long ago the state that says so was surely that of the
/// store.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) decision: Decision,
    pub(crate) state_age: Duration,
}

impl Push {
    /// Decides by everything that was committed before it was asked: whoever was told
    /// that something is revoked is told here that it is denied.
    pub(crate) async fn verify(&self, question: Question) -> Result<Verified, Status> {
        let asked = Instant::now();
        self.confirm().await?;
        let confirmed = self.confirmed().map_or(asked, |it| it.began);
        let clock = Arc::clone(&self.clock);
        let decide = move |images: &Images| {
            let state_age = confirmed.elapsed();
            let moment = Moment {
                now: clock.now().millis(),
                state_age: u64::try_from(state_age.as_millis()).unwrap_or(u64::MAX),
                max_staleness: None,
            };
            let decision = images.ask(|authority, image, verified| {
                question.decide(authority, image, verified, &moment)
            });
            Verified { decision, state_age }
        };
        let decided = self.images.on_a_thread(decide).await;
        decided.ok_or_else(|| Status::unavailable("the control plane is shutting down"))
    }

    /// Whether a token counts now, and for which actions; `None` if it does for none. By
    /// everything that was committed before it was asked.
    pub(crate) async fn active(&self, token: String) -> Result<Option<Active>, Status> {
        self.confirm().await?;
        let clock = Arc::clone(&self.clock);
        let look = move |images: &Images| {
            images.ask(|authority, image, verified| {
                active(token.as_bytes(), authority, image, verified, clock.now().millis())
            })
        };
        let looked = self.images.on_a_thread(look).await;
        looked.ok_or_else(|| Status::unavailable("the control plane is shutting down"))
    }

    /// The capability token, if the issuer has signed it, whether it counts or not.
    pub(crate) async fn signed(
        &self,
        token: String,
    ) -> Result<Option<Arc<VerifiedCapability>>, Status> {
        self.confirm().await?;
        let look = move |images: &Images| {
            images.ask(|authority, _, verified| {
                let issuer = authority.issuer()?;
                verified.of(issuer).verified(token.as_bytes()).ok()
            })
        };
        let looked = self.images.on_a_thread(look).await;
        looked.ok_or_else(|| Status::unavailable("the control plane is shutting down"))
    }
}

fn active(
    token: &[u8],
    authority: &Authority,
    mut image: &Image,
    verified: &mut VerifiedCache,
    now: UnixMillis,
) -> Option<Active> {
    match Credential::of(token) {
        Credential::Opaque(digest) => {
            let fingerprint = digest.fingerprint();
            let known = match authority.token(fingerprint) {
                Some(token) => Some(token),
                None => (&mut image).find(fingerprint).ok()?,
            };
            let counts = |token: &TokenEntry| {
                now.seconds() < token.expires && authority.stands(token, now).is_ok()
            };
            let token = known.filter(counts)?;
            let actions = authority.grant(token.grant)?.actions();
            let everything = actions.is_empty().then_some(Scope::EVERYTHING);
            let actions = actions.iter().map(ActionName::as_str).chain(everything);
            let scope = scope(authority, &token, actions, now)?;
            Some(Active { token: Counting::Opaque(digest), scope })
        }
        Credential::Capability(token) => {
            let capability = verified.of(authority.issuer()?).verified(token).ok()?;
            let service = capability.claims().audience.first()?;
            let presented = Presentation { now: now.seconds(), service, proof: None };
            jwt::check(&capability, &presented).ok()?;
            authority.stands(&*capability, now).ok()?;
            let scope = scope(authority, &*capability, capability.claims().scope.actions(), now)?;
            Some(Active { token: Counting::Capability(capability), scope })
        }
        Credential::Missing | Credential::Multiple | Credential::Malformed => None,
    }
}

/// Those of `actions` that nothing stops; `None` if each of them is stopped. What is for
/// everything stays so: which actions there are is known to nobody here.
fn scope<'a, 't>(
    authority: &Authority,
    token: impl Into<Held<'t>> + Copy,
    actions: impl Iterator<Item = &'a str>,
    now: UnixMillis,
) -> Option<String> {
    let goes_on = |action: &&str| {
        *action == Scope::EVERYTHING || authority.check(token, Some(action), now).is_ok()
    };
    let left: Vec<_> = actions.filter(goes_on).collect();
    (!left.is_empty()).then(|| left.join(" "))
}

impl Question {
    /// What the one decision function says.
    pub(super) fn decide(
        &self,
        authority: &Authority,
        image: &Image,
        verified: &mut VerifiedCache,
        moment: &Moment,
    ) -> Decision {
        let (credential, fresh) = match &self.presented {
            Presented::Token(token) => (Credential::of(token.as_bytes()), None),
            Presented::Grant(grant) => {
                let (issued, expires) = (UnixSeconds(u32::MAX.into()), UnixSeconds(u64::MAX));
                let token = TokenEntry { grant: *grant, issued, expires, revoked: false };
                // Of no token: there is none whose SHA-256 is known to be this.
                let digest = TokenDigest([0; 32]);
                (Credential::Opaque(digest), Some((digest.fingerprint(), token)))
            }
        };
        let mut tokens = Tokens { image, fresh };
        let (action, service) = (self.action.as_ref(), self.service.as_deref());
        decide(authority, &mut tokens, verified, &Request { credential, action, service }, moment)
    }
}

/// The tokens of the image, and one that is as if it were there.
struct Tokens<'a> {
    image: &'a Image,
    fresh: Option<(Fingerprint, TokenEntry)>,
}

impl TokenTable for Tokens<'_> {
    fn find(&mut self, fingerprint: Fingerprint) -> Result<Option<TokenEntry>, Unreadable> {
        match self.fresh {
            Some((known, token)) if known == fingerprint => Ok(Some(token)),
            _ => (&mut &*self.image).find(fingerprint),
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, service, .. } = self;
        f.debug_struct("Question")
            .field("action", action)
            .field("service", service)
            .finish_non_exhaustive()
    }
}
