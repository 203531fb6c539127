//! Heartbeats: once a second, to every stream, one signature for all that are
//! equally far.

use std::sync::{Arc, Mutex, PoisonError};

use kya_core::{Position, wire};
use tokio::sync::watch;

use super::publisher::Confirmed;
use super::signing::Signing;

/// Streams can be at a few positions when a beat comes. Further ones get a
/// signature of their own.
const SHARED_POSITIONS: usize = 8;

/// The beats, and what was signed for the last of them.
#[derive(Debug)]
pub(super) struct Pulse {
    signing: Signing,
    beats: watch::Sender<Option<Confirmed>>,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    beat: Option<Confirmed>,
    signed: Vec<(Position, Arc<wire::SignedUpdate>)>,
}

impl Pulse {
    pub(super) fn new(signing: Signing) -> Self {
        Self { signing, beats: watch::Sender::default(), shared: Mutex::default() }
    }

    /// Has every stream send a heartbeat.
    pub(super) fn beat(&self, confirmed: Confirmed) {
        self.beats.send_replace(Some(confirmed));
    }

    /// The latest beat. A stream may answer it once it has sent everything up to
    /// the position in it.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Confirmed>> {
        self.beats.subscribe()
    }

    /// The heartbeat of a beat for a stream that has sent everything up to
    /// `position`, which is not before that of the beat.
    pub(super) fn heartbeat(&self, beat: Confirmed, position: Position) -> Arc<wire::SignedUpdate> {
        let sign = || Arc::new(self.signing.heartbeat(position, beat.at.millis()));
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.beat != Some(beat) {
            *shared = Shared { beat: Some(beat), signed: Vec::new() };
        }
        if let Some((_, signed)) = shared.signed.iter().find(|(at, _)| *at == position) {
            return Arc::clone(signed);
        }
        if shared.signed.len() >= SHARED_POSITIONS {
            drop(shared);
            return sign();
        }
        // Signed under the lock, so that thousands of streams wait for one
        // signature and do not make one each.
        let signed = sign();
        shared.signed.push((position, Arc::clone(&signed)));
        signed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use kya_core::{Body, Revision, Signer, Verifier};
    use prost::Message;

    use super::*;
    use crate::time::{SystemClock, UnixMicros};

    #[test]
    fn one_beat_is_signed_once_for_each_position_and_again_for_the_next_beat() {
        let signer = Arc::new(Signer::from_seed([1; 32]));
        let verifier = Verifier::new([signer.public_key()]);
        let pulse = Pulse::new(Signing::new(signer, Arc::new(SystemClock)));
        let position = |revision| Position { epoch: 1, revision: Revision(revision) };
        let began = Instant::now();
        let beat = |millis: u64| Confirmed {
            began,
            at: UnixMicros(millis * 1_000),
            position: position(5),
        };
        let first = pulse.heartbeat(beat(1), position(5));
        assert!(Arc::ptr_eq(&first, &pulse.heartbeat(beat(1), position(5))));
        let ahead = pulse.heartbeat(beat(1), position(6));
        assert!(!Arc::ptr_eq(&first, &ahead));
        assert!(!Arc::ptr_eq(&first, &pulse.heartbeat(beat(2), position(5))));
        let said = verifier.verify(&ahead.encode_to_vec()).unwrap();
        assert_eq!((said.position(), said.issued().0), (position(6), 1));
        assert_eq!(*said.body(), Body::Heartbeat { nonce: None });
        for revision in 7..100 {
            pulse.heartbeat(beat(2), position(revision));
        }
        assert_eq!(pulse.shared.lock().unwrap().signed.len(), SHARED_POSITIONS);
    }
}
