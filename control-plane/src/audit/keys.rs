//! The private keys that sign checkpoints of the trail.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kya_core::audit::VerifierKey;
use kya_core::{PublicKey, Signer};

use crate::data_dir::DataDir;
use crate::keys::{KeyFileError, random, signer};

/// Each is in a file of its own: `audit-<key id>.key`.
const PREFIX: &str = "audit-";
const SUFFIX: &str = ".key";
/// Where whoever verifies the trail finds the key that signs.
const PUBLIC_FILE: &str = "audit.pub";

/// The private keys that sign checkpoints, each in its file. They are others than those
/// that sign updates and tokens: one key, one purpose.
#[derive(Debug, Clone)]
pub struct AuditKeys {
    data_dir: DataDir,
}

impl AuditKeys {
    /// Those of this directory.
    pub fn new(data_dir: DataDir) -> Self {
        Self { data_dir }
    }

    /// Makes a key, which is in its file when this returns.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn make(&self) -> Result<Signer, KeyFileError> {
        let seed = random()?;
        let name = file_of(Signer::from_seed(seed).public_key());
        let (text, _) = self.data_dir.read_or_create_secret(&name, &STANDARD.encode(seed))?;
        signer(&self.data_dir, &name, &text)
    }

    /// The private half of this key, if it is here.
    ///
    /// # Errors
    /// When its file cannot be used.
    pub fn find(&self, key: PublicKey) -> Result<Option<Signer>, KeyFileError> {
        let name = file_of(key);
        let Some(text) = self.data_dir.read_secret(&name)? else { return Ok(None) };
        let signer = signer(&self.data_dir, &name, &text)?;
        Ok(Some(signer).filter(|signer| signer.public_key() == key))
    }

    /// Removes the private half of a key that signs no more.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn forget(&self, key: PublicKey) -> Result<(), KeyFileError> {
        Ok(self.data_dir.remove_secret(&file_of(key))?)
    }

    /// Writes the key that signs where whoever verifies the trail finds it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn publish(&self, key: &VerifierKey) -> Result<(), KeyFileError> {
        Ok(self.data_dir.write(PUBLIC_FILE, &format!("{key}\n"))?)
    }
}

fn file_of(key: PublicKey) -> String {
    format!("{PREFIX}{}{SUFFIX}", key.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_file_until_it_is_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let keys = AuditKeys::new(DataDir::open(&temp.path().join("d")).unwrap());
        let (one, two) = (keys.make().unwrap(), keys.make().unwrap());
        assert_ne!(one.public_key(), two.public_key());
        for key in [&one, &two] {
            let found = keys.find(key.public_key()).unwrap().unwrap();
            assert_eq!(found.to_seed(), key.to_seed());
        }
        keys.forget(one.public_key()).unwrap();
        assert!(keys.find(one.public_key()).unwrap().is_none());
    }
}
