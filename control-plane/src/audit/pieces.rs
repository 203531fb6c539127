//! The pieces of an export, on their way to whoever asked for it.

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::export::ExportFailed;

/// How long a piece may wait for whoever asked for the export to read on.
pub(super) const UNREAD: Duration = Duration::from_secs(30);

/// Where an export goes, piece by piece.
pub(crate) type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// Hands a piece on, as soon as whoever asked takes it.
pub(super) async fn hand_on(
    pieces: &Pieces,
    piece: String,
    within: Duration,
) -> Result<(), ExportFailed> {
    let sent = timeout(within, pieces.send(Ok(piece.into()))).await;
    sent.map_err(|_| ExportFailed::Unread)?.map_err(|_| ExportFailed::Left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_does_not_read_on_has_it_ended() {
        let (pieces, taken) = mpsc::channel(1);
        hand_on(&pieces, "one".to_owned(), Duration::ZERO).await.unwrap();
        let unread = hand_on(&pieces, "two".to_owned(), Duration::ZERO).await;
        assert!(matches!(unread, Err(ExportFailed::Unread)), "{unread:?}");
        drop(taken);
        let left = hand_on(&pieces, "two".to_owned(), Duration::ZERO).await;
        assert!(matches!(left, Err(ExportFailed::Left)), "{left:?}");
    }
}
