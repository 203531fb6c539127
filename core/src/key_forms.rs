//! The forms in which people have Ed25519 public keys: PEM, base64 and JWK.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::keys::{KeyError, PublicKey};

const MAX_BYTES: usize = WrittenKey::MAX_BYTES;
const TO_PUBLIC: &str = "`openssl pkey -in FILE -pubout` writes the public key";
/// What the DER of a PrivateKeyInfo (RFC 5958) begins with, after its length.
const PRIVATE_VERSION: [&[u8]; 2] = [&[0x02, 0x01, 0x00], &[0x02, 0x01, 0x01]];
/// The algorithms of RFC 8410 that are not Ed25519, as a SubjectPublicKeyInfo begins.
const OTHER_CURVES: [(&[u8], &str); 3] = [
    (&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e], "X25519"),
    (&[0x30, 0x42, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6f], "X448"),
    (&[0x30, 0x43, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x71], "Ed448"),
];

/// An Ed25519 public key in any of these forms, as text or as a JSON object:
///
/// - PEM of a SubjectPublicKeyInfo (RFC 8410), with text around it or not;
/// - `ed25519:` and the base64 of that, which is how [`PublicKey`] is written;
/// - the base64 of that, or of the raw 32 bytes;
/// - a JWK (RFC 8037).
///
/// `Debug` shows the key, which is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenKey(pub PublicKey);

/// Why a text is no public key that can be used. It repeats nothing of the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WrittenKeyError {
    /// It is one, and not to be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Something that nobody else may see.
    #[error("this is a private key, which must stay with the agent; {TO_PUBLIC}")]
    PrivateKey,
    /// Much too long.
    #[error("more than {MAX_BYTES} bytes, which no public key is")]
    TooLong,
    /// Of another algorithm.
    #[error("a key of {0}, not of Ed25519")]
    OtherAlgorithm(&'static str),
    /// DER of something else.
    #[error(
        "not the SubjectPublicKeyInfo of an Ed25519 key (RFC 8410), which has 44 bytes: this is cut off, or a key of another algorithm"
    )]
    NotSpki,
    /// PEM of something else.
    #[error(
        "a PEM block of something else than `PUBLIC KEY` (a SubjectPublicKeyInfo); {TO_PUBLIC}"
    )]
    OtherBlock,
    /// More PEM than there should be.
    #[error("more than one PEM block: which one is meant?")]
    SeveralBlocks,
    /// Less of it.
    #[error("the PEM block does not end with its own END line")]
    Unfinished,
    /// A key as OpenSSH has it.
    #[error("a key of OpenSSH; `ssh-keygen -e -m PKCS8 -f FILE` writes it as PEM")]
    OpenSsh,
    /// A JWK of something else.
    #[error("{0}")]
    Jwk(String),
    /// A number of bytes that no such key has.
    #[error(
        "{0} bytes: an Ed25519 public key has 32, its SubjectPublicKeyInfo 44, and no other form is known"
    )]
    Length(usize),
    /// Nothing that is known.
    #[error(
        "not a public key: it is a PEM block, `ed25519:` and base64, the base64 of 32 bytes, or a JWK"
    )]
    Unknown,
}

/// The members that say something about a key (RFC 7517, RFC 8037). Others do not.
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    d: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
    r#use: Option<String>,
    alg: Option<String>,
    keys: Option<IgnoredAny>,
}

impl WrittenKey {
    /// Longest text that is looked at, in bytes: many times the size of any public key.
    pub const MAX_BYTES: usize = 8 * 1024;
}

impl FromStr for WrittenKey {
    type Err = WrittenKeyError;

    fn from_str(text: &str) -> Result<Self, WrittenKeyError> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return Err(WrittenKeyError::TooLong);
        }
        let key = if text.starts_with('{') {
            let jwk = serde_json::from_str::<Jwk>(text);
            // The reason says where, and nothing of what is there.
            jwk.map_err(|error| WrittenKeyError::Jwk(no_jwk(&error)))?.key()?
        } else if text.lines().any(|line| boundary(line, "BEGIN").is_some()) {
            from_pem(text)?
        } else if let Some(encoded) = text.strip_prefix("ed25519:") {
            match BASE64.decode(encoded) {
                Ok(der) if is_private(&der) => return Err(WrittenKeyError::PrivateKey),
                _ => text.parse()?,
            }
        } else if text.starts_with("ssh-") {
            return Err(WrittenKeyError::OpenSsh);
        } else {
            from_der(&BASE64.decode(text).map_err(|_| WrittenKeyError::Unknown)?)?
        };
        Ok(Self(key))
    }
}

