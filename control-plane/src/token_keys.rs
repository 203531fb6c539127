//! The private keys that sign capability tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kya_core::{PublicKey, Signer};

use crate::data_dir::DataDir;
use crate::keys::{KeyFileError, display, random, signer};

/// Each is in a file of its own: `token-<key id>.key`.
const PREFIX: &str = "token-";
const SUFFIX: &str = ".key";

/// The private keys that sign capability tokens, each in its file. They are others than
/// those that sign updates: one key, one purpose (RFC 8725 section 3.12).
#[derive(Debug, Clone)]
pub struct TokenKeys {
    data_dir: DataDir,
}

impl TokenKeys {
    /// Those of this directory.
    pub fn new(data_dir: DataDir) -> Self {
        Self { data_dir }
    }

    /// Makes a key, which is in its file when this returns.
    pub fn make(&self) -> Result<Signer, KeyFileError> {
        let seed = random()?;
        let name = file_of(Signer::from_seed(seed).public_key());
        let (text, _) = self.data_dir.read_or_create_secret(&name, &STANDARD.encode(seed))?;
        signer(&self.data_dir, &name, &text)
    }

    /// The private half of this key.
    pub fn find(&self, key: PublicKey) -> Result<Signer, KeyFileError> {
        let name = file_of(key);
        if let Some(text) = self.data_dir.read_secret(&name)? {
            let signer = signer(&self.data_dir, &name, &text)?;
            if signer.public_key() == key {
                return Ok(signer);
            }
        }
        let path = display(self.data_dir.path());
        Err(KeyFileError::NoTokenKey { id: key.id(), key: Box::new(key), path })
    }

    /// Removes the private half of a key whose tokens do not count any more.
    pub fn forget(&self, key: PublicKey) -> Result<(), KeyFileError> {
        Ok(self.data_dir.remove_secret(&file_of(key))?)
    }
}

fn file_of(key: PublicKey) -> String {
    format!("{PREFIX}{}{SUFFIX}", key.id())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_key_has_its_file_until_it_is_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&temp.path().join("d")).unwrap();
        let keys = TokenKeys::new(dir.clone());
        let (one, two) = (keys.make().unwrap(), keys.make().unwrap());
        assert_ne!(one.public_key(), two.public_key());
        for key in [&one, &two] {
            assert_eq!(keys.find(key.public_key()).unwrap().to_seed(), key.to_seed());
        }
        let path = dir.path().join(format!("token-{}.key", one.public_key().id()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        keys.forget(one.public_key()).unwrap();
        keys.forget(one.public_key()).unwrap();
        let error = keys.find(one.public_key()).unwrap_err().to_string();
        assert!(error.contains(&format!("token-{}.key", one.public_key().id())), "{error}");
        // A file with another key in it is none of that key.
        fs::copy(dir.path().join(format!("token-{}.key", two.public_key().id())), &path).unwrap();
        assert!(keys.find(one.public_key()).is_err());
    }
}
