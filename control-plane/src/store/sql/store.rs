//! [`Store`] on whatever can open a connection, a snapshot and a transaction that
//! keeps other writers out.

use async_trait::async_trait;
use kya_core::policy::PolicyReference;
use kya_core::{
    ActionName, AgentId, GrantIndex, NodeCredentialDigest, OperatorKeyDigest, PolicyId,
    PolicyVersion, Position, PrincipalId, PublicKey, Revision, Status, TokenId, UnixSeconds,
};

use super::backend::{read, write};
use super::write::Write;
use super::{
    Backend, agents, capabilities, delegation, fleet, keys, listing, nodes, operators, policies,
    principals, reach, read, records, tokens,
};
use crate::labels::Selector;
use crate::nodes::NodeName;
use crate::operators::OperatorName;
use crate::principals::PrincipalKey;
use crate::store::{
    Agent, AgentFilter, Batch, Capability, Cause, Commits, Committed, Descendant, Event, Expected,
    Fleet, FleetAction, KeyStep, NewAgent, NewKeyStep, NewNode, NewOperator, NewPrincipal,
    NewSuccessor, NewToken, NodeOutcome, NodeRegistration, OperatorOutcome, OperatorRecord,
    Outcome, Pages, Policy, PolicyChange, Preview, Principal, Reach, StatusAction, Store,
    StoreError, StoredUpdate, Target, Token, TokenBatch, TokenSelection,
};

#[async_trait]
impl<B: Backend> Store for B {
    async fn head(&self) -> Result<Committed, StoreError> {
        let before = self.seen();
        let head = read!(self, publisher, |db| read::head(db))?;
        self.observe(before, head)?;
        Ok(head)
    }

