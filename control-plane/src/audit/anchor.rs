//! Checkpoints in a second place: a file that is only ever appended to, for example on
//! another machine, or an [address](remote). Whoever rewrites the whole trail cannot rewrite
//! what was written there.

mod remote;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kya_core::audit::export::Sealed;
use tokio::time::sleep;

pub(crate) use remote::Remote;

use super::Trail;
use crate::throttle::Throttle;

/// How often it is looked whether there is a new checkpoint, of whatever server.
const LOOK: Duration = Duration::from_secs(1);

static WARNINGS: Throttle = Throttle::new(Duration::from_secs(60));

/// Appends each newest checkpoint to the file, for ever: one JSON object a line, as in an
/// export.
pub(super) async fn follow(trail: Arc<Trail>, file: PathBuf) {
    let mut written = 0;
    loop {
        match trail.store.checkpoint(None).await {
            Ok(Some(row)) if row.size > written => {
                let (file, note) = (file.clone(), row.note);
                let appended = tokio::task::spawn_blocking(move || append(&file, note)).await;
                match appended.map_err(io::Error::other).flatten() {
                    Ok(()) => written = row.size,
                    Err(error) => warn(&error),
                }
            }
            Ok(_) => {}
            Err(error) => warn(&error),
        }
        sleep(LOOK).await;
    }
}

fn append(file: &Path, checkpoint: String) -> io::Result<()> {
    let line = serde_json::to_string(&Sealed { checkpoint, keys: None })?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    // At once, so that a line is whole or not there.
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

fn warn(error: &dyn std::fmt::Display) {
    if WARNINGS.passes() {
        tracing::warn!(%error, "cannot write checkpoints of the audit trail to the anchor file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_file_stays_and_each_line_is_one_of_an_export() {
        use kya_core::audit::export::Line;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("anchor.jsonl");
        for note in ["one\n\nx\n", "two\n\nx\n"] {
            append(&file, note.to_owned()).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let notes = text.lines().map(|line| match Line::parse(line).unwrap() {
            Line::Sealed(sealed) => sealed.checkpoint,
            other => panic!("{other:?}"),
        });
        assert_eq!(notes.collect::<Vec<_>>(), ["one\n\nx\n", "two\n\nx\n"]);
        assert!(append(dir.path(), String::new()).is_err(), "a folder is no file");
    }
}
