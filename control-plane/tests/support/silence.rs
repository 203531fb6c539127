//! A way to a database that can go silent, as one does whose machine has vanished:
//! connections stay open, and nothing comes.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// The name that PostgreSQL gives its socket.
const SOCKET: &str = ".s.PGSQL.5432";

pub struct Way {
    dir: TempDir,
    /// Connections older than this many silences are silent.
    silences: watch::Sender<u64>,
}

impl Way {
    /// A way to the socket in this folder.
    pub fn to(folder: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let silences = watch::Sender::new(0u64);
        let (target, made) = (folder.join(SOCKET), silences.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target.clone(), made.subscribe()));
            }
        });
        Self { dir, silences }
    }

    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Every connection that there is says nothing any more; new ones do.
    pub fn fall_silent(&self) {
        self.silences.send_modify(|silences| *silences += 1);
    }
}

async fn carry(mut near: UnixStream, target: PathBuf, mut silences: watch::Receiver<u64>) {
    silences.mark_unchanged();
    let mut far = UnixStream::connect(target).await.unwrap();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = silences.changed() => {
            // The database notices, and whoever asks it does not.
            drop(far);
            silences.wait_for(|_| false).await.ok();
        }
    }
}
