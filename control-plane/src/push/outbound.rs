//! What waits to be sent on one stream, in two lanes: chunks let everything that
//! is signed pass, so that a revocation waits for none of them.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use kya_core::wire::{Chunks, ControlMessage, SignedUpdate, control_message::Message};
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tonic::Status;

/// Messages with chunks that wait. Each has about [`super::chunks::MESSAGE_BYTES`].
const WAITING_CHUNKS: usize = 1;
/// Manifests that wait.
const WAITING_MANIFESTS: usize = 1;

/// Where a session puts what it says.
#[derive(Debug)]
pub(super) struct Lanes {
    signed: mpsc::Sender<Signed>,
    chunks: mpsc::Sender<Chunks>,
    manifests: Arc<Semaphore>,
    patience: Duration,
    /// Messages that the transport has taken.
    taken: Arc<AtomicU64>,
    /// When nothing waited, or how many were taken was last seen to change.
    moved: Mutex<(Instant, u64)>,
}

/// Where the transport takes it from.
#[derive(Debug)]
pub(super) struct Outbound {
    signed: mpsc::Receiver<Signed>,
    chunks: mpsc::Receiver<Chunks>,
    taken: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Signed {
    message: Result<SignedUpdate, Status>,
    /// Of a manifest; given back when the transport takes it.
    _place: Option<OwnedSemaphorePermit>,
}

/// The lanes of a stream on which so many signed messages may wait. A proxy that
/// lets one lane be full for as long as `patience` is not waited for.
pub(super) fn lanes(signed: usize, patience: Duration) -> (Lanes, Outbound) {
    let (say, said) = mpsc::channel(signed.max(1));
    let (give, given) = mpsc::channel(WAITING_CHUNKS);
    let manifests = Arc::new(Semaphore::new(WAITING_MANIFESTS));
    let taken = Arc::<AtomicU64>::default();
    let outbound = Outbound { signed: said, chunks: given, taken: Arc::clone(&taken) };
    let moved = Mutex::new((Instant::now(), 0));
    (Lanes { signed: say, chunks: give, manifests, patience, taken, moved }, outbound)
}

impl Lanes {
    pub(super) async fn signed(&self, update: SignedUpdate) -> Result<(), Status> {
        self.say(Signed { message: Ok(update), _place: None }).await
    }

    /// Waits until there is a place for a manifest.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.manifests).acquire_owned().await;
        // Fails only when the semaphore is closed, which nobody does.
        place.map_err(|_| Status::internal("no place for a manifest"))
    }

    pub(super) async fn manifest(
        &self,
        manifest: SignedUpdate,
        place: OwnedSemaphorePermit,
    ) -> Result<(), Status> {
        self.say(Signed { message: Ok(manifest), _place: Some(place) }).await
    }

    pub(super) async fn chunks(&self, chunks: Chunks) -> Result<(), Status> {
        let sent = self.chunks.send_timeout(chunks, self.patience).await;
        self.judge(sent)
    }

    /// Fails if something has waited for as long as `patience`, and nothing was
    /// taken. To be asked now and then: a lane that nobody reads may take long to
    /// be full.
    pub(super) fn check(&self) -> Result<(), Status> {
        self.check_at(Instant::now())
    }

    fn check_at(&self, now: Instant) -> Result<(), Status> {
        let taken = self.taken.load(Ordering::Relaxed);
        let nothing_waits = self.signed.capacity() == self.signed.max_capacity()
            && self.chunks.capacity() == self.chunks.max_capacity();
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        if nothing_waits || moved.1 != taken {
            *moved = (now, taken);
        }
        match now.saturating_duration_since(moved.0) >= self.patience {
            true => Err(self.unread()),
            false => Ok(()),
        }
    }

    /// Says why the stream ends. True if there was room for it in time.
    pub(super) async fn end(&self, why: Status, patience: Duration) -> bool {
        let last = Signed { message: Err(why), _place: None };
        let sent = self.signed.send_timeout(last, patience).await;
        !matches!(sent, Err(SendTimeoutError::Timeout(_)))
    }

    /// Ends when the transport has gone.
    pub(super) async fn closed(&self) {
        self.signed.closed().await;
    }

