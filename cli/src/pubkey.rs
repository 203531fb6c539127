//! Reads `--pubkey`: an `ed25519:…` text, or the path of a PEM file.

use std::fs::File;
use std::io::{self, Read};

use kya_core::{KeyError, PublicKey};
use thiserror::Error;

/// Many times the size of any public key.
const MAX_FILE: u64 = 64 * 1024;
const TO_PUBLIC: &str = "`openssl pkey -in FILE -pubout` writes the public key";

/// Why `--pubkey` names no public key that can be used.
#[derive(Debug, Error)]
pub(crate) enum PubkeyError {
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("it is neither an `ed25519:…` text nor a file that can be read: {0}")]
    Unreadable(io::Error),
    #[error("the file is larger than {MAX_FILE} bytes, which no public key is")]
    TooLarge,
    #[error("the file holds no PEM block; {TO_PUBLIC}")]
    NotPem,
    #[error("the file holds more than one PEM block: which one is meant?")]
    SeveralBlocks,
    #[error("the file holds a private key, which must stay with the agent; {TO_PUBLIC}")]
    PrivateKey,
    #[error(
        "the file holds a PEM block `{0}`, not `PUBLIC KEY` (a SubjectPublicKeyInfo); {TO_PUBLIC}"
    )]
    OtherBlock(String),
    #[error("the PEM block does not end with its own END line")]
    Unfinished,
}

/// The key that an argument of `--pubkey` names.
pub(crate) fn read(argument: &str) -> Result<PublicKey, PubkeyError> {
    if argument.starts_with("ed25519:") {
        return Ok(argument.parse()?);
    }
    let mut content = Vec::new();
    let file = File::open(argument).map_err(PubkeyError::Unreadable)?;
    file.take(MAX_FILE + 1).read_to_end(&mut content).map_err(PubkeyError::Unreadable)?;
    if content.len() as u64 > MAX_FILE {
        return Err(PubkeyError::TooLarge);
    }
    let content = String::from_utf8(content).map_err(|_| PubkeyError::NotPem)?;
    from_pem(&content)
}

/// The key in the one PEM block (RFC 7468) of a file.
fn from_pem(content: &str) -> Result<PublicKey, PubkeyError> {
    let labels: Vec<&str> = content.lines().filter_map(|line| boundary(line, "BEGIN")).collect();
    if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
        return Err(PubkeyError::PrivateKey);
    }
    match labels[..] {
        [] => return Err(PubkeyError::NotPem),
        ["PUBLIC KEY"] => {}
        [other] => return Err(PubkeyError::OtherBlock(other.to_owned())),
        _ => return Err(PubkeyError::SeveralBlocks),
    }
    let mut encoded = String::from("ed25519:");
    // openssl may write lines about the key before its block.
    for line in content.lines().skip_while(|line| boundary(line, "BEGIN").is_none()).skip(1) {
        match boundary(line, "END") {
            Some("PUBLIC KEY") => return Ok(encoded.parse()?),
            Some(_) => return Err(PubkeyError::Unfinished),
            None => encoded.push_str(line.trim()),
        }
    }
    Err(PubkeyError::Unfinished)
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
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
    const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----
";

    #[test]
    fn a_public_key_in_pem_is_its_one_line_form() {
        let key = from_pem(PUBLIC).unwrap();
        let line = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        assert_eq!(key.to_string(), line);
        assert_eq!(read(line).unwrap(), key);
    }

    #[test]
    fn line_ends_of_windows_and_text_around_the_block_do_no_harm() {
        let text = format!("ED25519 Public-Key:\n{PUBLIC}\n").replace('\n', "\r\n");
        assert_eq!(from_pem(&text).unwrap(), from_pem(PUBLIC).unwrap());
    }

    #[test]
    fn a_private_key_is_refused_also_beside_its_public_one() {
        for label in ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
            let text = PRIVATE.replace("PRIVATE KEY", label);
            assert!(matches!(from_pem(&text), Err(PubkeyError::PrivateKey)), "{label}");
        }
        let both = format!("{PUBLIC}{PRIVATE}");
        assert!(matches!(from_pem(&both), Err(PubkeyError::PrivateKey)));
        let both = format!("{PRIVATE}{PUBLIC}");
        assert!(matches!(from_pem(&both), Err(PubkeyError::PrivateKey)));
    }

    #[test]
    fn what_is_no_ed25519_public_key_is_refused_with_the_reason() {
        for (text, part) in [
            (P256.to_owned(), "keys of other algorithms"),
            (PUBLIC.replace("PUBLIC KEY", "CERTIFICATE"), "a PEM block `CERTIFICATE`"),
            (PUBLIC.replace("PUBLIC KEY", "RSA PUBLIC KEY"), "a PEM block `RSA PUBLIC KEY`"),
            (PUBLIC.repeat(2), "more than one PEM block"),
            (PUBLIC.replace("MCow", "!!!!"), "not base64"),
            (PUBLIC.replace("-----END PUBLIC KEY-----", ""), "END line"),
            (PUBLIC.replace("END PUBLIC", "END OTHER"), "END line"),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA agent".to_owned(), "no PEM block"),
            (String::new(), "no PEM block"),
        ] {
            let reason = from_pem(&text).unwrap_err().to_string();
            assert!(reason.contains(part), "{reason:?} of {text:?} does not say {part:?}");
        }
    }

    #[test]
    fn files_that_cannot_be_a_key_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("large"), PUBLIC.repeat(1000)).unwrap();
        std::fs::write(path("binary"), [0x30, 0x2a, 0xff, 0xfe]).unwrap();
        assert!(matches!(read(&path("large")), Err(PubkeyError::TooLarge)));
        assert!(matches!(read(&path("binary")), Err(PubkeyError::NotPem)));
        assert!(matches!(read(&path("absent")), Err(PubkeyError::Unreadable(_))));
        assert!(matches!(read(&path("")), Err(PubkeyError::Unreadable(_))));
    }
}
