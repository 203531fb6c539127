//! The replacement of the key that signs updates, in three steps: **announce**
//! (two keys count, the old one signs), **activate** (the new one signs), **retire**
//! (the old one counts no more).
//!
//! **Invariant.** Whatever a control plane signs is signed by a key that a proxy
//! trusts, once that has been sent what was announced, which comes first on every
//! stream and in every answer. A private key is in its file before anything says
//! that it counts, and until after everything says that it does not: a crash between
//! any two steps leaves a control plane that can sign.

mod state;

use std::sync::Arc;
use std::time::Duration;

use kya_core::{PublicKey, Signer, sign_update, wire};
use prost::Message;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use wire::update::Body;

use crate::data_dir::DataDirError;
use crate::keys::{KeyFileError, SigningKeys};
use crate::push::Push;
use crate::store::{Cause, KeyAction, KeyChange, KeyStep, NewKeyStep, Outcome, Store, StoreError};
use crate::time::Clock;

pub(crate) use state::link;
pub use state::{KeyState, Link, Phase};

/// Most `Keys` updates that lead to the active key: a filter keeps no more.
pub const MAX_CHAIN: usize = 16;

/// How long an answer waits until the streams have been given the step.
const PUBLISH: Duration = Duration::from_secs(5);

/// Takes the steps.
#[derive(Debug)]
pub struct KeyRotation {
    store: Arc<dyn Store>,
    push: Arc<Push>,
    files: SigningKeys,
    clock: Arc<dyn Clock>,
    /// One step at a time.
    turn: Mutex<()>,
}

/// Why a step was not taken.
#[derive(Debug, Error)]
pub enum RotationError {
    /// The steps have an order.
    #[error("{0}")]
    OutOfOrder(&'static str),
    /// Some worker may not know yet what the step before told it.
    #[error(
        "{proxies} of {all} connected proxies have not acknowledged revision {revision}, by which the keys were {before}{named}: wait for them (`kya node list`), or force it; a worker that is not that far denies until it is"
    )]
    NotAcknowledged {
        /// Proxies that have not.
        proxies: usize,
        /// Proxies that are connected.
        all: usize,
        /// What they have not acknowledged.
        revision: u64,
        /// What was done by it.
        before: &'static str,
        /// Some of the workers that have not.
        named: String,
    },
    /// Filters would forget the first.
    #[error(
        "{0} updates lead from the oldest pinned key to the active one, and filters keep {MAX_CHAIN}: pin the active key in every configuration, and then run `kya key compact`"
    )]
    ChainFull(usize),
    /// The key that is said to be pinned is another one.
    #[error(
        "the active key is {active}: pin that in every configuration, and no other, before the chain is cut"
    )]
    NotActive {
        /// The key that would have to be.
        active: Box<PublicKey>,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The store refused, or could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The step failed in a way that says nothing about what was written.
    #[error("the step was interrupted; look whether it was taken, and ask again")]
    Interrupted,
}

impl From<DataDirError> for RotationError {
    fn from(error: DataDirError) -> Self {
        Self::File(error.into())
    }
}

/// Which step is to be taken.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Make the next key, and have it count, too.
    Announce,
    /// Sign with it from now on.
    Activate {
        /// Though not every connected worker is known to trust it.
        force: bool,
    },
    /// Have the old one count no more, and remove it.
    Retire {
        /// Though not every connected worker is known to have followed.
        force: bool,
    },
    /// Forget what led to the active key.
    Compact {
        /// The active key, which every configuration pins.
        pinned: PublicKey,
    },
}

