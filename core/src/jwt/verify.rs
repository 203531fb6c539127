//! The one way to believe a capability token, and what is asked of it at each use.

use super::claims::Claims;
use super::compact::{UnverifiedCapability, parse};
use super::error::{CapabilityError, Part, SetupError};
use super::keys::CapabilityKeys;
use super::thumbprint::Thumbprint;
use super::{DEFAULT_LIFETIME, LEEWAY_SECONDS, MAX_LIFETIME, MAX_NAME_BYTES, decode};
use crate::ids::CapabilityId;
use crate::time::UnixSeconds;

/// Whose tokens are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilityVerifier {
    issuer: String,
    keys: CapabilityKeys,
    max_lifetime: u64,
}

/// A token whose signature fits a trusted key, from the trusted issuer, with claims
/// of the right form. There is no other way to make one than
/// [`CapabilityVerifier::verify`]. It may be kept: whether it counts at some time
/// and place is for [`check`] to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCapability {
    claims: Claims,
}

/// By what a token is known to whoever takes it back: never by its bytes, which can
/// be written in more than one way by whoever holds the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `jti`.
    pub id: CapabilityId,
}

/// How a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presentation<'a> {
    /// The time that it is to count at: no earlier than the control plane's clock is
    /// known to be.
    pub now: UnixSeconds,
    /// The service that it is presented to.
    pub service: &'a str,
    /// The key that the request has proven to have (RFC 9449 section 4.3), if it has
    /// proven any.
    pub proof: Option<Thumbprint>,
}

impl CapabilityVerifier {
    /// A verifier of the tokens of one issuer, which signs with these keys (RFC 8725
    /// section 3.8). A token may live for [`DEFAULT_LIFETIME`].
    ///
    /// # Errors
    /// [`SetupError::Issuer`] when the name of the issuer has not 1 to 256 bytes.
    pub fn new(issuer: impl Into<String>, keys: CapabilityKeys) -> Result<Self, SetupError> {
        let issuer = issuer.into();
        if !(1..=MAX_NAME_BYTES).contains(&issuer.len()) {
            return Err(SetupError::Issuer(issuer.len()));
        }
        Ok(Self { issuer, keys, max_lifetime: DEFAULT_LIFETIME })
    }

    /// The same with another bound on lifetimes, in seconds.
    ///
    /// # Errors
    /// [`SetupError::Lifetime`] when it is 0, or more than a day.
    pub fn with_max_lifetime(self, seconds: u64) -> Result<Self, SetupError> {
        if !(1..=MAX_LIFETIME).contains(&seconds) {
            return Err(SetupError::Lifetime(seconds));
        }
        Ok(Self { max_lifetime: seconds, ..self })
    }

    /// Takes a token apart and believes it, or says why not.
    ///
    /// # Errors
    /// Everything but what [`check`] is for.
    pub fn verify(&self, token: &[u8]) -> Result<VerifiedCapability, CapabilityError> {
        self.verify_parsed(&parse(token)?)
    }

    /// Believes a token that was taken apart, or says why not. Nothing of the claims
    /// is looked at before the signature fits.
    ///
    /// # Errors
    /// Everything but what [`parse`] and [`check`] are for.
    pub fn verify_parsed(
        &self,
        token: &UnverifiedCapability<'_>,
    ) -> Result<VerifiedCapability, CapabilityError> {
        let key = self.keys.find(token.kid()).ok_or(CapabilityError::UnknownKey)?;
        // RFC 8725 sections 3.3 and 3.4: over every byte, by the strict rules, which
        // leave one signature and no key of small order.
        if !key.verifies(token.signed, &token.signature) {
            return Err(CapabilityError::BadSignature);
        }
        let claims = Claims::read(&decode(token.claims, Part::Claims)?)?;
        if claims.lifetime().is_none_or(|lifetime| lifetime > self.max_lifetime) {
            return Err(CapabilityError::WrongLifetime);
        }
        // RFC 8725 section 3.8: the keys are this issuer's, so no other counts.
        if claims.issuer != self.issuer {
            return Err(CapabilityError::WrongIssuer);
        }
        Ok(VerifiedCapability { claims })
    }
}

impl VerifiedCapability {
    /// What it says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// By what it is known to whoever takes it back.
    pub fn identity(&self) -> Identity<'_> {
        Identity { issuer: &self.claims.issuer, id: self.claims.id }
    }
}

/// Whether a verified token counts as it is presented. It costs no more than a few
/// comparisons, and MUST be asked at every use, however the token was found.
///
/// What was issued or begins up to [`LEEWAY_SECONDS`] in the future counts, since the
/// clock here may be behind. For `exp` there is no leeway.
///
/// # Errors
/// [`CapabilityError::WrongAudience`], [`NoProof`](CapabilityError::NoProof),
/// [`WrongProof`](CapabilityError::WrongProof), [`Expired`](CapabilityError::Expired)
/// or [`NotYet`](CapabilityError::NotYet), in this order.
pub fn check(
    capability: &VerifiedCapability,
    presented: &Presentation<'_>,
) -> Result<(), CapabilityError> {
    let claims = &capability.claims;
    // RFC 8725 section 3.9.
    if !claims.audience.iter().any(|service| service == presented.service) {
        return Err(CapabilityError::WrongAudience);
    }
    // RFC 9449 section 7: the key that is proven is the one that the token is bound
    // to, so a bound token is no bearer token, nor an unbound one any but that.
    match (claims.confirmation, presented.proof) {
        (bound, proven) if bound == proven => {}
        (_, None) => return Err(CapabilityError::NoProof),
        (_, Some(_)) => return Err(CapabilityError::WrongProof),
    }
    if presented.now >= claims.expires {
        return Err(CapabilityError::Expired);
    }
    let latest = presented.now.0.saturating_add(LEEWAY_SECONDS);
    if claims.issued.0 > latest || claims.not_before.0 > latest {
        return Err(CapabilityError::NotYet);
    }
    Ok(())
}
