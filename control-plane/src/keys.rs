//! The two secrets of a control plane: the admin key, by which its built-in operator
//! is let in, and the signing key, by which proxies believe updates.
//!
//! Each is made once, when there is none, and kept in a file that only its owner
//! may read.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kya_core::{KeyId, PublicKey, Signer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::data_dir::{DataDir, DataDirError};

const ADMIN_PREFIX: &str = "kya_admin_";
const ADMIN_SECRET_LENGTH: usize = 43;
const ADMIN_FILE: &str = "admin.key";
const SIGNING_FILE: &str = "signing.key";
/// Of the keys after the first: `signing-<key id>.key`.
const SIGNING_PREFIX: &str = "signing-";
const SIGNING_SUFFIX: &str = ".key";
const PUBLIC_FILE: &str = "signing.pub";

/// What the file of the admin key holds where there is to be none.
const LOCKED: &str = "locked";

/// The key of the built-in operator, which may do everything by the HTTP API. It is a
/// secret: `Debug` does not show it. Nothing matches one that is locked away.
#[derive(Clone)]
pub struct AdminKey {
    text: String,
    /// `None` of one that is locked away.
    digest: Option<[u8; 32]>,
}

/// Why a key could not be had.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] DataDirError),
    /// The file holds something else.
    #[error(
        "{path} does not hold {expected}: put the original file back, or move it away to have a new key made"
    )]
    Malformed {
        /// The file.
        path: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The key that is to sign has no file.
    #[error(
        "the signing key {id} ({key}) has no file in {path}: put `signing-{id}.key` back (or, if it is the first key, `signing.key`)"
    )]
    Missing {
        /// Its short name.
        id: KeyId,
        /// The key.
        key: Box<PublicKey>,
        /// The data directory.
        path: String,
    },
    /// The other servers of a database have a key that this one has not.
    #[error(
        "the servers of this database sign with {id} ({key}), and no file in {path} holds that key: copy the key files (`*.key`) from the data directory of one of them"
    )]
    NotOfTheOthers {
        /// Its short name.
        id: KeyId,
        /// The key.
        key: Box<PublicKey>,
        /// The data directory.
        path: String,
    },
    /// The key that signs capability tokens has no file.
    #[error(
        "no file in {path} holds {id} ({key}), the key that signs capability tokens: copy `token-{id}.key` from the data directory of the server that made it, or announce and activate another key"
    )]
    NoTokenKey {
        /// Its short name.
        id: KeyId,
        /// The key.
        key: Box<PublicKey>,
        /// The data directory.
        path: String,
    },
    /// The database knows of no key, and there are keys.
    #[error(
        "{path} has no signing.key, but {found}: the database is older than the keys. Put back the database that belongs to them; if it is lost, copy the file of the key that the proxies trust to signing.key"
    )]
    NewerKeys {
        /// The data directory.
        path: String,
        /// The name of one of the others.
        found: String,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Entropy(getrandom::Error),
}

impl AdminKey {
    /// Reads the admin key, or makes it. The flag is true when it was made now,
    /// which is the one time to show it. A file that says `locked` is no key, and
    /// none is made in its place.
    pub fn open_or_create(data_dir: &DataDir) -> Result<(Self, bool), KeyFileError> {
        let fresh = format!("{ADMIN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random()?));
        let (text, made) = data_dir.read_or_create_secret(ADMIN_FILE, &fresh)?;
        if text == LOCKED {
            return Ok((Self { text, digest: None }, false));
        }
        let well_formed = text.strip_prefix(ADMIN_PREFIX).is_some_and(|secret| {
            secret.len() == ADMIN_SECRET_LENGTH
                && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
        if !well_formed {
            return Err(malformed(
                data_dir,
                ADMIN_FILE,
                "an admin key (`kya_admin_…`) or the word `locked`",
            ));
        }
        let digest = Some(Sha256::digest(text.as_bytes()).into());
        Ok((Self { text, digest }, made))
    }

    /// True when `presented` is this key. Takes the same time whatever differs.
    pub fn matches(&self, presented: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        self.digest.is_some_and(|digest| digest.ct_eq(&presented).into())
    }

    /// True of what is written like an admin key, be it of this control plane or not.
    pub(crate) fn is_of_this_kind(presented: &[u8]) -> bool {
        presented.starts_with(ADMIN_PREFIX.as_bytes())
    }

    /// True if there is no such key: only named operators are let in.
    pub fn is_locked(&self) -> bool {
        self.digest.is_none()
    }

    /// The key itself, to be shown once to whoever started the server.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(kya_admin_…)")
    }
}

/// The private keys that sign updates, each in its file.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    data_dir: DataDir,
}

impl SigningKeys {
    /// Those of this directory.
    pub fn new(data_dir: DataDir) -> Self {
        Self { data_dir }
    }