    async fn say(&self, message: Signed) -> Result<(), Status> {
        let sent = self.signed.send_timeout(message, self.patience).await;
        self.judge(sent)
    }

    fn judge<T>(&self, sent: Result<(), SendTimeoutError<T>>) -> Result<(), Status> {
        sent.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => self.unread(),
            SendTimeoutError::Closed(_) => Status::cancelled("the proxy hung up"),
        })
    }

    fn unread(&self) -> Status {
        Status::resource_exhausted(format!("the proxy has not read for {:?}", self.patience))
    }
}

impl Stream for Outbound {
    type Item = Result<ControlMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = |message| ControlMessage { message: Some(message) };
        match self.signed.poll_recv(context) {
            Poll::Ready(Some(signed)) => {
                self.taken.fetch_add(1, Ordering::Relaxed);
                let said = signed.message.map(|update| message(Message::Signed(update)));
                return Poll::Ready(Some(said));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        match self.chunks.poll_recv(context) {
            Poll::Ready(Some(chunks)) => {
                self.taken.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Some(Ok(message(Message::Chunks(chunks)))))
            }
            // Both lanes end with the session; the other one says so.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    fn update(n: u8) -> SignedUpdate {
        SignedUpdate { payload: vec![n], ..SignedUpdate::default() }
    }

    async fn next(outbound: &mut Outbound) -> Option<Message> {
        outbound.next().await?.unwrap().message
    }

    #[tokio::test]
    async fn what_is_signed_passes_chunks_that_wait() {
        let (lanes, mut outbound) = lanes(4, Duration::from_secs(20));
        lanes.chunks(Chunks::default()).await.unwrap();
        lanes.signed(update(1)).await.unwrap();
        lanes.signed(update(2)).await.unwrap();
        assert_eq!(next(&mut outbound).await, Some(Message::Signed(update(1))));
        assert_eq!(next(&mut outbound).await, Some(Message::Signed(update(2))));
        assert_eq!(next(&mut outbound).await, Some(Message::Chunks(Chunks::default())));
        lanes.end(Status::aborted("over"), Duration::ZERO).await;
        drop(lanes);
        assert!(outbound.next().await.unwrap().is_err());
        assert!(outbound.next().await.is_none());
    }

    #[tokio::test]
    async fn a_second_manifest_waits_until_the_first_is_taken() {
        let (lanes, mut outbound) = lanes(4, Duration::from_secs(20));
        let place = lanes.place().await.unwrap();
        lanes.manifest(update(1), place).await.unwrap();
        assert_eq!(lanes.manifests.available_permits(), 0);
        next(&mut outbound).await.unwrap();
        drop(lanes.place().await.unwrap());
    }

    #[tokio::test]
    async fn whoever_does_not_take_what_waits_is_not_waited_for() {
        let (lanes, _outbound) = lanes(1, Duration::from_millis(10));
        lanes.signed(update(1)).await.unwrap();
        lanes.chunks(Chunks::default()).await.unwrap();
        for refused in [lanes.signed(update(2)).await, lanes.chunks(Chunks::default()).await] {
            let status = refused.unwrap_err();
            assert_eq!(status.code(), tonic::Code::ResourceExhausted);
            assert_eq!(status.message(), "the proxy has not read for 10ms");
        }
        assert!(!lanes.end(Status::aborted("over"), Duration::ZERO).await);
    }

    #[tokio::test]
    async fn one_message_that_nobody_takes_is_enough_to_notice() {
        let (lanes, mut outbound) = lanes(64, Duration::from_secs(10));
        let begin = Instant::now();
        let check = |second| lanes.check_at(begin + Duration::from_secs(second));
        check(60).expect("nothing waits");
        lanes.chunks(Chunks::default()).await.unwrap();
        check(69).expect("it has not waited for long");
        assert_eq!(check(70).unwrap_err().code(), tonic::Code::ResourceExhausted);
        // Something was taken, though something else waits.
        lanes.signed(update(1)).await.unwrap();
        next(&mut outbound).await.unwrap();
        check(71).expect("it was read");
        check(81).unwrap_err();
    }
}
