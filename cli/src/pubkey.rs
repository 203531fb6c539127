//! Reads `--pubkey`: a public key as text, or the path of a file that holds one.

use std::fs::File;
use std::io::{self, Read};

use kya_core::{PublicKey, WrittenKey, WrittenKeyError};
use thiserror::Error;

/// What only the text of a key begins with, and no path of a file.
const TEXT_BEGINS: [&str; 4] = ["ed25519:", "{", "ssh-", "-----BEGIN "];

/// Why `--pubkey` names no public key that can be used. It repeats nothing of the key.
#[derive(Debug, Error)]
pub(crate) enum PubkeyError {
    #[error("{0}")]
    Key(#[from] WrittenKeyError),
    #[error("in the file: {0}")]
    InFile(WrittenKeyError),
    #[error(
        "it is neither a public key nor a file that can be read ({file}); as text it is {text}"
    )]
    Neither { text: WrittenKeyError, file: io::Error },
    #[error("the file cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("the file is larger than {} bytes, which no public key is", WrittenKey::MAX_BYTES)]
    TooLarge,
    #[error(
        "the file is no text: if it is DER, `openssl pkey -pubin -inform DER -in FILE` writes it as PEM"
    )]
    NotText,
}

/// The key that an argument of `--pubkey` is, or names.
pub(crate) fn read(argument: &str) -> Result<PublicKey, PubkeyError> {
    let text = match argument.parse::<WrittenKey>() {
        Ok(key) => return Ok(key.0),
        Err(error) if is_text(argument) => return Err(error.into()),
        Err(error) => error,
    };
    let file = match File::open(argument) {
        Ok(file) => file,
        Err(file) => return Err(no_file(text, file)),
    };
    let (mut content, most) = (Vec::new(), WrittenKey::MAX_BYTES as u64);
    file.take(most + 1).read_to_end(&mut content).map_err(PubkeyError::Unreadable)?;
    if content.len() > WrittenKey::MAX_BYTES {
        return Err(PubkeyError::TooLarge);
    }
    let content = String::from_utf8(content).map_err(|_| PubkeyError::NotText)?;
    content.parse::<WrittenKey>().map(|key| key.0).map_err(PubkeyError::InFile)
}

fn is_text(argument: &str) -> bool {
    let argument = argument.trim_start();
    TEXT_BEGINS.iter().any(|begins| argument.starts_with(begins))
}

/// What is wrong with an argument that is no key, and no file that can be opened.
fn no_file(text: WrittenKeyError, file: io::Error) -> PubkeyError {
    use WrittenKeyError::{Length, TooLong, Unknown};
    match text {
        Unknown | Length(_) | TooLong => PubkeyError::Neither { text, file },
        // It is base64 of something that is known.
        known => PubkeyError::Key(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8410, sections 10.1 and 10.3. The forms themselves are tested where they are read.
    const LINE: &str = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    const RAW: &str = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    const JWK: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"}"#;
    const PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";
    const PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";

    fn reason(argument: &str) -> String {
        read(argument).unwrap_err().to_string()
    }

    #[test]
    fn every_form_of_a_key_is_read_as_text_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.pub");
        let key = LINE.parse::<PublicKey>().unwrap();
        for form in [LINE, RAW, &LINE["ed25519:".len()..], JWK, PEM] {
            assert_eq!(read(form).unwrap(), key, "{form}");
            std::fs::write(&path, form).unwrap();
            assert_eq!(read(path.to_str().unwrap()).unwrap(), key, "{form}");
        }
    }

    #[test]
    fn a_private_key_is_refused_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.key");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{PRIVATE}\n-----END PRIVATE KEY-----\n");
        std::fs::write(&path, &pem).unwrap();
        for argument in [path.to_str().unwrap(), PRIVATE, &format!("ed25519:{PRIVATE}"), &pem] {
            let reason = reason(argument);
            assert!(reason.contains("a private key, which must stay"), "{reason}");
            assert!(!reason.contains(PRIVATE), "{reason}");
        }
    }

    #[test]
    fn what_is_neither_a_key_nor_a_file_says_what_is_wrong_with_it() {
        for (argument, part) in [
            ("ed25519:AAAA", "SubjectPublicKeyInfo"),
            ("{}", "`kty` OKP"),
            ("-----BEGIN CERTIFICATE-----", "a PEM block of something else"),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA agent", "OpenSSH"),
            ("/nonexistent.pub", "nor a file that can be read"),
            ("", "nor a file that can be read"),
            ("key1", "nor a file that can be read"),
            (&"A".repeat(10_000), "nor a file that can be read"),
            ("MCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", "a key of X25519"),
        ] {
            assert!(reason(argument).contains(part), "{argument}: {}", reason(argument));
        }
    }

    #[test]
    fn files_that_cannot_be_a_key_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        // Cut off at the limit it would be a key.
        let padded = format!("{PEM}{}", "\n".repeat(WrittenKey::MAX_BYTES));
        std::fs::write(path("large"), padded).unwrap();
        std::fs::write(path("binary"), [0x30, 0x2a, 0xff, 0xfe]).unwrap();
        std::fs::write(path("several"), PEM.repeat(2)).unwrap();
        assert!(matches!(read(&path("large")), Err(PubkeyError::TooLarge)));
        assert!(matches!(read(&path("binary")), Err(PubkeyError::NotText)));
        assert!(matches!(read(&path("")), Err(PubkeyError::Unreadable(_))));
        let reason = reason(&path("several"));
        assert!(reason.contains("in the file: more than one PEM block"), "{reason}");
    }
}