    /// Reads the first key, or makes it. The flag is true when it was made now.
    /// None is made where there are others.
    pub fn first(&self) -> Result<(Signer, bool), KeyFileError> {
        let others = self.data_dir.names(SIGNING_PREFIX, SIGNING_SUFFIX)?;
        if let Some(found) = others.into_iter().next()
            && self.data_dir.read_secret(SIGNING_FILE)?.is_none()
        {
            return Err(KeyFileError::NewerKeys { path: display(self.data_dir.path()), found });
        }
        let fresh = STANDARD.encode(random()?);
        let (text, made) = self.data_dir.read_or_create_secret(SIGNING_FILE, &fresh)?;
        Ok((self.signer(SIGNING_FILE, &text)?, made))
    }

    /// Makes another key, which is in its file when this returns.
    pub fn make(&self) -> Result<Signer, KeyFileError> {
        let seed = random()?;
        let signer = Signer::from_seed(seed);
        let name = file_of(signer.public_key());
        let (text, _) = self.data_dir.read_or_create_secret(&name, &STANDARD.encode(seed))?;
        self.signer(&name, &text)
    }

    /// The private half of this key.
    pub fn find(&self, key: PublicKey) -> Result<Signer, KeyFileError> {
        for name in [file_of(key), SIGNING_FILE.to_owned()] {
            if let Some(text) = self.data_dir.read_secret(&name)? {
                let signer = self.signer(&name, &text)?;
                if signer.public_key() == key {
                    return Ok(signer);
                }
            }
        }
        let path = display(self.data_dir.path());
        Err(KeyFileError::Missing { id: key.id(), key: Box::new(key), path })
    }

    /// Removes the private half of a key that counts no more.
    pub fn forget(&self, key: PublicKey) -> Result<(), KeyFileError> {
        self.data_dir.remove_secret(&file_of(key))?;
        if let Some(text) = self.data_dir.read_secret(SIGNING_FILE)?
            && self.signer(SIGNING_FILE, &text)?.public_key() == key
        {
            self.data_dir.remove_secret(SIGNING_FILE)?;
        }
        Ok(())
    }

    /// Writes the key that signs where whoever configures proxies finds it.
    pub fn publish(&self, active: PublicKey) -> Result<(), KeyFileError> {
        Ok(self.data_dir.write(PUBLIC_FILE, &format!("{active}\n"))?)
    }

    fn signer(&self, name: &str, text: &str) -> Result<Signer, KeyFileError> {
        signer(&self.data_dir, name, text)
    }
}

pub(crate) fn signer(data_dir: &DataDir, name: &str, text: &str) -> Result<Signer, KeyFileError> {
    let seed = STANDARD.decode(text).ok().and_then(|seed| <[u8; 32]>::try_from(seed).ok());
    let malformed = || malformed(data_dir, name, "the base64 of 32 bytes");
    seed.map(Signer::from_seed).ok_or_else(malformed)
}

fn file_of(key: PublicKey) -> String {
    format!("{SIGNING_PREFIX}{}{SIGNING_SUFFIX}", key.id())
}

pub(crate) fn random() -> Result<[u8; 32], KeyFileError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(KeyFileError::Entropy)?;
    Ok(bytes)
}

fn malformed(data_dir: &DataDir, file: &str, expected: &'static str) -> KeyFileError {
    KeyFileError::Malformed { path: display(&data_dir.path().join(file)), expected }
}

