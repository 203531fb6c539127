//! The directory that a control plane keeps everything in.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

const LOCK_FILE: &str = "kya.lock";
/// More than any file that is read here can have.
const MAX_SECRET_BYTES: u64 = 4096;

/// A directory that exists and that nobody else can change.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// Holds the directory for one server; released when dropped, or when the
/// process ends in whatever way.
#[derive(Debug)]
pub struct DataDirLock(#[expect(dead_code, reason = "open file, held for its lock")] File);

/// Why the directory, or a file in it, cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// The operating system refused.
    #[error("{path}")]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nothing can be made in the directory.
    #[error("cannot write to the data directory {path}")]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no directory, and none was to be made.
    #[error("there is no data directory {0}")]
    Missing(PathBuf),
    /// The path is taken by something else.
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    /// Others could replace the keys in it.
    #[error(
        "other users can write to the data directory {path} (mode {mode:04o}): run `chmod 700 {path}`, or name another one"
    )]
    WritableByOthers {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A secret that is none.
    #[error(
        "other users can read the key in {path} (mode {mode:04o}): run `chmod 600 {path}`, and replace the key if they may have read it"
    )]
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another server is running on it.
    #[error("another kya-control-plane is using {0}: stop it first, or name another directory")]
    InUse(PathBuf),
}

impl DataDir {
    /// Opens the directory, or makes it for its owner alone.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        // First, since making one fails less plainly where there is a file.
        Self::check(path)?;
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| io(path, e))?;
        Self::check(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Opens the directory if there is one.
    pub fn open_existing(path: &Path) -> Result<Self, DataDirError> {
        Self::check(path)?;
        match path.is_dir() {
            true => Ok(Self { path: path.to_owned() }),
            false => Err(DataDirError::Missing(path.to_owned())),
        }
    }

    /// Checks a directory without making or changing anything. One that does
    /// not exist is fine: it will be made.
    pub fn check(path: &Path) -> Result<(), DataDirError> {
        let metadata = match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => metadata.map_err(|error| io(path, error))?,
        };
        if !metadata.is_dir() {
            return Err(DataDirError::NotADirectory(path.to_owned()));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(DataDirError::WritableByOthers { path: path.to_owned(), mode });
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the directory for this process, or says that another has it.
    pub fn lock(&self) -> Result<DataDirLock, DataDirError> {
        let path = self.path.join(LOCK_FILE);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(
            |error| match error.kind() {
                io::ErrorKind::ReadOnlyFilesystem => self.not_writable(error),
                _ if !path.exists() => self.not_writable(error),
                _ => io(&path, error),
            },
        )?;
        match file.try_lock() {
            Ok(()) => Ok(DataDirLock(file)),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(io(&path, error)),
        }
    }

    /// The one line of a secret file; if there is none, makes it with `fresh`
    /// in it, whole or not at all. The flag is true when it was made now.
    pub fn read_or_create_secret(
        &self,
        name: &str,
        fresh: &str,
    ) -> Result<(String, bool), DataDirError> {
        let path = self.path.join(name);
        if let Some(text) = read_secret(&path)? {
            return Ok((text, false));
        }
        let temporary = self.temporary(name, &format!("{fresh}\n"))?;
        // A link fails where a rename would replace what another process has
        // just made.
        let made = std::fs::hard_link(&temporary, &path);
        std::fs::remove_file(&temporary).map_err(|error| io(&temporary, error))?;
        let made = match made {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(io(&path, error)),
        };
        self.sync()?;
        match read_secret(&path)? {
            Some(text) => Ok((text, made)),
            None => Err(io(&path, io::ErrorKind::NotFound.into())),
        }
    }

    /// The one line of a secret file, if there is one.
    pub fn read_secret(&self, name: &str) -> Result<Option<String>, DataDirError> {
        read_secret(&self.path.join(name))
    }

    /// The names of the files that begin and end like this, in order.
    pub fn names(&self, prefix: &str, suffix: &str) -> Result<Vec<String>, DataDirError> {
        let entries = std::fs::read_dir(&self.path).map_err(|error| io(&self.path, error))?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| io(&self.path, error))?.file_name();
            names.extend(name.into_string());
        }
        names.retain(|name| name.starts_with(prefix) && name.ends_with(suffix));
        names.sort_unstable();
        Ok(names)
    }

    /// Writes a file that is no secret, whole or not at all.
    pub fn write(&self, name: &str, content: &str) -> Result<(), DataDirError> {
        let path = self.path.join(name);
        let temporary = self.temporary(name, content)?;
        std::fs::rename(&temporary, &path).map_err(|error| io(&path, error))?;
        self.sync()
    }

    /// Removes a secret file if there is one, for good. What the file system or a
    /// backup keeps of it is out of reach.
    pub fn remove_secret(&self, name: &str) -> Result<(), DataDirError> {
        self.remove(name)?;
        self.sync()
    }

    /// Removes a file if there is one.
    pub fn remove(&self, name: &str) -> Result<(), DataDirError> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io(&path, error)),
            _ => Ok(()),
        }
    }

    fn temporary(&self, name: &str, content: &str) -> Result<PathBuf, DataDirError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!(".{name}.{}.{unique}", process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        // The name of the temporary file would say nothing to anybody.
        let mut file = options.open(&path).map_err(|error| self.not_writable(error))?;
        file.write_all(content.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| io(&path, error))?;
        Ok(path)
    }

    fn not_writable(&self, source: io::Error) -> DataDirError {
        DataDirError::NotWritable { path: self.path.clone(), source }
    }

    fn sync(&self) -> Result<(), DataDirError> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| io(&self.path, error))
    }
}

