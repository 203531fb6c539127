//! Word of commits, those of other servers on the same database included.

use tokio::sync::watch;

/// Follows the commits to one database. Word of one may be lost: whoever needs to
/// be certain looks every so often, too.
#[derive(Debug, Clone)]
pub struct Commits(Option<watch::Receiver<()>>);

impl Commits {
    /// Of a database that nobody else writes to: there is never any word.
    pub const fn none() -> Self {
        Self(None)
    }

    pub(super) const fn of(receiver: watch::Receiver<()>) -> Self {
        Self(Some(receiver))
    }

    /// Whether other servers may write to the database.
    pub const fn are_shared(&self) -> bool {
        self.0.is_some()
    }

    /// Waits until something may have been committed since the last time. It may
    /// be dropped and called again, and misses nothing.
    pub async fn next(&mut self) {
        if let Some(receiver) = &mut self.0
            && receiver.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn word_of_a_commit_waits_for_whoever_asks_later_and_comes_once() {
        let (tell, told) = watch::channel(());
        let mut commits = Commits::of(told);
        tell.send_replace(());
        tell.send_replace(());
        commits.next().await;
        let silence = Duration::from_millis(20);
        assert!(tokio::time::timeout(silence, commits.next()).await.is_err());
        drop(tell);
        assert!(tokio::time::timeout(silence, commits.next()).await.is_err());
        assert!(tokio::time::timeout(silence, Commits::none().next()).await.is_err());
    }
}
