//! The two secrets of a control plane: the admin key, by which people and tools
//! are let in, and the signing key, by which proxies believe updates.
//!
//! Each is made once, when there is none, and kept in a file that only its owner
//! may read.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kya_core::Signer;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::data_dir::{DataDir, DataDirError};

const ADMIN_PREFIX: &str = "kya_admin_";
const ADMIN_SECRET_LENGTH: usize = 43;
const ADMIN_FILE: &str = "admin.key";
const SIGNING_FILE: &str = "signing.key";
const PUBLIC_FILE: &str = "signing.pub";

/// The key that opens the HTTP API. It is a secret: `Debug` does not show it.
#[derive(Clone)]
pub struct AdminKey {
    text: String,
    digest: [u8; 32],
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
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Entropy(getrandom::Error),
}

impl AdminKey {
    /// Reads the admin key, or makes it. The flag is true when it was made now,
    /// which is the one time to show it.
    pub fn open_or_create(data_dir: &DataDir) -> Result<(Self, bool), KeyFileError> {
        let fresh = format!("{ADMIN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random()?));
        let (text, made) = data_dir.read_or_create_secret(ADMIN_FILE, &fresh)?;
        let well_formed = text.strip_prefix(ADMIN_PREFIX).is_some_and(|secret| {
            secret.len() == ADMIN_SECRET_LENGTH
                && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
        if !well_formed {
            return Err(malformed(data_dir, ADMIN_FILE, "an admin key (`kya_admin_…`)"));
        }
        let digest = Sha256::digest(text.as_bytes()).into();
        Ok((Self { text, digest }, made))
    }

    /// True when `presented` is this key. Takes the same time whatever differs.
    pub fn matches(&self, presented: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        self.digest.ct_eq(&presented).into()
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

/// Reads the signing key, or makes it, and writes its public half beside it. The
/// flag is true when it was made now.
pub fn open_or_create_signer(data_dir: &DataDir) -> Result<(Signer, bool), KeyFileError> {
    let fresh = STANDARD.encode(random()?);
    let (text, made) = data_dir.read_or_create_secret(SIGNING_FILE, &fresh)?;
    let seed = STANDARD.decode(&text).ok().and_then(|seed| <[u8; 32]>::try_from(seed).ok());
    let Some(seed) = seed else {
        return Err(malformed(data_dir, SIGNING_FILE, "the base64 of 32 bytes"));
    };
    let signer = Signer::from_seed(seed);
    data_dir.write(PUBLIC_FILE, &format!("{}\n", signer.public_key()))?;
    Ok((signer, made))
}

fn random() -> Result<[u8; 32], KeyFileError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(KeyFileError::Entropy)?;
    Ok(bytes)
}

fn malformed(data_dir: &DataDir, file: &str, expected: &'static str) -> KeyFileError {
    KeyFileError::Malformed { path: display(&data_dir.path().join(file)), expected }
}

fn display(path: &Path) -> String {
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

        let (signer, made) = open_or_create_signer(&dir).unwrap();
        let (again, made_again) = open_or_create_signer(&dir).unwrap();
        assert!(made && !made_again);
        let public = signer.public_key();
        assert_eq!(again.public_key(), public);
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
                _ => open_or_create_signer(&dir).unwrap_err(),
            };
            assert!(error.to_string().contains(file), "{error}");
            assert_eq!(fs::read_to_string(dir.path().join(file)).unwrap(), content);
        }
    }
}
