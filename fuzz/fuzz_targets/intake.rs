//! Whoever has the key, and signs anything: the filter stays upright, answers no
//! request twice, and bounds what it says.
#![no_main]

use arbitrary::Arbitrary;
use kya_core::testing::sealed;
use kya_core::wire::{self, control_message::Message as Control, update::Body};
use kya_core::{Signer, chunk_hash};
use kya_fuzz::All;
use kya_fuzz::changes::Step;
use kya_fuzz::signing::signed;
use kya_fuzz::world::{Event, World};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

#[derive(Arbitrary, Debug)]
enum Act {
    Happens(Event),
    /// Signs something near the truth, which arrives on the stream.
    Signs {
        epoch: i8,
        revision: Number,
        millis: i32,
        body: Said,
    },
    /// Signs anything.
    Payload(Vec<u8>),
    /// Sends what is not signed.
    Chunks {
        image: Option<u8>,
        chunks: Vec<(u8, Content)>,
    },
}

#[derive(Arbitrary, Debug)]
enum Number {
    Near(i16),
    Any(u64),
}

#[derive(Arbitrary, Debug)]
enum Said {
    Manifest { nonce: u8, token_bits: u8, record_bits: u8, contents: Vec<Content> },
    Delta(Vec<Step>),
    Heartbeat(Option<u8>),
    Challenge(u8),
    Keys { serial: u64, seeds: Vec<u8> },
    Introspection { nonce: u8, token: u8, known: bool },
}

/// What a chunk may hold.
#[derive(Arbitrary, Debug, Clone)]
enum Content {
    Nothing,
    Records(Vec<Step>),
    Bytes(Vec<u8>),
}

impl Content {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Nothing => vec![],
            Self::Records(steps) => {
                let records = steps.iter().map(|step| step.wire()).collect();
                wire::Records { records }.encode_to_vec()
            }
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

struct Thief {
    world: World,
    /// The hashes of the manifests that were signed.
    images: Vec<Vec<u8>>,
}

impl Thief {
    fn nonce(&self, nth: u8) -> Vec<u8> {
        let nonces = self.world.nonces();
        nonces.get(usize::from(nth) % nonces.len().max(1)).cloned().unwrap_or(vec![nth; 32])
    }

    fn body(&mut self, said: Said) -> Body {
        match said {
            Said::Manifest { nonce, token_bits, record_bits, contents } => {
                let (token_bits, record_bits) =
                    (u32::from(token_bits % 4), u32::from(record_bits % 4));
                let count = (1 << token_bits) + (1 << record_bits);
                let contents = contents.iter().cycle().take(count);
                let chunk_hashes: Vec<_> =
                    contents.flat_map(|it| chunk_hash(&it.bytes())).collect();
                self.images.push(chunk_hash(&chunk_hashes).to_vec());
                let nonce = self.nonce(nonce);
                Body::Manifest(wire::Manifest { nonce, token_bits, record_bits, chunk_hashes })
            }
            Said::Delta(steps) => {
                let changes = steps.iter().take(16).map(|step| step.wire()).collect();
                Body::Delta(wire::Delta { changes })
            }
            Said::Heartbeat(nonce) => {
                let nonce = nonce.map_or(vec![], |nth| self.nonce(nth));
                Body::Heartbeat(wire::Heartbeat { nonce })
            }
            Said::Challenge(nonce) => Body::Challenge(wire::Challenge { nonce: vec![nonce; 32] }),
            Said::Keys { serial, seeds } => {
                let key = |seed: &u8| Signer::from_seed([*seed; 32]).public_key().to_bytes().into();
                let keys = seeds.iter().take(9).map(key).collect();
                Body::Keys(wire::Keys { serial, keys })
            }
            Said::Introspection { nonce, token, known } => {
                let digest = kya_core::testing::token(token % 4).digest().0.into();
                Body::Introspection(wire::Introspection { nonce: self.nonce(nonce), digest, known })
            }
        }
    }

    fn act(&mut self, act: Act) {
        let message = match act {
            Act::Happens(event) => return self.world.take(event),
            Act::Signs { epoch, revision, millis, body } => {
                let at = self.world.plane.position;
                let revision = match revision {
                    Number::Near(by) => at.revision.0.saturating_add_signed(by.into()),
                    Number::Any(revision) => revision,
                };
                let epoch = at.epoch.saturating_add_signed(epoch.into());
                let unix_millis = self.world.plane.unix_millis.saturating_add_signed(millis.into());
                let body = Some(self.body(body));
                let update = wire::Update { epoch, revision, unix_millis, body };
                sealed(kya_core::sign_update(&self.world.plane.signer, &update))
            }
            Act::Payload(payload) => sealed(signed(&self.world.plane.signer, &payload)),
            Act::Chunks { image, chunks } => {
                let image = image.and_then(|nth| self.images.iter().rev().nth(nth.into()).cloned());
                let chunk = |(index, content): (u8, Content)| wire::Chunk {
                    index: index.into(),
                    content: content.bytes(),
                };
                let chunks = chunks.into_iter().take(32).map(chunk).collect();
                let chunks = wire::Chunks { image: image.unwrap_or_default(), chunks };
                wire::ControlMessage { message: Some(Control::Chunks(chunks)) }
            }
        };
        let bytes = self.world.carry(&message);
        self.world.arrive(&bytes);
    }
}

fuzz_target!(|acts: All<Act>| {
    let mut thief = Thief { world: World::new(false), images: vec![] };
    acts.0.into_iter().take(64).for_each(|act| thief.act(act));
});
