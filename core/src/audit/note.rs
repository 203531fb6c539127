//! Signed notes (C2SP signed-note), with Ed25519 keys: a text and, after a blank line, who
//! signed it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::hex;
use crate::keys::{PublicKey, Signer};

/// Longest note that is read, in bytes.
pub const MAX_NOTE_BYTES: usize = 16 * 1024;
/// Most signatures of a note that are read; C2SP asks for 16 at least.
pub const MAX_SIGNATURES: usize = 32;
/// The type of signature that is meant here: Ed25519 as in RFC 8032 over the text.
const ED25519: u8 = 0x01;

/// A key and the name that it signs under. Written as the *verifier key* of C2SP
/// signed-note: `name+id+base64`, with the id in 8 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: PublicKey,
}

/// Short name of a key among those of one name. It selects a key; it proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteKeyId(pub [u8; 4]);

/// A note as it was received: nobody has looked at its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signed>,
}

/// A signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signed {
    name: String,
    id: NoteKeyId,
    signature: Vec<u8>,
}

/// Why a text is no verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadVerifierKey {
    /// Something else.
    #[error("a verifier key is written `name+id+base64` (C2SP signed-note)")]
    Form,
    /// A name that signed notes do not allow.
    #[error("the name of a key has no spaces, no `+`, no control characters, and 1 to 200 bytes")]
    Name,
    /// Not an Ed25519 key.
    #[error("not an Ed25519 key (type 0x01 and 32 bytes)")]
    Key,
    /// The parts do not belong together.
    #[error("the id is not that of this name and key: a digit is wrong, or was changed")]
    Id,
}

/// Why a text is no signed note, or cannot become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadNote {
    /// It does not have the parts of one.
    #[error("not a signed note: text, a blank line, and lines with signatures")]
    Form,
    /// It is too long.
    #[error("more than {MAX_NOTE_BYTES} bytes or {MAX_SIGNATURES} signatures")]
    TooLong,
}

impl VerifierKey {
    /// This key under this name.
    pub fn new(name: &str, key: PublicKey) -> Result<Self, BadVerifierKey> {
        if is_name(name) {
            Ok(Self { name: name.to_owned(), key })
        } else {
            Err(BadVerifierKey::Name)
        }
    }

    /// The name that it signs under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Its short name.
    pub fn id(&self) -> NoteKeyId {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.to_bytes())
            .finalize()
            .into();
        let [a, b, c, d, ..] = digest;
        NoteKeyId([a, b, c, d])
    }
}

impl Note {
    /// The parts of a signed note. Signatures of other types are kept, and never verify.
    pub fn parse(note: &str) -> Result<Self, BadNote> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(BadNote::TooLong);
        }
        // C2SP refuses those of ASCII; the others can steer a terminal as well.
        let control = |it: char| it.is_control() && it != '\n';
        // The last blank line: the text may have others.
        let blank = note.rfind("\n\n").ok_or(BadNote::Form)?;
        let (text, signatures) =
            note.split_at_checked(blank.saturating_add(1)).ok_or(BadNote::Form)?;
        let lines = signatures.strip_prefix('\n').and_then(|it| it.strip_suffix('\n'));
        let signatures: Vec<Signed> = lines
            .ok_or(BadNote::Form)?
            .split('\n')
            .map(signed)
            .collect::<Option<_>>()
            .ok_or(BadNote::Form)?;
        if note.contains(control) {
            return Err(BadNote::Form);
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(BadNote::TooLong);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The note of this text, which ends with a line break, signed by one key.
    pub fn sign(text: &str, name: &str, signer: &Signer) -> Result<String, BadNote> {
        let key = VerifierKey::new(name, signer.public_key()).map_err(|_| BadNote::Form)?;
        let mut signature = key.id().0.to_vec();
        signature.extend_from_slice(&signer.sign(text.as_bytes()));
        let note = format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(signature));
        Self::parse(&note)?;
        Ok(note)
    }

    /// What was signed, with its last line break.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names and ids of those who are said to have signed it.
    pub fn signers(&self) -> impl Iterator<Item = (&str, NoteKeyId)> {
        self.signatures.iter().map(|it| (it.name.as_str(), it.id))
    }

    /// Whether a signature is said to be this key's.
    pub fn names(&self, key: &VerifierKey) -> bool {
        self.of(key).next().is_some()
    }

    /// Whether this key signed it. Of several signatures of one key each must be right, as
    /// C2SP asks: then whoever stops at the first and whoever does not agree.
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        let right = |it: &Signed| key.key.verifies(self.text.as_bytes(), &it.signature);
        self.names(key) && self.of(key).all(right)
    }

    fn of(&self, key: &VerifierKey) -> impl Iterator<Item = &Signed> {
        let id = key.id();
        self.signatures.iter().filter(move |it| it.id == id && it.name == key.name)
    }
}

/// As it is written.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signed { name, id, signature } in &self.signatures {
            let bytes = [&id.0[..], signature].concat();
            writeln!(f, "\u{2014} {name} {}", BASE64.encode(bytes))?;
        }
        Ok(())
    }
}

/// A line `— name base64(id || signature)`.
fn signed(line: &str) -> Option<Signed> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = BASE64.decode(encoded).ok()?;
    let (id, signature) = bytes.split_first_chunk()?;
    if !is_name(name) || signature.is_empty() {
        return None;
    }
    Some(Signed { name: name.to_owned(), id: NoteKeyId(*id), signature: signature.to_vec() })
}

fn is_name(name: &str) -> bool {
    let wrong = |it: char| it.is_whitespace() || it.is_control() || it == '+';
    (1..=200).contains(&name.len()) && !name.contains(wrong)
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![ED25519];
        typed.extend_from_slice(&self.key.to_bytes());
        write!(f, "{}+{}+{}", self.name, self.id(), BASE64.encode(typed))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = BadVerifierKey;

    fn from_str(text: &str) -> Result<Self, BadVerifierKey> {
        // The base64 may contain `+`.
        let (name, rest) = text.split_once('+').ok_or(BadVerifierKey::Form)?;
        let (id, encoded) = rest.split_once('+').ok_or(BadVerifierKey::Form)?;
        let id = hex::decode(id).map(NoteKeyId).ok_or(BadVerifierKey::Form)?;
        let typed = BASE64.decode(encoded).map_err(|_| BadVerifierKey::Form)?;
        let raw = typed.strip_prefix(&[ED25519]).ok_or(BadVerifierKey::Key)?;
        let raw = raw.try_into().map_err(|_| BadVerifierKey::Key)?;
        let key = PublicKey::from_bytes(raw).map_err(|_| BadVerifierKey::Key)?;
        let it = Self::new(name, key)?;
        if it.id() == id { Ok(it) } else { Err(BadVerifierKey::Id) }
    }
}

impl Serialize for VerifierKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifierKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
