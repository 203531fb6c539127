//! Everything that may hold authority, fed with the same changes, decides as the
//! plain model does: a proxy that follows deltas, one that takes a new base now
//! and then, one that is at times cut off and starts from a base again, one that
//! has just begun, and the control plane's own image.
#![no_main]

use arbitrary::Arbitrary;
use kya_core::jwt::VerifiedCache;
use kya_core::wire::{self, update::Body};
use kya_core::{
    ActionName, Authority, Bearer, Credential, Decision, DenyReason, Fingerprint, Image, Moment,
    Position, PublishedImage, Request, Revision, Signer, TokenEntry, TokenTable, UnixMillis,
    UnixSeconds, Unreadable, VerifiedUpdate, Verifier, decide, records, sign_update, table,
};
use kya_fuzz::All;
use kya_fuzz::changes::{FEW, GRANTS, Issued, Said, Step, action, agent_id, digest};
use kya_fuzz::model::{Memory, Model};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

const MAX_EVENTS: usize = 24;
const MAX_STEPS: usize = 16;
const TOKENS: u16 = 8;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Whether the control plane undoes what it may not.
    lawful: bool,
    /// Whether agents and grants are there when all begins.
    ready: bool,
    /// When all is asked, and about which tokens besides the first few.
    second: u8,
    tokens: [u16; 4],
    events: All<Event>,
}

#[derive(Arbitrary, Debug)]
enum Event {
    Commit(Vec<Step>),
    /// So many tokens that chunks are divided.
    Flood {
        first: u16,
        count: u8,
        grant: u8,
    },
    /// A new base, for those who take one.
    Base,
    /// The one that is cut off at times is, or is not any more.
    Cut(bool),
    /// Tokens that expired before this second go.
    Forget {
        second: u8,
        from: u8,
        limit: u8,
    },
}

/// The tokens of a base.
struct Base<'a>(&'a PublishedImage);

impl TokenTable for Base<'_> {
    fn find(&mut self, fingerprint: Fingerprint) -> Result<Option<TokenEntry>, Unreadable> {
        let index = self.0.manifest().token_chunk(fingerprint);
        Ok(table::find(self.0.chunk(index).ok_or(Unreadable)?, fingerprint))
    }
}

/// Someone who follows.
#[derive(Clone)]
struct Follower {
    authority: Authority,
    base: PublishedImage,
}

impl Follower {
    fn load(&mut self, position: Position, base: &PublishedImage) {
        let indexes = base.manifest().records();
        let contents = indexes.map(|index| base.chunk(index).expect("it is named"));
        let all = contents.flat_map(|content| records(content).expect("it was written as records"));
        self.authority = self.authority.reloaded(position, all).expect("it is newer");
        self.base = base.clone();
    }

    fn apply(&mut self, delta: &VerifiedUpdate) {
        self.authority.apply(delta).expect("it is the next");
    }
}

fn position(revision: u64) -> Position {
    Position { epoch: 1, revision: Revision(revision) }
}

fn delta(revision: u64, changes: Vec<wire::Change>) -> VerifiedUpdate {
    let signer = Signer::from_seed([1; 32]);
    let body = Some(Body::Delta(wire::Delta { changes }));
    let update = wire::Update { epoch: 1, revision, unix_millis: 0, body };
    let signed = sign_update(&signer, &update).encode_to_vec();
    Verifier::new([signer.public_key()]).verify(&signed).expect("it is well-formed")
}

/// Most changes about tokens are about the first few.
fn near(step: Step) -> Step {
    match step {
        Step::Token(it) if it.token % 4 != 0 => {
            Step::Token(Issued { token: it.token / 4 % TOKENS, ..it })
        }
        step => step,
    }
}

