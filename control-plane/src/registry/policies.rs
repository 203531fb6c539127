//! Policies, and which agents are under them.

use std::sync::Arc;

use kya_core::policy::PolicyReference;
use kya_core::{AgentId, InFlight, PolicyId, PolicyVersion};

use super::{Registry, RegistryError, random};
use crate::store::{Agent, Cause, Expected, Outcome, Policy, PolicyChange};

impl Registry {
    /// Makes this policy the newest version of the one that has its name, or the first
    /// of a new one.
    pub async fn apply_policy(
        &self,
        policy: kya_core::Policy,
        expected: Option<Expected>,
        cause: Cause,
    ) -> Result<Outcome<Policy>, RegistryError> {
        let fresh = PolicyId::from_parts(self.clock.now().millis().0, random()?);
        self.change_policy(PolicyChange::Apply(fresh, Box::new(policy)), expected, cause).await
    }

    /// Makes a policy say again what it said in a version.
    pub async fn roll_back_policy(
        &self,
        policy: PolicyReference,
        version: PolicyVersion,
        expected: Option<Expected>,
        cause: Cause,
    ) -> Result<Outcome<Policy>, RegistryError> {
        self.change_policy(PolicyChange::RollBack(policy, version), expected, cause).await
    }

    /// Makes a policy permit nothing.
    pub async fn revoke_policy(
        &self,
        policy: PolicyReference,
        in_flight: InFlight,
        cause: Cause,
    ) -> Result<Outcome<Policy>, RegistryError> {
        self.change_policy(PolicyChange::Revoke(policy, in_flight), None, cause).await
    }

    /// Puts an agent under a policy, or under none.
    pub async fn assign_policy(
        &self,
        agent: AgentId,
        policy: Option<PolicyReference>,
        cause: Cause,
    ) -> Result<Outcome<Agent>, RegistryError> {
        let store = Arc::clone(&self.store);
        self.durably(async move { store.assign_policy(agent, policy, cause).await }).await
    }

    async fn change_policy(
        &self,
        change: PolicyChange,
        expected: Option<Expected>,
        cause: Cause,
    ) -> Result<Outcome<Policy>, RegistryError> {
        let store = Arc::clone(&self.store);
        self.durably(async move { store.change_policy(change, expected, cause).await }).await
    }
}
