//! Which keys count, for which checkpoints.

use super::super::{KeyChange, SignedCheckpoint, VerifierKey};
use super::fault::Fault;

/// Most keys that are followed from one to the next.
const MAX_KEYS: usize = 1024;

/// Keys that are pinned, and those that they named.
#[derive(Debug, Clone)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    key: VerifierKey,
    /// Number of the record that named it: it counts for checkpoints of that size on. 0 if
    /// it is pinned.
    from: u64,
    /// Number of the record by which another took its place.
    until: Option<u64>,
}

impl Key {
    fn counts_at(&self, size: u64) -> bool {
        self.from <= size && self.until.is_none_or(|until| size < until)
    }
}

impl Keys {
    pub(super) fn pinned(keys: Vec<VerifierKey>) -> Self {
        Self(keys.into_iter().map(|key| Key { key, from: 0, until: None }).collect())
    }

    /// Follows from one key to the next, at this record, if the one before counts. Says
    /// whether that was so.
    pub(super) fn follow(&mut self, record: u64, change: &KeyChange) -> bool {
        let current = |it: &&mut Key| it.key == change.previous && it.counts_at(record);
        let Some(previous) = self.0.iter_mut().find(current) else { return false };
        previous.until = Some(record);
        if self.0.len() >= MAX_KEYS {
            return false;
        }
        self.0.push(Key { key: change.key.clone(), from: record, until: None });
        true
    }

    /// The key before was lost at this record, and counts no more; the new one counts only
    /// if it is pinned itself. Says whether it is.
    pub(super) fn recover(&mut self, record: u64, change: &KeyChange) -> bool {
        for it in self.0.iter_mut().filter(|it| it.key == change.previous) {
            it.until.get_or_insert(record);
        }
        self.0.iter().any(|it| it.key == change.key && it.counts_at(record))
    }

    /// The key that counts and signed it.
    pub(super) fn check(&self, signed: &SignedCheckpoint) -> Result<&VerifierKey, Fault> {
        let checkpoint = signed.unverified();
        let size = checkpoint.size;
        let (counting, others): (Vec<_>, Vec<_>) = self.0.iter().partition(|it| it.counts_at(size));
        let wrong = |why: String| Fault::WrongKey { size, why };
        if let Some(it) = counting.iter().find(|it| signed.verified_by(&it.key).is_some()) {
            return Ok(&it.key);
        }
        if counting.iter().any(|it| signed.note().names(&it.key)) {
            let own = counting.iter().any(|it| it.key.name() == checkpoint.origin);
            return Err(match own {
                true => Fault::BadSignature { size },
                false => wrong(format!("it is of another trail, `{}`", checkpoint.origin)),
            });
        }
        let replaced = others.iter().find(|it| signed.verified_by(&it.key).is_some());
        if let Some(Key { key, until, .. }) = replaced {
            return Err(wrong(match until {
                Some(at) => format!("signed by the key {}, which record {at} replaced", key.id()),
                None => format!("signed by the key {} before it counted", key.id()),
            }));
        }
        if !self.0.iter().any(|it| it.key.name() == checkpoint.origin) {
            let origin = &checkpoint.origin;
            return Err(wrong(format!("it is of another trail, `{origin}`, than the pinned keys")));
        }
        let signers: Vec<_> =
            signed.note().signers().take(8).map(|(name, id)| format!("{name}+{id}")).collect();
        let signers = signers.join(", ");
        Err(wrong(format!("signed by {signers}, and not by a key that is pinned or follows one")))
    }
}