fn read_secret(path: &Path) -> Result<Option<String>, DataDirError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| io(path, error))?,
    };
    let mode = file.metadata().map_err(|error| io(path, error))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(DataDirError::ReadableByOthers { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(MAX_SECRET_BYTES).read_to_string(&mut text).map_err(|error| io(path, error))?;
    Ok(Some(text.trim_end().to_owned()))
}

fn io(path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_directory_is_for_its_owner_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let error = DataDir::open(temp.path()).unwrap_err().to_string();
        assert!(error.contains("0770") && error.contains("chmod 700"), "{error}");
    }

    #[test]
    fn a_file_in_its_place_is_refused() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        for refused in [DataDir::open(temp.path()), DataDir::open_existing(temp.path())] {
            assert!(matches!(refused, Err(DataDirError::NotADirectory(_))), "{refused:?}");
        }
        assert!(matches!(DataDir::check(temp.path()), Err(DataDirError::NotADirectory(_))));
    }

    #[test]
    fn a_directory_that_is_to_exist_is_not_made() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("mistyped");
        assert!(matches!(DataDir::open_existing(&path), Err(DataDirError::Missing(_))));
        assert!(!path.exists());
        assert_eq!(DataDir::open_existing(temp.path()).unwrap().path(), temp.path());
    }

    #[test]
    fn a_directory_that_nothing_can_be_made_in_is_named_itself_and_the_cause_once() {
        // Not even the superuser can make a file there.
        let dir = DataDir::open(Path::new("/proc/self")).unwrap();
        let refused = [
            dir.lock().map(drop),
            dir.write("f", "").map(drop),
            dir.read_or_create_secret("s", "x").map(drop),
        ];
        for error in refused.map(Result::unwrap_err) {
            let said = format!("{:#}", anyhow::Error::from(error));
            assert!(said.starts_with("cannot write to the data directory /proc/self: "), "{said}");
            assert_eq!(said.matches("os error").count(), 1, "{said}");
        }
    }

    #[test]
    fn one_server_at_a_time_has_the_directory() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let held = dir.lock().unwrap();
        assert!(matches!(dir.lock(), Err(DataDirError::InUse(_))));
        drop(held);
        assert!(dir.lock().is_ok());
    }

    #[test]
    fn two_makers_of_a_secret_end_with_the_same_one() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let texts: Vec<String> = std::thread::scope(|scope| {
            let make = |n: u32| {
                let dir = &dir;
                scope.spawn(move || dir.read_or_create_secret("s", &n.to_string()).unwrap().0)
            };
            let makers: Vec<_> = (0..8).map(make).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a temporary file was left");
    }
}
