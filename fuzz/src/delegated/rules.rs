//! The rules by which a token counts, one after the other.

use kya_core::DenyReason as Why;

use super::{ACTIONS, AGENTS, Agent, POLICIES, PRINCIPALS, SERVICES, Said, World, chosen};

/// Most agents that one acts for.
const ABOVE: usize = 8;
/// How long work may go on where no policy says so, in seconds.
const DRAIN: u64 = 60;

impl World {
    /// Who acts, or why nobody may.
    pub fn expected(&self) -> Result<u8, Why> {
        let (token, now) = (&self.token, self.second());
        if token.capability && self.keys >> (token.key % 3) & 1 == 0 {
            return Err(Why::TokenUnknown);
        }
        self.stands(Some(now))?;
        let (service, action) = (self.service(), self.action());
        let is_for = |services: &[String]| services.iter().any(|it| Some(it.as_str()) == service);
        if token.capability {
            if !is_for(&token.audience()) {
                return Err(Why::WrongAudience);
            }
            if now >= token.expires() {
                return Err(Why::TokenExpired);
            }
            if token.begins() > now + 5 {
                return Err(Why::TokenNotYet);
            }
        } else {
            if now >= token.expires() {
                return Err(Why::TokenExpired);
            }
            let services = chosen(&SERVICES, token.services);
            if !services.is_empty() && !is_for(&services) {
                return Err(Why::WrongAudience);
            }
        }
        let actions = chosen(&ACTIONS, token.actions);
        if !actions.is_empty() && !actions.iter().any(|it| Some(it.as_str()) == action) {
            let known = action.is_some();
            return Err(if known { Why::InsufficientScope } else { Why::ActionUnknown });
        }
        self.permitted().map(|()| token.holder())
    }

    /// Whether nothing but time and the token itself is against it.
    pub fn is_stopped(&self) -> bool {
        self.stands(None).is_err() || self.permitted().is_err()
    }

    /// The levels, from the fleet down to the token; without a time, as they were
    /// decided.
    fn stands(&self, now: Option<u64>) -> Result<(), Why> {
        let (token, issued) = (&self.token, self.token.issued());
        let agent = self.agents[usize::from(token.holder())].ok_or(Why::AgentRevoked)?;
        self.fleet.denies(issued, [Why::FleetHalted; 2])?;
        if let Some(principal) = agent.principal {
            let said = self.principal(principal).ok_or(Why::PrincipalRevoked)?;
            said.denies(issued, [Why::PrincipalSuspended, Why::PrincipalRevoked])?;
        }
        let acted = token.actors.iter().flatten().filter(|_| token.capability);
        let stopped = self.chain_stopped(agent.parent, ABOVE, now)
            || acted.into_iter().any(|(is_agent, n)| match is_agent {
                true => self.chain_stopped(Some(*n), ABOVE + 1, now),
                false => self.principal_stopped(*n),
            });
        if stopped {
            return Err(Why::DelegatorStopped);
        }
        let suspended = u64::from(agent.suspended);
        let drains = now.is_some_and(|now| {
            token.capability
                && agent.said.is_suspended()
                && agent.said.drain
                && suspended > 0
                && issued <= suspended
                && now < suspended + self.window(agent)
        });
        let said = if drains { Said { status: 1, ..agent.said } } else { agent.said };
        said.denies(issued, [Why::AgentSuspended, Why::AgentRevoked])?;
        if now.is_some_and(|now| agent.expires > 0 && now >= agent.expires.into()) {
            return Err(Why::AgentExpired);
        }
        self.action_stopped(token.holder())?;
        if token.taken_back { Err(Why::TokenRevoked) } else { Ok(()) }
    }

    /// What the policies of the holder, and of those for whom it acts, say.
    fn permitted(&self) -> Result<(), Why> {
        let mut next = Some(self.token.holder());
        while let Some(n) = next {
            let agent = self.agents[usize::from(n % AGENTS)].expect("the chain stands");
            next = agent.parent;
            let Some(policy) = agent.policy else { continue };
            let policy = self.policies[usize::from(policy % POLICIES)];
            let policy = policy.ok_or(Why::ActionDenied)?;
            let allowed = chosen(&ACTIONS, policy.allow);
            match self.action() {
                _ if policy.allows_all() => {}
                None => return Err(Why::ActionUnknown),
                Some(action) if allowed.iter().any(|it| it == action) => {}
                Some(_) => return Err(Why::ActionDenied),
            }
            let services = chosen(&SERVICES, policy.services);
            let is_for = |name: &String| Some(name.as_str()) == self.service();
            if !services.is_empty() && !services.iter().any(is_for) {
                return Err(Why::ServiceDenied);
            }
        }
        Ok(())
    }

    fn window(&self, agent: Agent) -> u64 {
        match agent.policy.map(|n| self.policies[usize::from(n % POLICIES)]) {
            None => DRAIN,
            Some(None) => 0,
            Some(Some(policy)) => u64::from(policy.window) + 1,
        }
    }

    /// Whether an agent is stopped, or one above it, of at most so many.
    fn chain_stopped(&self, agent: Option<u8>, most: usize, now: Option<u64>) -> bool {
        let Some(n) = agent else { return false };
        let Some(agent) = self.agents[usize::from(n % AGENTS)].filter(|_| most > 0) else {
            return true;
        };
        agent.said.stops(self.token.issued())
            || agent.principal.is_some_and(|n| self.principal_stopped(n))
            || now.is_some_and(|now| agent.expires > 0 && now >= agent.expires.into())
            || self.action_stopped(n).is_err()
            || self.chain_stopped(agent.parent, most - 1, now)
    }

    fn principal(&self, n: u8) -> Option<Said> {
        self.principals[usize::from(n % PRINCIPALS)]
    }

    fn principal_stopped(&self, n: u8) -> bool {
        self.principal(n).is_none_or(|said| said.stops(self.token.issued()))
    }

    /// What was decided about this action of an agent; about any, if it is not known.
    /// What was said of one twice counts as the stricter of both.
    fn action_stopped(&self, n: u8) -> Result<(), Why> {
        let about = |what: u8| usize::from(what) % ACTIONS.len();
        for at in 0..ACTIONS.len() {
            if self.action().is_some_and(|action| action != ACTIONS[at]) {
                continue;
            }
            let said = self.capabilities.iter().flatten();
            let said =
                said.filter(|(agent, what, _)| agent % AGENTS == n % AGENTS && about(*what) == at);
            let said: Vec<_> = said.map(|(.., said)| *said).collect();
            let Some(last) = said.last() else { continue };
            let revoked = said.iter().any(|it| !it.is_active() && !it.is_suspended());
            let not_before = said.iter().map(|it| it.not_before).max().unwrap_or(0);
            let status = if revoked { 3 } else { last.status };
            Said { status, not_before, ..*last }
                .denies(self.token.issued(), [Why::CapabilityRevoked; 2])?;
        }
        Ok(())
    }
}
