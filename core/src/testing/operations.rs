//! What a decision and an update are made of, each by itself: for whoever measures them.

use std::hint::black_box;

use prost::Message as _;

use super::capabilities::{self, ACTION, ISSUER, SERVICE};
use super::{ControlPlane, agent, bearer, filler, signer, token};
use crate::jwt::{CapabilityKeys, CapabilityVerifier, VerifiedCache};
use crate::wire::{self, Status, change::Change};
use crate::{
    ActionName, Authority, Credential, Decision, Image, Moment, Request, Source, TokenTable as _,
    VerifiedUpdate, Verifier, decide, records,
};

/// Something that is done again and again.
pub struct Operation {
    /// What it is called.
    pub name: &'static str,
    /// What is done.
    pub what: &'static str,
    prepare: fn(usize) -> Box<dyn FnMut()>,
}

/// All of them.
pub static OPERATIONS: [Operation; 7] = [
    Operation {
        name: "credential",
        what: "read an opaque token from the headers, and hash it",
        prepare: |_| {
            let value = bearer(&token(1));
            let sources = [Source::authorization()];
            Box::new(move || {
                let headers: [(&[u8], &[u8]); 3] = [
                    (b":method", b"POST"),
                    (b":path", b"/v1/charges"),
                    (b"authorization", value.as_bytes()),
                ];
                let credential = Credential::read(&sources, black_box(headers));
                assert!(matches!(black_box(credential), Credential::Opaque(_)));
            })
        },
    },
    Operation {
        name: "lookup",
        what: "find a token in a table of 10^4",
        prepare: |_| {
            let Stage { image, .. } = Stage::new();
            let fingerprint = token(1).digest().fingerprint();
            Box::new(move || {
                let found = (&image).find(black_box(fingerprint));
                assert!(black_box(found).is_ok_and(|entry| entry.is_some()));
            })
        },
    },
    Operation {
        name: "decide_opaque",
        what: "decide by an opaque token, with its look-up",
        prepare: |_| {
            let mut stage = Stage::new();
            let digest = token(1).digest();
            Box::new(move || stage.allows(Credential::Opaque(black_box(digest))))
        },
    },
    Operation {
        name: "decide_capability",
        what: "decide by a capability token that was verified before",
        prepare: |_| {
            let mut stage = Stage::new();
            let token = stage.minted();
            stage.allows(Credential::Capability(token.as_bytes()));
            Box::new(move || stage.allows(Credential::Capability(black_box(token.as_bytes()))))
        },
    },
    Operation {
        name: "verify_capability",
        what: "verify a capability token",
        prepare: |_| {
            let token = Stage::new().minted();
            let keys = CapabilityKeys::new([capabilities::issuer_key(0).public_key()]).unwrap();
            let verifier = CapabilityVerifier::new(ISSUER, keys).unwrap();
            Box::new(move || assert!(verifier.verify(black_box(token.as_bytes())).is_ok()))
        },
    },
    Operation {
        name: "verify_update",
        what: "verify a delta of one change",
        prepare: |_| {
            let signed = ControlPlane::new().commit([agent(2, Status::Suspended)]).encode_to_vec();
            let verifier = Verifier::new([signer().public_key()]);
            Box::new(move || assert!(verifier.verify(black_box(&signed)).is_ok()))
        },
    },
    Operation {
        name: "apply_update",
        what: "apply a delta of one change",
        prepare: |most| {
            let Stage { mut plane, mut authority, .. } = Stage::new();
            let updates: Vec<_> = (0..most).map(|n| change(&mut plane, n)).collect();
            let mut next = 0;
            Box::new(move || {
                assert!(authority.apply(black_box(&updates[next])).is_ok());
                next += 1;
            })
        },
    },
];

impl Operation {
    /// Prepares it to be done so many times at most.
    ///
    /// What it returns panics when it is called more often, or something else comes of the
    /// operation than should.
    pub fn prepare(&self, most: usize) -> Box<dyn FnMut()> {
        (self.prepare)(most)
    }
}

/// One agent is suspended and restored by turns.
fn change(plane: &mut ControlPlane, n: usize) -> VerifiedUpdate {
    let status = if n.is_multiple_of(2) { Status::Suspended } else { Status::Active };
    let signed = plane.commit([agent(2, status)]);
    Verifier::new([signer().public_key()]).verify_signed(&signed).unwrap()
}

/// A state with an issuer of capability tokens, and 10^4 opaque ones.
struct Stage {
    plane: ControlPlane,
    authority: Authority,
    image: Image,
    capabilities: VerifiedCache,
    action: ActionName,
}

impl Stage {
    fn new() -> Self {
        let mut plane = ControlPlane::new();
        plane.record(capabilities::issuer(ISSUER, &[0]));
        let mut image = std::mem::replace(&mut plane.image, Image::new());
        for n in 0..10_000 {
            let change = Some(Change::Token(filler(n)));
            image.apply(&wire::Change { change }).unwrap();
        }
        let published = image.publish();
        let chunks = published.manifest().records();
        let records = chunks.flat_map(|index| records(published.chunk(index).unwrap()).unwrap());
        let authority = Authority::default().reloaded(plane.position, records).unwrap();
        let capabilities = VerifiedCache::default();
        Self { plane, authority, image, capabilities, action: ACTION.parse().unwrap() }
    }

    fn minted(&self) -> String {
        capabilities::minted(&capabilities::claims(1, self.plane.unix_millis / 1_000))
    }

    fn allows(&mut self, credential: Credential<'_>) {
        let request = Request { credential, action: Some(&self.action), service: Some(SERVICE) };
        let now = crate::UnixMillis(self.plane.unix_millis);
        let moment = Moment { now, state_age: 0, max_staleness: Some(60_000) };
        let (tokens, capabilities) = (&mut &self.image, &mut self.capabilities);
        let decision = decide(&self.authority, tokens, capabilities, &request, &moment);
        assert!(matches!(black_box(decision), Decision::Allow { .. }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_can_be_done_as_often_as_it_was_prepared_for() {
        for operation in &OPERATIONS {
            let mut run = operation.prepare(3);
            (0..3).for_each(|_| run());
        }
    }
}
