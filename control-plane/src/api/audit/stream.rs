//! The body of an export.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Bytes;
use tokio::sync::mpsc;
use tokio_stream::Stream;

/// Pieces, as they are written. If the last of them never comes it ends with an error:
/// whoever reads it sees that it has no end.
pub(super) struct Whole {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    is_whole: Arc<AtomicBool>,
}

impl Whole {
    /// The pieces, and what is set when the last of them was sent.
    pub(super) fn new(pieces: mpsc::Receiver<io::Result<Bytes>>) -> (Self, Arc<AtomicBool>) {
        let is_whole = Arc::new(AtomicBool::new(false));
        (Self { pieces, is_whole: Arc::clone(&is_whole) }, is_whole)
    }
}

impl Stream for Whole {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_recv(context).map(|piece| match piece {
            // Said once; nothing follows an error.
            None if !self.is_whole.swap(true, Ordering::AcqRel) => {
                Some(Err(io::Error::other("the export ended early")))
            }
            piece => piece,
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn what_was_not_written_to_its_end_ends_with_an_error() {
        for whole in [true, false] {
            let (pieces, taken) = mpsc::channel(1);
            let (mut stream, is_whole) = Whole::new(taken);
            pieces.send(Ok(Bytes::from_static(b"one"))).await.unwrap();
            is_whole.store(whole, Ordering::Release);
            drop(pieces);
            assert_eq!(stream.next().await.unwrap().unwrap(), "one");
            assert_eq!(stream.next().await.map(|last| last.is_err()), (!whole).then_some(true));
            assert!(stream.next().await.is_none());
        }
    }
}
