//! Manifests: one for each nonce, so that no recording is taken for an answer.

use std::sync::Arc;

use kya_core::{Nonce, Position, wire};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::images::Images;
use super::signing::Signing;

/// Manifests that are made at a time. A large one takes milliseconds to copy,
/// encode and sign.
const AT_A_TIME: usize = 2;

/// Makes manifests.
#[derive(Debug)]
pub(super) struct Manifests {
    images: Arc<Images>,
    signing: Signing,
    places: Arc<Semaphore>,
}

/// The right to have one made.
#[derive(Debug)]
pub(super) struct SigningPlace(OwnedSemaphorePermit);

impl Manifests {
    pub(super) fn new(images: Arc<Images>, signing: Signing) -> Self {
        Self { images, signing, places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Waits for a place.
    pub(super) async fn place(&self) -> Result<SigningPlace, Status> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        // Fails only when the semaphore is closed, which nobody does.
        place.map(SigningPlace).map_err(|_| Status::internal("no place to sign a manifest"))
    }

    /// The manifest of the newest image, and the position of that.
    pub(super) async fn answer(
        &self,
        nonce: Nonce,
        place: SigningPlace,
    ) -> Result<(Position, wire::SignedUpdate), Status> {
        let signing = self.signing.clone();
        let make = move |images: &Images| {
            let newest = images.newest();
            let manifest = newest.image.manifest().to_wire(&nonce.0);
            let signed = signing.manifest(newest.position, manifest);
            drop(place.0);
            (newest.position, signed)
        };
        let made = self.images.on_a_thread(make).await;
        made.ok_or_else(|| Status::unavailable("the control plane is shutting down"))
    }
}