fuzz_target!(|input: Input| {
    let (mut image, mut model, mut seen) = (Image::new(), Model::default(), Model::default());
    let mut begun = Follower { authority: Authority::default(), base: image.publish() };
    let nothing = image.publish();
    begun.load(position(1), &nothing);
    let (mut along, mut rebasing, mut cut_off) = (begun.clone(), begun.clone(), begun);
    let (mut revision, mut is_cut, mut forgotten) = (1, false, 0u64);

    let active = Said { status: 1, not_before: 0, drain: false };
    let agents = (0..FEW).map(|n| Step::Agent(n, active, None));
    let ready: Vec<_> = agents.chain((0..GRANTS).map(Step::Grant)).collect();
    let ready = input.ready.then_some(Event::Commit(ready));
    for event in ready.into_iter().chain(input.events.0.into_iter().take(MAX_EVENTS)) {
        let steps: Vec<Step> = match event {
            Event::Commit(steps) => steps.into_iter().take(MAX_STEPS).map(near).collect(),
            Event::Flood { first, count, grant } => (0..u16::from(count))
                .map(|n| Issued {
                    token: first.wrapping_add(n),
                    grant,
                    issued: count,
                    expires: u8::MAX,
                    revoked: false,
                })
                .map(Step::Token)
                .collect(),
            Event::Base => {
                rebasing.base = image.publish();
                rebasing.authority.rebase(position(revision));
                continue;
            }
            Event::Cut(cut) => {
                if is_cut && !cut && Some(position(revision)) > cut_off.authority.position() {
                    cut_off.load(position(revision), &image.publish());
                    seen.load(&model);
                }
                is_cut = cut;
                continue;
            }
            // What was undone would be believed by who has forgotten it.
            Event::Forget { .. } if !input.lawful => continue,
            Event::Forget { second, from, limit } => {
                let horizon = UnixSeconds(second.into());
                forgotten = forgotten.max(horizon.0);
                image.forget_expired(horizon, from.into(), limit.into());
                let after = rebasing.authority.forget_expired(horizon, None, limit.into());
                along.authority.forget_expired(horizon, after, limit.into());
                continue;
            }
        };
        let mut changes = Vec::new();
        for step in steps {
            let step = if input.lawful { model.lawful(step) } else { step };
            model.take(step);
            if !is_cut {
                seen.take(step);
            }
            image.apply(&step.wire()).expect("it is well-formed");
            changes.push(step.wire());
        }
        revision += 1;
        let delta = delta(revision, changes);
        along.apply(&delta);
        rebasing.apply(&delta);
        if !is_cut {
            cut_off.apply(&delta);
        }
    }
    if is_cut && Some(position(revision)) > cut_off.authority.position() {
        cut_off.load(position(revision), &image.publish());
        seen.load(&model);
    }
    let mut fresh = Follower { authority: Authority::default(), base: nothing };
    fresh.load(position(revision), &image.publish());

    // Nobody forgets what has not expired.
    let second = u64::from(input.second).max(forgotten);
    let tokens = (0..TOKENS).chain(input.tokens);
    let actions = || std::iter::once(None).chain((0..FEW).map(Some));
    for (token, what) in tokens.flat_map(|token| actions().map(move |what| (token, what))) {
        let name: Option<ActionName> = what.map(|n| action(n).parse().expect("a name"));
        let credential = Credential::Opaque(digest(token));
        let request = Request { credential, action: name.as_ref(), service: None };
        let moment =
            Moment { now: UnixMillis(second * 1000), state_age: 0, max_staleness: Some(0) };
        let expect = |who: &str, model: &Model, memory, decision: Decision| {
            let expected = model.decide(memory, token, what, second);
            let agrees = match (&expected, &decision) {
                (Ok((agent, it)), Decision::Allow { agent_id: id, bearer, position: at, .. }) => {
                    let Bearer::Opaque { token, .. } = bearer else { panic!("{bearer:?}") };
                    *id == agent_id(*agent)
                        && *at == position(revision)
                        && token.grant.get() == u32::from(it.grant % GRANTS)
                        && (token.issued.0, token.expires.0)
                            == (it.issued.into(), it.expires.into())
                }
                (Err(why), Decision::Deny { reason, .. }) => {
                    why == reason || (forgotten > 0 && *reason == DenyReason::TokenUnknown)
                }
                _ => false,
            };
            assert!(agrees, "{who}: {decision:?}, and not {expected:?}");
        };
        let none = &mut VerifiedCache::default();
        for (who, follower) in [("along", &along), ("rebasing", &rebasing)] {
            let decision =
                decide(&follower.authority, &mut Base(&follower.base), none, &request, &moment);
            expect(who, &model, Memory::All, decision);
        }
        let decision = decide(&fresh.authority, &mut Base(&fresh.base), none, &request, &moment);
        expect("fresh", &model, Memory::Last, decision);
        let decision = decide(&fresh.authority, &mut &image, none, &request, &moment);
        expect("the image", &model, Memory::Last, decision);
        let decision =
            decide(&cut_off.authority, &mut Base(&cut_off.base), none, &request, &moment);
        expect("cut off", &seen, Memory::All, decision);
    }
});
