//! What the opaque tokens are called that proxies report by the beginning of a hash.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use kya_core::{Fingerprint, TokenId};

use super::report::Report;
use crate::store::Store;
use kya_core::audit::event::Batch;

/// Tokens that are remembered, at most.
const REMEMBERED: usize = 65_536;
/// Tokens of one batch that are looked up, at most; the others are shown by their hash.
const LOOKED_UP: usize = 256;

/// Names of tokens that were looked up. The one that was remembered first is forgotten
/// first.
#[derive(Debug, Default)]
pub(super) struct TokenNames(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    names: HashMap<Fingerprint, TokenId>,
    order: VecDeque<Fingerprint>,
}

impl TokenNames {
    /// Those of the tokens in this batch that are known. Where the store cannot be asked,
    /// those that are remembered.
    pub(super) async fn of(
        &self,
        batch: &Batch,
        store: &dyn Store,
    ) -> HashMap<Fingerprint, TokenId> {
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for fingerprint in Report::tokens(batch) {
                match known.names.get(&fingerprint) {
                    Some(id) => {
                        found.insert(fingerprint, *id);
                    }
                    None if missing.len() < LOOKED_UP && !missing.contains(&fingerprint) => {
                        missing.push(fingerprint);
                    }
                    None => {}
                }
            }
        }
        if !missing.is_empty()
            && let Ok(names) = store.token_names(missing).await
        {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (fingerprint, id) in names {
                known.note(fingerprint, id);
                found.insert(fingerprint, id);
            }
        }
        found
    }
}

impl Known {
    fn note(&mut self, fingerprint: Fingerprint, id: TokenId) {
        if self.names.insert(fingerprint, id).is_none() {
            self.order.push_back(fingerprint);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let mut known = Known::default();
        let name = |n: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            (Fingerprint(bytes), TokenId::from_bytes(bytes))
        };
        for n in 0..REMEMBERED + 5 {
            let (fingerprint, id) = name(n);
            known.note(fingerprint, id);
            known.note(fingerprint, id);
        }
        assert_eq!((known.names.len(), known.order.len()), (REMEMBERED, REMEMBERED));
        assert_eq!(known.names.get(&name(4).0), None);
        assert!(known.names.contains_key(&name(5).0));
    }
}