/// Text, or the object of a JWK.
impl<'de> Deserialize<'de> for WrittenKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = WrittenKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a public key as text, or a JWK")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WrittenKey, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenKey, A::Error> {
                let jwk = Jwk::deserialize(MapAccessDeserializer::new(map))?;
                jwk.key().map(WrittenKey).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl Jwk {
    fn key(self) -> Result<PublicKey, WrittenKeyError> {
        let wrong = |what: &str| Err(WrittenKeyError::Jwk(what.to_owned()));
        if self.d.is_some() || self.k.is_some() {
            return Err(WrittenKeyError::PrivateKey);
        }
        if self.keys.is_some() {
            return wrong("a set of JWKs: which of them is meant?");
        }
        match (self.kty.as_deref(), self.crv.as_deref()) {
            (Some("OKP"), Some("Ed25519")) => {}
            (Some("OKP"), Some("X25519")) => return Err(WrittenKeyError::OtherAlgorithm("X25519")),
            (Some("EC"), _) => return Err(WrittenKeyError::OtherAlgorithm("ECDSA")),
            (Some("RSA"), _) => return Err(WrittenKeyError::OtherAlgorithm("RSA")),
            _ => return wrong("a JWK of an Ed25519 key has `kty` OKP and `crv` Ed25519"),
        }
        if self.r#use.is_some_and(|it| it != "sig") {
            return wrong("the `use` of this JWK is not `sig`");
        }
        if self.alg.is_some_and(|it| it != "EdDSA" && it != "Ed25519") {
            return wrong("the `alg` of this JWK is neither `EdDSA` nor `Ed25519`");
        }
        let bytes = self.x.and_then(|x| BASE64URL.decode(x).ok());
        match bytes.and_then(|x| <[u8; 32]>::try_from(x).ok()) {
            Some(bytes) => Ok(PublicKey::from_bytes(bytes)?),
            None => wrong("`x` of this JWK is not the base64url of 32 bytes, without padding"),
        }
    }
}

fn no_jwk(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    format!("not a JWK: something is wrong at line {line} column {column}")
}

/// Whether this is the DER of a private key (RFC 5958), or the 64 bytes of one.
fn is_private(der: &[u8]) -> bool {
    let after_length = match der {
        [0x30, 0x81, _, rest @ ..] | [0x30, 0x82, _, _, rest @ ..] | [0x30, _, rest @ ..] => rest,
        _ => return der.len() == 64,
    };
    PRIVATE_VERSION.iter().any(|version| after_length.starts_with(version))
}

fn from_der(der: &[u8]) -> Result<PublicKey, WrittenKeyError> {
    if is_private(der) {
        return Err(WrittenKeyError::PrivateKey);
    }
    if let Some((_, name)) = OTHER_CURVES.iter().find(|(begins, _)| der.starts_with(begins)) {
        return Err(WrittenKeyError::OtherAlgorithm(name));
    }
    if let Ok(raw) = <[u8; 32]>::try_from(der) {
        return Ok(PublicKey::from_bytes(raw)?);
    }
    match der {
        [0x30, ..] => match format!("ed25519:{}", BASE64.encode(der)).parse() {
            Err(KeyError::NotSpki) => Err(WrittenKeyError::NotSpki),
            other => Ok(other?),
        },
        other => Err(WrittenKeyError::Length(other.len())),
    }
}

/// The key in the one PEM block (RFC 7468) of a text.
fn from_pem(text: &str) -> Result<PublicKey, WrittenKeyError> {
    let labels: Vec<&str> = text.lines().filter_map(|line| boundary(line, "BEGIN")).collect();
    if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
        return Err(WrittenKeyError::PrivateKey);
    }
    match *labels {
        ["PUBLIC KEY"] => {}
        [_] => return Err(WrittenKeyError::OtherBlock),
        _ => return Err(WrittenKeyError::SeveralBlocks),
    }
    let mut encoded = String::new();
    // openssl may write lines about the key before its block.
    for line in text.lines().skip_while(|line| boundary(line, "BEGIN").is_none()).skip(1) {
        match boundary(line, "END") {
            Some("PUBLIC KEY") => {
                let der = BASE64.decode(&encoded).map_err(|_| KeyError::NotBase64)?;
                // A raw key is not what such a block holds.
                return match der.len() {
                    32 => Err(WrittenKeyError::NotSpki),
                    _ => from_der(&der),
                };
            }
            Some(_) => return Err(WrittenKeyError::Unfinished),
            None => encoded.push_str(line.trim()),
        }
    }
    Err(WrittenKeyError::Unfinished)
}