impl KeyRotation {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        push: Arc<Push>,
        files: SigningKeys,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, push, files, clock, turn: Mutex::default() }
    }

    /// How the keys are.
    pub async fn state(&self) -> Result<KeyState, StoreError> {
        let steps = self.store.key_steps_after(kya_core::Revision(0)).await?;
        KeyState::new(self.push.signing_key(), steps)
    }

    /// Takes a step, to its end whoever stops waiting for it. One that was taken
    /// before changes nothing.
    pub async fn take(
        self: &Arc<Self>,
        step: Step,
        cause: Cause,
    ) -> Result<Outcome<KeyStep>, RotationError> {
        let rotation = Arc::clone(self);
        let task = tokio::spawn(async move { rotation.take_now(step, cause).await });
        task.await.map_err(|_| RotationError::Interrupted)?
    }

    async fn take_now(&self, step: Step, cause: Cause) -> Result<Outcome<KeyStep>, RotationError> {
        let _turn = self.turn.lock().await;
        let state = self.state().await?;
        let change = match step {
            Step::Announce => self.announce(&state)?,
            Step::Activate { force } => self.activate(&state, force).await?,
            Step::Retire { force } => self.retire(&state, force).await?,
            Step::Compact { pinned } => compact(&state, pinned)?,
        };
        let Some(change) = change else {
            // It was taken before, and nothing has come after it.
            let last = state.steps.last().cloned();
            let record = last.ok_or(RotationError::Interrupted)?;
            let committed = record.committed;
            return Ok(Outcome { record, changed: false, committed });
        };
        let new = NewKeyStep { change, follows: state.revision() };
        let outcome = self.store.take_key_step(new, cause).await?;
        self.push.committed(outcome.committed);
        let published = self.push.wait_published(outcome.committed.position);
        let _ = tokio::time::timeout(PUBLISH, published).await;
        let KeyChange { action, active, .. } = &outcome.record.change;
        match (action, state.phase()) {
            (KeyAction::Activated, _) => self.files.publish(*active)?,
            (KeyAction::Retired, Phase::Activated { previous }) => self.files.forget(previous)?,
            _ => {}
        }
        tracing::warn!(step = action.name(), signing_key = %active, "the signing keys were changed");
        Ok(outcome)
    }

    fn announce(&self, state: &KeyState) -> Result<Option<KeyChange>, RotationError> {
        match state.phase() {
            Phase::Announced { .. } => return Ok(None),
            Phase::Activated { .. } => {
                return Err(RotationError::OutOfOrder(
                    "the key before still counts: retire it before another is announced",
                ));
            }
            Phase::Steady => {}
        }
        // This one, and the one that retires the old key.
        if state.chain.len().saturating_add(2) > MAX_CHAIN {
            return Err(RotationError::ChainFull(state.chain.len()));
        }
        let signer = self.files.find(state.active)?;
        let next = self.files.make()?.public_key();
        Ok(Some(self.keys(state, &signer, KeyAction::Announced, vec![state.active, next])))
    }

    async fn activate(
        &self,
        state: &KeyState,
        force: bool,
    ) -> Result<Option<KeyChange>, RotationError> {
        let next = match state.phase() {
            Phase::Announced { next } => next,
            Phase::Activated { .. } => return Ok(None),
            Phase::Steady => {
                return Err(RotationError::OutOfOrder("no key is announced: announce one first"));
            }
        };
        // While there is still one to sign with.
        self.files.find(next)?;
        self.acknowledged(state, force).await?;
        let (action, counting) = (KeyAction::Activated, state.counting.clone());
        let serial = state.serial;
        Ok(Some(KeyChange { action, serial, active: next, counting, signed: None }))
    }

    async fn retire(
        &self,
        state: &KeyState,
        force: bool,
    ) -> Result<Option<KeyChange>, RotationError> {
        match (state.phase(), state.steps.last().map(|step| step.change.action)) {
            (Phase::Activated { .. }, _) => {}
            (Phase::Announced { .. }, _) => {
                return Err(RotationError::OutOfOrder(
                    "the announced key does not sign yet: activate it first",
                ));
            }
            (Phase::Steady, Some(KeyAction::Retired)) => return Ok(None),
            (Phase::Steady, _) => {
                return Err(RotationError::OutOfOrder("one key counts: there is none to retire"));
            }
        }
        self.acknowledged(state, force).await?;
        let signer = self.files.find(state.active)?;
        Ok(Some(self.keys(state, &signer, KeyAction::Retired, vec![state.active])))
    }

    /// Signs which keys count.
    fn keys(
        &self,
        state: &KeyState,
        signer: &Signer,
        action: KeyAction,
        counting: Vec<PublicKey>,
    ) -> KeyChange {
        let now = self.clock.now().millis();
        // Not the next number: after a backup was put back, a number that proxies
        // have seen must not come a second time.
        let serial = state.serial.saturating_add(1).max(now.0);
        let keys = counting.iter().map(|key| key.to_bytes().to_vec()).collect();
        let at = self.push.published();
        let update = wire::Update {
            epoch: at.epoch,
            revision: at.revision.0,
            unix_millis: now.0,
            body: Some(Body::Keys(wire::Keys { serial, keys })),
        };
        let signed = Some(sign_update(signer, &update).encode_to_vec());
        KeyChange { action, serial, active: state.active, counting, signed }
    }

    /// Whether every worker of every connected proxy has got what the last step
    /// told it: its revision comes after it on every stream.
    async fn acknowledged(&self, state: &KeyState, force: bool) -> Result<(), RotationError> {
        let Some(last) = state.steps.last().filter(|_| !force) else { return Ok(()) };
        let at_once = CancellationToken::new();
        let found = self.push.acknowledgements(last.committed, Duration::ZERO, &at_once).await;
        if found.proxies == found.proxies_acknowledged {
            return Ok(());
        }
        let named = found
            .pending
            .first()
            .map(|pending| format!(", among them worker {} of {}", pending.slot, pending.node_id));
        Err(RotationError::NotAcknowledged {
            proxies: found.proxies.saturating_sub(found.proxies_acknowledged),
            all: found.proxies,
            revision: last.committed.position.revision.0,
            before: last.change.action.name(),
            named: named.unwrap_or_default(),
        })
    }
}

fn compact(state: &KeyState, pinned: PublicKey) -> Result<Option<KeyChange>, RotationError> {
    if state.phase() != Phase::Steady {
        return Err(RotationError::OutOfOrder(
            "a replacement is under way: activate the new key and retire the old one first",
        ));
    }
    if pinned != state.active {
        return Err(RotationError::NotActive { active: Box::new(state.active) });
    }
    match state.steps.last().map(|step| step.change.action) {
        None => Err(RotationError::OutOfOrder("no key was ever replaced: there is nothing to cut")),
        Some(KeyAction::Compacted) => Ok(None),
        Some(_) => Ok(Some(KeyChange {
            action: KeyAction::Compacted,
            serial: state.serial,
            active: state.active,
            counting: state.counting.clone(),
            signed: None,
        })),
    }
}
