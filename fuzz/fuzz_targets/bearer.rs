//! Tokens of both kinds through `decide`: delegation, policies, limited grants, an
//! issuer whose keys come and go, what was taken back. A plain model of the rules
//! agrees, for whoever followed the changes, whoever loaded them, and whoever asks
//! again of what it remembers; and what is in flight is stopped exactly where it would
//! be denied for anything but time, or what the token itself is for.
#![no_main]

use kya_core::jwt::{VerifiedCache, mint};
use kya_core::wire::{self, update::Body};
use kya_core::{
    ActionName, Authority, Credential, Decision, DenyReason, Image, Moment, Position, Request,
    Revision, Signer, TokenDigest, UnixMillis, Verifier, decide, records, sign_update,
};
use kya_fuzz::delegated::{World, agent_id};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

const DIGEST: [u8; 32] = [9; 32];

fn position(revision: u64) -> Position {
    Position { epoch: 1, revision: Revision(revision) }
}

fn followed(changes: Vec<wire::Change>) -> Authority {
    let signer = Signer::from_seed([1; 32]);
    let body = Some(Body::Delta(wire::Delta { changes }));
    let update = wire::Update { epoch: 1, revision: 2, unix_millis: 0, body };
    let signed = sign_update(&signer, &update).encode_to_vec();
    let verified = Verifier::new([signer.public_key()]).verify(&signed).expect("it is well-formed");
    let mut authority = Authority::default().reloaded(position(1), []).expect("it is the first");
    authority.apply(&verified).expect("it is the next");
    authority
}

fn loaded(image: &mut Image) -> Authority {
    let published = image.publish();
    let chunks = published.manifest().records();
    let all = chunks.flat_map(|index| {
        records(published.chunk(index).expect("it is named")).expect("it was written")
    });
    Authority::default().reloaded(position(2), all).expect("it is newer")
}

fuzz_target!(|world: World| {
    let changes = world.records(&DIGEST);
    let mut image = Image::new();
    for change in &changes {
        image.apply(change).expect("it is well-formed");
    }
    let token = mint(&world.token.signer(), &world.token.claims()).expect("it is well-formed");
    let credential = match world.token.capability {
        true => Credential::Capability(token.reveal().as_bytes()),
        false => Credential::Opaque(TokenDigest(DIGEST)),
    };
    let action: Option<ActionName> = world.action().map(|name| name.parse().expect("a name"));
    let request = Request { credential, action: action.as_ref(), service: world.service() };
    let now = UnixMillis(world.second() * 1_000);
    let moment = Moment { now, state_age: 0, max_staleness: Some(0) };
    let expected = world.expected();
    let mut capabilities = VerifiedCache::default();
    let (followed, loaded) = (followed(changes), loaded(&mut image));
    for _ in 0..2 {
        let mut ask =
            |authority| decide(authority, &mut &image, &mut capabilities, &request, &moment);
        let (one, other) = (ask(&followed), ask(&loaded));
        match (&expected, &one) {
            (Ok(n), Decision::Allow { agent_id: id, .. }) => assert_eq!(*id, agent_id(*n)),
            (Err(why), Decision::Deny { reason, .. }) => assert_eq!(why, reason),
            _ => panic!("{one:?}, and not {expected:?}"),
        }
        let reason = |decision: &Decision| match decision {
            Decision::Allow { .. } => None,
            Decision::Deny { reason, .. } => Some(*reason),
        };
        // A chunk says of an action what was said last, a delta all that was.
        if reason(&other) != reason(&one) {
            let actions = [DenyReason::CapabilityRevoked, DenyReason::DelegatorStopped];
            assert!(reason(&one).is_some_and(|it| actions.contains(&it)), "{one:?}, {other:?}");
        }
        if let Decision::Allow { bearer, .. } = &one {
            let stop = followed.stop(bearer.held(), action.as_ref(), world.service());
            assert_eq!(stop.is_some(), world.is_stopped(), "{stop:?}");
        }
    }
});
