//! The hash of a request's body, as the body streams by.

use kya_core::wire::BodyHash;
use sha2::{Digest, Sha256};

use super::event::Body;
use crate::host::Host;

/// Most bytes that are taken out of the proxy at once.
const PIECE: usize = 16 * 1024;

/// What is known of a body so far.
#[derive(Debug)]
pub(super) enum Hashing {
    /// It is not to be looked at.
    Off,
    /// There is none.
    Nothing,
    /// It is to come, or is coming.
    Open(Option<Box<Sum>>),
    /// All of it went by.
    Whole(Option<Box<Sum>>),
    /// The rest cannot be read.
    Broken(Option<Box<Sum>>),
}

/// A hash under way, and how many bytes are in it.
#[derive(Debug, Default)]
pub(super) struct Sum {
    hash: Sha256,
    bytes: u64,
}

impl Hashing {
    pub(super) fn new(on: bool, has_body: bool) -> Self {
        match (on, has_body) {
            (false, _) => Self::Off,
            (true, false) => Self::Nothing,
            (true, true) => Self::Open(None),
        }
    }

    /// A part of so many bytes is in the proxy's buffer, the last one if `end`.
    pub(super) fn part(&mut self, host: &impl Host, size: usize, end: bool) {
        let Self::Open(sum) = self else { return };
        let mut sum = sum.take();
        let mut at = 0;
        while at < size {
            let most = size.saturating_sub(at).min(PIECE);
            let piece = host.request_body(at, most).unwrap_or_default();
            if piece.is_empty() {
                // What is missing would make another hash of the same body.
                *self = Self::Broken(sum);
                return;
            }
            let into = sum.get_or_insert_default();
            into.hash.update(&piece);
            into.bytes = into.bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
            at = at.saturating_add(piece.len());
        }
        *self = if end { Self::Whole(sum) } else { Self::Open(sum) };
    }

    /// Nothing more comes of it.
    pub(super) fn ended(&mut self) {
        if let Self::Open(sum) = self {
            *self = Self::Whole(sum.take());
        }
    }

    /// What there is to say at the end of the request.
    pub(super) fn finish(self) -> Body {
        let (hashed, sum) = match self {
            Self::Off => return Body::NOT_HASHED,
            Self::Nothing => return Body::NONE,
            Self::Whole(sum) => (BodyHash::Whole, sum),
            Self::Open(sum) | Self::Broken(sum) => (BodyHash::Truncated, sum),
        };
        let Sum { hash, bytes } = sum.map_or_else(Sum::default, |sum| *sum);
        Body { hashed, sha256: hash.finalize().into(), bytes }
    }
}
