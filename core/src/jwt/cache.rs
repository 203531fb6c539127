//! Tokens that were verified before, so that a signature is checked once.
//!
//! A hit compares the whole token with the one that was verified, in two parts. What
//! stands before the signature is kept and compared byte by byte. The signature is
//! kept and compared as its SHA-256, which also says where to look. So whoever cannot
//! find a collision of SHA-256 has no other token that passes for a known one; and
//! nothing that is kept could be presented by somebody who reads the memory of the
//! proxy. The signature is the secret of a token, so comparing what comes before it
//! tells nothing by the time that it takes.
//!
//! Hashing the whole token would be as safe, and is 9 blocks of SHA-256 for 550 bytes
//! where 86 characters are 2. A shorter or weaker hash of it would not be: whoever
//! presents a token chooses its bytes.
//!
//! Only verified tokens get in, so what nobody has signed takes no place. Whoever
//! holds more valid tokens than there are places can only make others be verified
//! again.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::error::CapabilityError;
use super::verify::{CapabilityVerifier, VerifiedCapability};

/// Most tokens that a cache keeps. An entry is the token without its signature, and
/// its claims: 4 MiB in all with tokens of the usual size, and no more than 32 MiB
/// when each is as long as a token may be.
pub const CACHE_ENTRIES: usize = SETS * WAYS;
const SETS: usize = 512;
const WAYS: usize = 8;
/// An Ed25519 signature in base64url.
const SIGNATURE_CHARACTERS: usize = 86;

/// A verifier that remembers up to 4096 tokens that it has verified. The keys cannot
/// be changed under what was verified by others: see
/// [`replace`](Self::replace).
#[derive(Debug, Default)]
pub struct VerifiedCache {
    verifier: Option<Arc<CapabilityVerifier>>,
    /// None, before the first token.
    sets: Vec<Set>,
}

/// The places for tokens whose signatures have a hash of the same first bits, the
/// one that was used last first. When all are taken, the one that was not used for
/// longest makes room.
#[derive(Debug, Default)]
struct Set([Option<Box<Entry>>; WAYS]);

struct Entry {
    message: Box<[u8]>,
    signature: [u8; 32],
    capability: Arc<VerifiedCapability>,
}

impl VerifiedCache {
    /// A cache with nothing in it.
    pub fn new(verifier: impl Into<Arc<CapabilityVerifier>>) -> Self {
        Self { verifier: Some(verifier.into()), sets: Vec::new() }
    }

    /// The same, verifying by this verifier: what was verified by another is forgotten.
    pub fn of(&mut self, verifier: &Arc<CapabilityVerifier>) -> &mut Self {
        match &mut self.verifier {
            Some(known) if Arc::ptr_eq(known, verifier) => {}
            // The same keys and the same issuer, read again.
            Some(known) if *known == *verifier => *known = Arc::clone(verifier),
            _ => self.replace(Arc::clone(verifier)),
        }
        self
    }

    /// Verifies by these keys and this issuer from now on, and forgets what was
    /// verified before.
    pub fn replace(&mut self, verifier: impl Into<Arc<CapabilityVerifier>>) {
        *self = Self::new(verifier);
    }

    /// The token as it was verified, now or before. A hit allocates nothing.
    ///
    /// # Errors
    /// Those of [`CapabilityVerifier::verify`]. What is refused is not remembered.
    pub fn verified(&mut self, token: &[u8]) -> Result<Arc<VerifiedCapability>, CapabilityError> {
        let verifier = self.verifier.as_ref().ok_or(CapabilityError::UnknownKey)?;
        if self.sets.is_empty() {
            self.sets = empty_sets();
        }
        let before = token.len().saturating_sub(SIGNATURE_CHARACTERS);
        let (message, signature) =
            token.split_at_checked(before).ok_or(CapabilityError::NotCompact)?;
        let signature: [u8; 32] = Sha256::digest(signature).into();
        let [first, second, ..] = signature;
        let index = usize::from(u16::from_le_bytes([first, second])) % SETS;
        let set = self.sets.get_mut(index).ok_or(CapabilityError::NotCompact)?;
        if !set.bring_forward(message, &signature) {
            let capability = Arc::new(verifier.verify(token)?);
            set.put(Entry { message: message.into(), signature, capability });
        }
        set.first().cloned().ok_or(CapabilityError::NotCompact)
    }

    /// How many tokens are kept.
    pub fn len(&self) -> usize {
        self.sets.iter().flat_map(|set| &set.0).flatten().count()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn empty_sets() -> Vec<Set> {
    std::iter::repeat_with(Set::default).take(SETS).collect()
}

impl Set {
    /// Puts the entry of this token first, if there is one.
    fn bring_forward(&mut self, message: &[u8], signature: &[u8; 32]) -> bool {
        let is_it = |entry: &Entry| entry.signature == *signature && *entry.message == *message;
        let at = self.0.iter().position(|entry| entry.as_deref().is_some_and(is_it));
        let Some(up_to) = at.and_then(|at| self.0.get_mut(..=at)) else { return false };
        up_to.rotate_right(1);
        true
    }

    fn put(&mut self, entry: Entry) {
        self.0.rotate_right(1);
        if let Some(first) = self.0.first_mut() {
            *first = Some(Box::new(entry));
        }
    }

    fn first(&self) -> Option<&Arc<VerifiedCapability>> {
        self.0.first()?.as_deref().map(|entry| &entry.capability)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({:?})", self.capability.identity())
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