pub(crate) fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn data_dir() -> (tempfile::TempDir, DataDir) {
        let temp = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(&temp.path().join("d")).unwrap();
        (temp, data_dir)
    }

    #[test]
    fn keys_are_made_once_and_kept() {
        let (_temp, dir) = data_dir();
        let (key, made) = AdminKey::open_or_create(&dir).unwrap();
        let (again, made_again) = AdminKey::open_or_create(&dir).unwrap();
        assert!(made && !made_again);
        assert_eq!(key.reveal(), again.reveal());
        assert!(key.matches(again.reveal().as_bytes()));

        let keys = SigningKeys::new(dir.clone());
        let (signer, made) = keys.first().unwrap();
        let (again, made_again) = keys.first().unwrap();
        assert!(made && !made_again);
        let public = signer.public_key();
        assert_eq!(again.public_key(), public);
        keys.publish(public).unwrap();
        let written = fs::read_to_string(dir.path().join("signing.pub")).unwrap();
        assert_eq!(written, format!("{public}\n"));
    }

    #[test]
    fn only_the_exact_key_matches() {
        let (_temp, dir) = data_dir();
        let (key, _) = AdminKey::open_or_create(&dir).unwrap();
        let text = key.reveal();
        for wrong in ["", "kya_admin_", &text[..text.len() - 1], &format!("{text} ")] {
            assert!(!key.matches(wrong.as_bytes()), "{wrong:?} was taken for the key");
        }
        assert!(!format!("{key:?}").contains(&text[10..20]));
    }

    #[test]
    fn one_that_is_locked_away_matches_nothing_and_is_not_made_anew() {
        let (_temp, dir) = data_dir();
        dir.read_or_create_secret("admin.key", "locked").unwrap();
        let (key, made) = AdminKey::open_or_create(&dir).unwrap();
        assert!(key.is_locked() && !made);
        for presented in ["", "locked", "kya_admin_", "admin"] {
            assert!(!key.matches(presented.as_bytes()), "{presented:?}");
        }
        assert_eq!(fs::read_to_string(dir.path().join("admin.key")).unwrap(), "locked\n");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_what_to_do() {
        let (_temp, dir) = data_dir();
        AdminKey::open_or_create(&dir).unwrap();
        let path = dir.path().join("admin.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = AdminKey::open_or_create(&dir).unwrap_err().to_string();
        assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_not_replaced() {
        let (_temp, dir) = data_dir();
        for (file, content) in [("admin.key", "kya_admin_short\n"), ("signing.key", "AAAA\n")] {
            dir.read_or_create_secret(file, content.trim_end()).unwrap();
            let error = match file {
                "admin.key" => AdminKey::open_or_create(&dir).unwrap_err(),
                _ => SigningKeys::new(dir.clone()).first().unwrap_err(),
            };
            assert!(error.to_string().contains(file), "{error}");
            assert_eq!(fs::read_to_string(dir.path().join(file)).unwrap(), content);
        }
    }

    #[test]
    fn each_key_has_its_file_until_it_is_forgotten() {
        let (_temp, dir) = data_dir();
        let keys = SigningKeys::new(dir.clone());
        let (first, _) = keys.first().unwrap();
        let next = keys.make().unwrap();
        for key in [first.public_key(), next.public_key()] {
            assert_eq!(keys.find(key).unwrap().public_key(), key);
        }
        let name = format!("signing-{}.key", next.public_key().id());
        let mode = fs::metadata(dir.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        keys.forget(first.public_key()).unwrap();
        assert!(!dir.path().join("signing.key").exists());
        let error = keys.find(first.public_key()).unwrap_err().to_string();
        assert!(error.contains(&first.public_key().id().to_string()), "{error}");
        let error = keys.first().unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("older than the keys"), "{error}");
        assert!(!dir.path().join("signing.key").exists(), "none was made");
        keys.find(next.public_key()).unwrap();
        keys.forget(next.public_key()).unwrap();
        assert!(!dir.path().join(&name).exists());
    }
}
