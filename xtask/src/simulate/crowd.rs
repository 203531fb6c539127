//! Many connections in one process, of which none may end.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::{Said, say};

/// Connections that are being made at a time.
const AT_ONCE: usize = 64;

/// All of them. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Crowd {
    missing: Arc<AtomicUsize>,
    turns: Arc<Semaphore>,
    members: JoinSet<Result<()>>,
}

/// The right to connect, which one has until it is there.
#[derive(Debug)]
pub(super) struct Turn {
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    missing: Arc<AtomicUsize>,
}

impl Crowd {
    /// There will be so many.
    pub(super) fn of(count: usize) -> Self {
        Self {
            missing: Arc::new(AtomicUsize::new(count)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            members: JoinSet::new(),
        }
    }

    /// Starts one as soon as it has its turn.
    pub(super) fn join<F>(&mut self, member: impl FnOnce(Turn) -> F + Send + 'static)
    where
        F: Future<Output = Result<()>> + Send,
    {
        let (turns, missing) = (Arc::clone(&self.turns), Arc::clone(&self.missing));
        self.members.spawn(async move {
            let permit = Mutex::new(Some(turns.acquire_owned().await?));
            member(Turn { permit, missing }).await
        });
    }

    /// Says when all are there. Returns when one of them has ended, which is an error.
    pub(super) async fn stay(mut self) -> Result<()> {
        let Some(ended) = self.members.join_next().await else {
            bail!("there is nobody");
        };
        let why = match ended? {
            Ok(()) => "a connection ended".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        say(&Said::Failed { why: why.clone() });
        bail!(why)
    }
}

impl Turn {
    /// It is there. It may be said again and again.
    pub(super) fn is_there(&self) {
        let permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
        if permit.is_some() && self.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            say(&Said::Ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_is_there_makes_room_for_another_and_counts_once() {
        let mut crowd = Crowd::of(AT_ONCE + 1);
        let (there, mut are_there) = tokio::sync::mpsc::channel(AT_ONCE + 1);
        for _ in 0..=AT_ONCE {
            let there = there.clone();
            crowd.join(|turn| async move {
                turn.is_there();
                turn.is_there();
                there.send(()).await?;
                std::future::pending().await
            });
        }
        for _ in 0..=AT_ONCE {
            are_there.recv().await.unwrap();
        }
        assert_eq!(crowd.missing.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn the_end_of_one_is_the_end_of_all() {
        let mut crowd = Crowd::of(2);
        crowd.join(|_| std::future::pending());
        crowd.join(|_| async { bail!("it broke") });
        assert_eq!(crowd.stay().await.unwrap_err().to_string(), "it broke");
    }
}
