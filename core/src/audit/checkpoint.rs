//! Checkpoints: how long the trail is and what it hashes to, signed (C2SP
//! tlog-checkpoint).

use thiserror::Error;

use super::merkle::{MAX_SIZE, NodeHash};
use super::{BadNote, ChainHash, Note, Timestamp, VerifierKey};
use crate::keys::Signer;

/// The head of the trail at a moment. In the body of a tlog-checkpoint, with the
/// extension lines `chain` and `time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which trail: a name without a scheme, like `kya.example.com/audit`. Its keys sign
    /// under it.
    pub origin: String,
    /// How many records there are; the last has this number.
    pub size: u64,
    /// Root of the Merkle tree over them.
    pub root: NodeHash,
    /// Hash of the last of them in the chain.
    pub chain: ChainHash,
    /// When it was signed, by the control plane's clock.
    pub time: Timestamp,
}

/// A checkpoint and who signed it, which nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadCheckpoint {
    /// It is no signed note.
    #[error(transparent)]
    Note(#[from] BadNote),
    /// What was signed does not say what a checkpoint says.
    #[error(
        "not a checkpoint of an audit trail: origin, number of records, root, and lines `chain` and `time`"
    )]
    Body,
}

impl Checkpoint {
    /// What is signed.
    pub fn body(&self) -> String {
        let Self { origin, size, root, chain, time } = self;
        format!("{origin}\n{size}\n{root}\nchain {chain}\ntime {time}\n")
    }

    /// The signed note.
    pub fn sign(&self, signer: &Signer) -> Result<String, BadNote> {
        Note::sign(&self.body(), &self.origin, signer)
    }

    /// The checkpoint that a body says. Further extension lines may follow.
    fn parse(body: &str) -> Option<Self> {
        let mut lines = body.strip_suffix('\n')?.split('\n');
        let origin = lines.next().filter(|it| !it.is_empty())?;
        let size = lines.next()?;
        let number: u64 = size.parse().ok()?;
        // One spelling: no sign, no zeros before it.
        let number = Some(number).filter(|it| *it <= MAX_SIZE && it.to_string() == size)?;
        let root = lines.next()?.parse().ok()?;
        let chain = lines.next()?.strip_prefix("chain ")?.parse().ok()?;
        let time = lines.next()?.strip_prefix("time ")?.parse().ok()?;
        if lines.any(str::is_empty) {
            return None;
        }
        Some(Self { origin: origin.to_owned(), size: number, root, chain, time })
    }
}

impl SignedCheckpoint {
    /// The checkpoint in a signed note.
    pub fn parse(note: &str) -> Result<Self, BadCheckpoint> {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(note.text()).ok_or(BadCheckpoint::Body)?;
        Ok(Self { checkpoint, note })
    }

    /// What it says. Whether that was signed by anybody is not known here.
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note that it is in.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// What it says, if this key signed it under the name of its trail.
    pub fn verified_by(&self, key: &VerifierKey) -> Option<&Checkpoint> {
        let signed = key.name() == self.checkpoint.origin && self.note.is_signed_by(key);
        signed.then_some(&self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::merkle::Frontier;

    fn checkpoint() -> Checkpoint {
        let (chain, mut tree) = (ChainHash::START.next(b"{}"), Frontier::new());
        tree.push(NodeHash::leaf(b"{}")).unwrap();
        let time = Timestamp(1_770_302_823_000_250);
        Checkpoint { origin: "kya.test/audit".into(), size: 1, root: tree.root(), chain, time }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_signed() {
        let signer = Signer::from_seed([7; 32]);
        let key = VerifierKey::new("kya.test/audit", signer.public_key()).unwrap();
        let note = checkpoint().sign(&signer).unwrap();
        let read = SignedCheckpoint::parse(&note).unwrap();
        assert_eq!(read.verified_by(&key), Some(&checkpoint()));
        assert_eq!(note.lines().nth(1), Some("1"));
        assert_eq!(read.note().to_string(), note);

        let other = VerifierKey::new("kya.test/audit", Signer::from_seed([8; 32]).public_key());
        assert_eq!(read.verified_by(&other.unwrap()), None);
        let changed = note.replacen("\n1\n", "\n2\n", 1);
        assert_eq!(SignedCheckpoint::parse(&changed).unwrap().verified_by(&key), None);
    }

    #[test]
    fn a_key_of_another_trail_does_not_count() {
        let signer = Signer::from_seed([7; 32]);
        let note = Note::sign(&checkpoint().body(), "other.test/audit", &signer).unwrap();
        let key = VerifierKey::new("other.test/audit", signer.public_key()).unwrap();
        let read = SignedCheckpoint::parse(&note).unwrap();
        assert!(read.note().is_signed_by(&key));
        assert_eq!(read.verified_by(&key), None);
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let body = checkpoint().body();
        for (from, to) in [
            ("\n1\n", "\n01\n"),
            ("\n1\n", "\n+1\n"),
            ("\n1\n", "\n9007199254740993\n"),
            ("kya.test/audit\n", "\n"),
            ("chain ", "chain: "),
            ("time 2026", "time 026"),
            ("=\n", "\n"),
        ] {
            let changed = body.replacen(from, to, 1);
            assert_ne!(changed, body);
            assert_eq!(Checkpoint::parse(&changed), None, "{changed}");
        }
        assert_eq!(Checkpoint::parse(body.trim_end()), None);
        assert_eq!(Checkpoint::parse(&format!("{body}later x\n")), Some(checkpoint()));
        assert_eq!(Checkpoint::parse(&format!("{body}\n")), None);
    }
}