/// The label of a `-----BEGIN label-----` line.
fn boundary<'a>(line: &'a str, edge: &str) -> Option<&'a str> {
    let inner = line.trim().strip_prefix("-----")?.strip_suffix("-----")?;
    inner.strip_prefix(edge)?.strip_prefix(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8410, sections 10.1 and 10.3.
    const LINE: &str = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    const SPKI: &str = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    const PKCS8: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
    const X: &str = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";
    const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==";

    fn pem(label: &str, content: &str) -> String {
        format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
    }

    fn read(text: &str) -> Result<PublicKey, String> {
        text.parse::<WrittenKey>().map(|key| key.0).map_err(|error| error.to_string())
    }

    #[test]
    fn one_key_in_each_of_its_forms_is_the_same() {
        let key: PublicKey = LINE.parse().unwrap();
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}"#);
        let full = format!(
            r#"{{"kid":"k","use":"sig","alg":"EdDSA","key_ops":["verify"],"kty":"OKP","crv":"Ed25519","x":"{X}"}}"#
        );
        for text in [
            LINE.to_owned(),
            SPKI.to_owned(),
            format!("{X}="),
            format!(" {X}=\n"),
            pem("PUBLIC KEY", SPKI),
            format!("ED25519 Public-Key:\n{}\n", pem("PUBLIC KEY", SPKI)).replace('\n', "\r\n"),
            jwk.clone(),
            full,
        ] {
            assert_eq!(read(&text), Ok(key), "{text}");
            let quoted = serde_json::to_string(&text).unwrap();
            assert_eq!(serde_json::from_str::<WrittenKey>(&quoted).unwrap().0, key);
        }
        assert_eq!(serde_json::from_str::<WrittenKey>(&jwk).unwrap().0, key);
    }

    #[test]
    fn a_private_key_is_refused_in_whatever_form_and_not_repeated() {
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}","d":"{X}"}}"#);
        let seed_and_key = BASE64.encode([7; 64]);
        for text in [
            pem("PRIVATE KEY", PKCS8),
            pem("ENCRYPTED PRIVATE KEY", PKCS8),
            pem("OPENSSH PRIVATE KEY", PKCS8),
            pem("PUBLIC KEY", PKCS8),
            pem("PUBLIC KEY", SPKI) + &pem("PRIVATE KEY", PKCS8),
            PKCS8.to_owned(),
            format!("ed25519:{PKCS8}"),
            seed_and_key,
            jwk.clone(),
            r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
        ] {
            let reason = read(&text).unwrap_err();
            assert!(reason.contains("private key, which must stay"), "{text}: {reason}");
        }
        let reason = serde_json::from_str::<WrittenKey>(&jwk).unwrap_err().to_string();
        assert!(reason.contains("private key") && !reason.contains(X), "{reason}");
    }

    #[test]
    fn what_is_no_ed25519_public_key_is_refused_with_the_reason() {
        let jwk = |members: &str| format!("{{{members}}}");
        let mut identity = [0; 32];
        identity[0] = 1;
        let small_spki = SPKI.replace(X, &BASE64.encode(identity)[..43]);
        for (text, part) in [
            (String::new(), "0 bytes"),
            ("tomorrow".to_owned(), "an Ed25519 public key has 32"),
            ("???".to_owned(), "not a public key"),
            (P256.to_owned(), "a key of another algorithm"),
            (pem("PUBLIC KEY", P256), "a key of another algorithm"),
            (SPKI.replace("K2Vw", "K2Vu"), "a key of X25519"),
            (pem("PUBLIC KEY", &SPKI.replace("K2Vw", "K2Vu")), "a key of X25519"),
            (pem("PUBLIC KEY", &format!("{X}=")), "SubjectPublicKeyInfo"),
            (pem("CERTIFICATE", SPKI), "a PEM block of something else"),
            (pem("PUBLIC KEY", SPKI).repeat(2), "more than one PEM block"),
            (pem("PUBLIC KEY", "!!!!"), "not base64"),
            (format!("-----BEGIN PUBLIC KEY-----\n{SPKI}\n"), "END line"),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA agent".to_owned(), "OpenSSH"),
            (BASE64.encode([0; 31]), "31 bytes"),
            (BASE64.encode([9; 33]), "33 bytes"),
            (BASE64.encode(identity), "not a usable Ed25519 public key"),
            (BASE64.encode([0; 32]), "not a usable Ed25519 public key"),
            (format!("ed25519:{small_spki}"), "not a usable Ed25519 public key"),
            (X.to_owned(), "not a public key"),
            (jwk(r#""kty":"OKP","crv":"X25519","x":"AAAA""#), "a key of X25519"),
            (jwk(r#""kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA""#), "a key of ECDSA"),
            (jwk(r#""kty":"RSA","n":"AAAA","e":"AQAB""#), "a key of RSA"),
            (jwk(r#""kty":"OKP","crv":"Ed25519","x":"AAAA""#), "the base64url of 32 bytes"),
            (jwk(r#""kty":"OKP","crv":"Ed25519""#), "the base64url of 32 bytes"),
            (jwk(&format!(r#""kty":"OKP","crv":"Ed25519","x":"{X}=""#)), "the base64url of 32"),
            (jwk(&format!(r#""kty":"OKP","crv":"Ed25519","x":"{X}","use":"enc""#)), "the `use`"),
            (jwk(&format!(r#""kty":"OKP","crv":"Ed25519","x":"{X}","alg":"HS256""#)), "the `alg`"),
            (jwk(&format!(r#""kty":"OKP","crv":"Ed25519","x":"{X}","x":"{X}""#)), "not a JWK"),
            (jwk(r#""keys":[]"#), "a set of JWKs"),
            ("{".to_owned(), "not a JWK"),
            (format!("{X}{}", "A".repeat(9000)), "more than 8192 bytes"),
        ] {
            let reason = read(&text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason:?} does not say {part:?}");
        }
    }
}
