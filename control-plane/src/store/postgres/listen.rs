//! Word of commits, as the database passes it on. It makes a push fast; what makes
//! it certain is that the publisher looks by itself.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;

use super::pools::Pools;

const CHANNEL: &str = "kya_committed";
/// Between two attempts to listen.
const RETRY: Duration = Duration::from_millis(500);

/// A connection that listens.
pub(super) struct Listener {
    listener: PgListener,
    renewals: watch::Receiver<()>,
}

impl Listener {
    pub(super) async fn connect(pools: &Pools) -> Result<Self, sqlx::Error> {
        let mut renewals = pools.renewals();
        renewals.mark_unchanged();
        let mut listener = PgListener::connect_with(&pools.now().readers).await?;
        // Not behind the back of whoever is to look at what was missed.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Self { listener, renewals })
    }

    /// Passes on what it hears, up to its end.
    async fn pass_on(&mut self, tell: &watch::Sender<()>) {
        loop {
            // What was committed before it listened is news, too.
            tell.send_replace(());
            tokio::select! {
                heard = self.listener.try_recv() => match heard {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return,
                },
                _ = self.renewals.changed() => return,
            }
        }
    }
}

/// Listens for ever.
pub(super) async fn run(pools: Arc<Pools>, first: Listener, tell: watch::Sender<()>) {
    let mut listener = Some(first);
    loop {
        if let Some(mut listener) = listener.take() {
            listener.pass_on(&tell).await;
            tracing::warn!("the database does not tell of commits any more; listening again");
        }
        match Listener::connect(&pools).await {
            Ok(again) => listener = Some(again),
            Err(error) => {
                tracing::debug!(%error, "cannot listen to the database");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
