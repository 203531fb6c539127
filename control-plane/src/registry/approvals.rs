//! Restoring, by one operator or by two.

use std::sync::Arc;

use kya_core::ApprovalId;

use super::{Registry, RegistryError, random};
use crate::store::{
    Approval, Cause, FleetAction, Outcome, Restorable, Restoration, Restored, StatusAction,
};

impl Registry {
    /// The same that has restorations wait for a second operator, or does not.
    pub(crate) fn with_second_operator(self, second_operator: bool) -> Self {
        Self { second_operator, ..self }
    }

    /// Whether one operator restores alone.
    pub(crate) fn restores_alone(&self) -> bool {
        !self.second_operator
    }

    /// Restores it, or has that wait for a second operator.
    pub async fn restore(
        &self,
        of: Restorable,
        cause: Cause,
    ) -> Result<Restoration, RegistryError> {
        if self.second_operator {
            let id = ApprovalId::from_parts(self.clock.now().millis().0, random()?);
            return Ok(self.store.ask_to_restore(id, of, cause).await?);
        }
        let action = StatusAction::Restore;
        let restored = match of {
            Restorable::Agent(id) => {
                Restored::Agent(Box::new(self.decide_agent(id, action, cause).await?))
            }
            Restorable::Capability(id, name) => {
                Restored::Capability(self.decide_capability(id, name, action, cause).await?)
            }
            Restorable::Principal(key) => {
                Restored::Principal(self.decide_principal(key, action, cause).await?)
            }
            Restorable::Fleet => {
                Restored::Fleet(self.decide_fleet(FleetAction::Resume, cause).await?)
            }
        };
        Ok(Restoration::Done(restored))
    }

    /// Carries out a restoration that waits.
    pub async fn approve(
        &self,
        id: ApprovalId,
        cause: Cause,
    ) -> Result<Outcome<Approval>, RegistryError> {
        let store = Arc::clone(&self.store);
        self.durably(async move { store.approve(id, cause).await }).await
    }
}