    async fn register_agent(
        &self,
        new: NewAgent,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError> {
        write!(self, |write| agents::register(write, new, cause))
    }

    async fn decide_agent(
        &self,
        agent: AgentId,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError> {
        write!(self, |write| agents::decide(write, agent, action, cause))
    }

    async fn issue_token(&self, new: NewToken, cause: Cause) -> Result<Outcome<Token>, StoreError> {
        write!(self, |write| tokens::issue(write, new, cause))
    }

    async fn revoke_token(
        &self,
        token: TokenId,
        cause: Cause,
    ) -> Result<Outcome<Token>, StoreError> {
        write!(self, |write| tokens::revoke(write, token, cause))
    }

    async fn agent(&self, id: AgentId) -> Result<Agent, StoreError> {
        read!(self, |db| agents::by_id(db, id))
    }

    async fn agents(
        &self,
        filter: AgentFilter,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<Agent>, StoreError> {
        let now = self.clock().now();
        read!(self, |db| listing::list(db, &filter, after, limit, now))
    }

    async fn tokens(
        &self,
        holder: Option<AgentId>,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Token>, StoreError> {
        read!(self, |db| tokens::list(db, holder, after, limit))
    }

    async fn records(&self, horizon: UnixSeconds, pages: Pages) -> Result<Position, StoreError> {
        let before = self.seen();
        // One transaction, so that position and records belong together.
        let mut transaction = self.snapshot().await?;
        let head = read::head(&mut *transaction).await?;
        records::send(&mut *transaction, horizon, &pages).await?;
        transaction.commit().await?;
        self.observe(before, head)?;
        Ok(head.position)
    }

    async fn updates_after(
        &self,
        revision: Revision,
        limit: u32,
    ) -> Result<Vec<StoredUpdate>, StoreError> {
        read!(self, publisher, |db| read::updates_after(db, revision, limit))
    }

    async fn committed(&self, revision: Revision) -> Result<Option<Committed>, StoreError> {
        read!(self, |db| read::committed(db, revision))
    }

    async fn register_node(
        &self,
        new: NewNode,
        cause: Cause,
    ) -> Result<NodeRegistration, StoreError> {
        write!(self, |write| nodes::register(write, new, cause))
    }

    async fn revoke_node(&self, name: NodeName, cause: Cause) -> Result<NodeOutcome, StoreError> {
        write!(self, |write| nodes::revoke(write, name, cause))
    }

    async fn node_by_credential(
        &self,
        digest: NodeCredentialDigest,
    ) -> Result<Option<NodeRegistration>, StoreError> {
        read!(self, |db| nodes::by_credential(db, digest))
    }

    async fn nodes(
        &self,
        after: Option<NodeName>,
        limit: u32,
    ) -> Result<Vec<NodeRegistration>, StoreError> {
        read!(self, |db| nodes::list(db, after, limit))
    }

    async fn take_key_step(
        &self,
        new: NewKeyStep,
        cause: Cause,
    ) -> Result<Outcome<KeyStep>, StoreError> {
        write!(self, |write| keys::take(write, new, cause))
    }

    async fn key_steps_after(&self, revision: Revision) -> Result<Vec<KeyStep>, StoreError> {
        read!(self, publisher, |db| keys::after(db, revision))
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        read!(self, |db| read::events_after(db, after, limit))
    }

    async fn newest_event(&self) -> Result<u64, StoreError> {
        read!(self, |db| read::newest_event(db))
    }

    async fn add_operator(
        &self,
        new: NewOperator,
        cause: Cause,
    ) -> Result<OperatorRecord, StoreError> {
        write!(self, |write| operators::add(write, new, cause))
    }

    async fn revoke_operator(
        &self,
        name: OperatorName,
        cause: Cause,
    ) -> Result<OperatorOutcome, StoreError> {
        write!(self, |write| operators::revoke(write, name, cause))
    }

    async fn operator_by_key(
        &self,
        digest: OperatorKeyDigest,
    ) -> Result<Option<OperatorRecord>, StoreError> {
        read!(self, door, |db| operators::by_key(db, digest))
    }

    async fn operators(
        &self,
        after: Option<OperatorName>,
        limit: u32,
    ) -> Result<Vec<OperatorRecord>, StoreError> {
        read!(self, |db| operators::list(db, after, limit))
    }

    async fn first_key(&self, key: Option<PublicKey>) -> Result<Option<PublicKey>, StoreError> {
        Backend::first_key(self, key).await
    }

    fn commits(&self) -> Commits {
        Backend::commits(self)
    }

    async fn add_principal(
        &self,
        new: NewPrincipal,
        cause: Cause,
    ) -> Result<Outcome<Principal>, StoreError> {
        write!(self, |write| principals::add(write, new, cause))
    }

    async fn decide_principal(
        &self,
        principal: PrincipalKey,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Principal>, StoreError> {
        write!(self, |write| principals::decide(write, principal, action, cause))
    }

    async fn decide_capability(
        &self,
        agent: AgentId,
        name: ActionName,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Outcome<Capability>, StoreError> {
        write!(self, |write| capabilities::decide(write, agent, name, action, cause))
    }

    async fn decide_fleet(
        &self,
        action: FleetAction,
        cause: Cause,
    ) -> Result<Outcome<Fleet>, StoreError> {
        write!(self, |write| fleet::decide(write, action, cause))
    }

    async fn decide_agents(
        &self,
        selector: Selector,
        after: Option<AgentId>,
        action: StatusAction,
        cause: Cause,
    ) -> Result<Batch, StoreError> {
        write!(self, |write| agents::decide_all(write, selector, after, action, cause))
    }

    async fn principal(&self, key: PrincipalKey) -> Result<Principal, StoreError> {
        read!(self, |db| principals::by_key(db, &key))
    }

    async fn principals(
        &self,
        status: Option<Status>,
        after: Option<PrincipalId>,
        limit: u32,
    ) -> Result<Vec<Principal>, StoreError> {
        read!(self, |db| principals::list(db, status, after, limit))
    }

    async fn capabilities(&self, agent: AgentId) -> Result<Vec<Capability>, StoreError> {
        read!(self, |db| capabilities::of_agent(db, agent))
    }

    async fn change_policy(
        &self,
        change: PolicyChange,
        expected: Option<Expected>,
        cause: Cause,
    ) -> Result<Outcome<Policy>, StoreError> {
        write!(self, |write| policies::change(write, change, expected, cause))
    }

    async fn assign_policy(
        &self,
        agent: AgentId,
        policy: Option<PolicyReference>,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError> {
        write!(self, |write| policies::assign(write, agent, policy, cause))
    }

    async fn policy(
        &self,
        policy: PolicyReference,
        version: Option<PolicyVersion>,
    ) -> Result<Policy, StoreError> {
        read!(self, |db| policies::by_reference(db, &policy, version))
    }

    async fn policies(
        &self,
        after: Option<PolicyId>,
        limit: u32,
    ) -> Result<Vec<Policy>, StoreError> {
        read!(self, |db| policies::list(db, after, limit))
    }

    async fn policy_versions(
        &self,
        policy: PolicyReference,
        before: Option<PolicyVersion>,
        limit: u32,
    ) -> Result<Vec<Policy>, StoreError> {
        read!(self, |db| policies::history(db, &policy, before, limit))
    }

    async fn fleet(&self) -> Result<Fleet, StoreError> {
        read!(self, |db| fleet::read(db))
    }

    async fn reach(&self, target: Target) -> Result<Reach, StoreError> {
        let now = self.clock().now();
        let mut transaction = self.snapshot().await?;
        reach::reach(&mut *transaction, &target, now).await
    }

    async fn preview(&self, target: Target, action: StatusAction) -> Result<Preview, StoreError> {
        let now = self.clock().now();
        let mut transaction = self.snapshot().await?;
        reach::preview(&mut *transaction, &target, action, now).await
    }

    async fn replace_agent(
        &self,
        new: NewSuccessor,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError> {
        write!(self, |write| delegation::replace(write, new, cause))
    }

    async fn supersede_tokens(
        &self,
        agent: AgentId,
        cause: Cause,
    ) -> Result<Outcome<Agent>, StoreError> {
        write!(self, |write| delegation::supersede(write, agent, cause))
    }

    async fn revoke_tokens(
        &self,
        selection: TokenSelection,
        after: Option<TokenId>,
        cause: Cause,
    ) -> Result<TokenBatch, StoreError> {
        write!(self, |write| tokens::revoke_all(write, selection, after, cause))
    }

    async fn descendants(&self, agent: AgentId, limit: u32) -> Result<Vec<Descendant>, StoreError> {
        read!(self, |db| delegation::descendants(db, agent, limit))
    }

    async fn unlimited_grant(&self, agent: AgentId) -> Result<GrantIndex, StoreError> {
        read!(self, |db| tokens::unlimited(db, agent))
    }

    async fn note_expired(&self, limit: u32) -> Result<u64, StoreError> {
        let now = self.clock().now();
        // Writers are kept out only where there is something to write.
        if !read!(self, |db| delegation::any_to_note(db, now))? {
            return Ok(0);
        }
        write!(self, |write| delegation::note_expired(write, limit))
    }

    async fn close(&self) {
        Backend::close(self).await;
    }
}
