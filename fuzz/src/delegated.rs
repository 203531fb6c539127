//! Everything that a token of either kind depends on, in a small world: who acts for
//! whom, who acted, policies, an issuer, what was taken back; and what is to be
//! decided, said as plainly as can be.

mod rules;

use arbitrary::Arbitrary;
use kya_core::jwt::{Actor, Claims, Scope};
use kya_core::wire::{self, change::Change as Wire};
use kya_core::{AgentId, CapabilityId, DenyReason as Why, PrincipalId, Signer, UnixSeconds};

pub const AGENTS: u8 = 5;
pub const PRINCIPALS: u8 = 3;
pub const POLICIES: u8 = 3;
pub const ACTIONS: [&str; 3] = ["read", "pay", "refund"];
pub const SERVICES: [&str; 2] = ["shop", "bank"];
pub const ISSUER: &str = "https://kya.example";

/// What is said of someone, or something.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct Said {
    status: u8,
    not_before: u8,
    drain: bool,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct Agent {
    said: Said,
    principal: Option<u8>,
    parent: Option<u8>,
    policy: Option<u8>,
    /// 0 is never.
    expires: u8,
    suspended: u8,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct Policy {
    /// Of each action, the first of them in the lowest bit; above them, all.
    allow: u8,
    /// 0 is all.
    services: u8,
    window: u8,
}

/// A token of either kind; each field is used by the kinds that have it.
#[derive(Arbitrary, Debug, Clone)]
pub struct Token {
    pub capability: bool,
    holder: u8,
    issued: u8,
    lifetime: u8,
    begins: u8,
    services: u8,
    actions: u8,
    taken_back: bool,
    key: u8,
    actors: [Option<(bool, u8)>; 2],
}

#[derive(Arbitrary, Debug, Clone)]
pub struct World {
    fleet: Said,
    principals: [Option<Said>; PRINCIPALS as usize],
    agents: [Option<Agent>; AGENTS as usize],
    capabilities: [Option<(u8, u8, Said)>; 3],
    policies: [Option<Policy>; POLICIES as usize],
    /// Which keys the issuer has, in its low bits.
    keys: u8,
    pub token: Token,
    second: u8,
    action: Option<u8>,
    service: Option<u8>,
}

pub fn agent_id(n: u8) -> AgentId {
    AgentId::from_bytes([n % AGENTS; 16])
}

fn principal_id(n: u8) -> PrincipalId {
    PrincipalId::from_bytes([n % PRINCIPALS; 16])
}

pub fn key(n: u8) -> Signer {
    Signer::from_seed([0x40 | n % 3; 32])
}

/// Those of the names whose bits are set.
fn chosen(names: &[&'static str], bits: u8) -> Vec<String> {
    let is_set = |at: &usize| bits >> at & 1 == 1;
    (0..names.len()).filter(is_set).map(|at| names[at].to_owned()).collect()
}

impl Said {
    fn wire(self) -> Option<wire::Standing> {
        Some(wire::Standing {
            status: (self.status % 4).into(),
            not_before_unix_seconds: self.not_before.into(),
            in_flight: if self.drain { 2 } else { 1 },
        })
    }

    fn is_active(self) -> bool {
        self.status % 4 == 1
    }

    fn is_suspended(self) -> bool {
        self.status % 4 == 2
    }

    /// Why what was issued then does not count.
    fn denies(self, issued: u64, [suspended, revoked]: [Why; 2]) -> Result<(), Why> {
        if self.is_suspended() {
            return Err(suspended);
        }
        if !self.is_active() {
            return Err(revoked);
        }
        let bound = u64::from(self.not_before);
        if bound > 0 && issued <= bound { Err(Why::TokenSuperseded) } else { Ok(()) }
    }

    fn stops(self, issued: u64) -> bool {
        self.denies(issued, [Why::Internal; 2]).is_err()
    }
}

impl Policy {
    fn allows_all(self) -> bool {
        self.allow & 8 != 0
    }

    fn wire(self, n: u8) -> Wire {
        let mut allow = chosen(&ACTIONS, self.allow);
        if self.allows_all() {
            allow = vec!["*".to_owned()];
        } else if allow.is_empty() {
            allow = vec!["nothing".to_owned()];
        }
        let window = u64::from(self.window) + 1;
        let mut document = serde_json::json!({
            "name": "p", "allow": allow, "drain_window": format!("{window}s"),
        });
        let services = chosen(&SERVICES, self.services);
        if !services.is_empty() {
            document["services"] = services.into();
        }
        let document = document.to_string().into_bytes();
        Wire::Policy(wire::Policy { id: vec![n; 16], version: 1, document })
    }
}

impl Token {
    fn holder(&self) -> u8 {
        self.holder % AGENTS
    }

    fn issued(&self) -> u64 {
        self.issued.into()
    }

    fn expires(&self) -> u64 {
        self.issued() + u64::from(self.lifetime).max(1)
    }

    fn begins(&self) -> u64 {
        self.issued() + u64::from(self.begins) % (self.expires() - self.issued())
    }

    /// The actions of a capability token; all, if there are none.
    fn scope(&self) -> Vec<String> {
        let actions = chosen(&ACTIONS, self.actions);
        if actions.is_empty() { vec!["*".to_owned()] } else { actions }
    }

    fn audience(&self) -> Vec<String> {
        let services = chosen(&SERVICES, self.services);
        if services.is_empty() { vec!["elsewhere".to_owned()] } else { services }
    }

    pub fn claims(&self) -> Claims {
        let scope = self.scope();
        let actor = |(agent, n): &(bool, u8)| match agent {
            true => Actor::Agent(agent_id(*n)),
            false => Actor::Principal(principal_id(*n)),
        };
        Claims {
            issuer: ISSUER.into(),
            agent: agent_id(self.holder),
            subject: None,
            audience: self.audience(),
            issued: UnixSeconds(self.issued()),
            not_before: UnixSeconds(self.begins()),
            expires: UnixSeconds(self.expires()),
            id: CapabilityId::from_bytes([7; 16]),
            scope: Scope::of(scope.iter().map(String::as_str)).expect("they are names"),
            actors: self.actors.iter().flatten().map(actor).collect(),
            confirmation: None,
        }
    }

    pub fn signer(&self) -> Signer {
        key(self.key)
    }
}

impl World {
    pub fn second(&self) -> u64 {
        self.second.into()
    }

    pub fn action(&self) -> Option<&'static str> {
        self.action.map(|n| ACTIONS[usize::from(n) % ACTIONS.len()])
    }

    pub fn service(&self) -> Option<&'static str> {
        self.service.map(|n| SERVICES[usize::from(n) % SERVICES.len()])
    }

    /// Everything as it travels; the digest is that of the opaque token.
    pub fn records(&self, digest: &[u8]) -> Vec<wire::Change> {
        let keys = (0..3).filter(|n| self.keys >> n & 1 == 1);
        let keys = keys.map(|n| key(n).public_key().to_bytes().to_vec()).collect();
        let mut all = vec![
            Wire::Fleet(wire::Fleet { standing: self.fleet.wire() }),
            Wire::Issuer(wire::Issuer {
                name: ISSUER.into(),
                keys,
                max_lifetime_seconds: u8::MAX.into(),
            }),
        ];
        for (n, said) in (0..).zip(self.principals) {
            let id = principal_id(n).to_bytes().to_vec();
            all.extend(
                said.map(|said| Wire::Principal(wire::Principal { id, standing: said.wire() })),
            );
        }
        for (n, agent) in (0..).zip(self.agents) {
            all.extend(agent.map(|agent| Wire::Agent(agent.wire(n))));
        }
        for (n, policy) in (0..).zip(self.policies) {
            all.extend(policy.map(|policy| policy.wire(n)));
        }
        for (n, what, said) in self.capabilities.into_iter().flatten() {
            let action = ACTIONS[usize::from(what) % ACTIONS.len()].to_owned();
            let agent_id = agent_id(n).to_bytes().into();
            all.push(Wire::Capability(wire::Capability {
                agent_id,
                action,
                standing: said.wire(),
            }));
        }
        let token = &self.token;
        if token.capability && token.taken_back {
            let (id, expires_unix_seconds) = (vec![7; 16], token.expires());
            all.push(Wire::RevokedCapability(wire::RevokedCapability { id, expires_unix_seconds }));
        }
        all.push(Wire::Grant(wire::Grant {
            index: 1,
            agent_id: agent_id(token.holder).to_bytes().into(),
            services: chosen(&SERVICES, token.services),
            actions: chosen(&ACTIONS, token.actions),
        }));
        all.push(Wire::Token(wire::Token {
            digest: digest.into(),
            grant: 1,
            issued_unix_seconds: token.issued(),
            expires_unix_seconds: token.expires(),
            revoked: token.taken_back,
        }));
        all.into_iter().map(|change| wire::Change { change: Some(change) }).collect()
    }
}

impl Agent {
    fn wire(self, n: u8) -> wire::Agent {
        wire::Agent {
            id: agent_id(n).to_bytes().into(),
            standing: self.said.wire(),
            principal_id: self.principal.map_or(vec![], |n| principal_id(n).to_bytes().into()),
            expires_unix_seconds: self.expires.into(),
            policy_id: self.policy.map_or(vec![], |n| vec![n % POLICIES; 16]),
            parent_id: self.parent.map_or(vec![], |n| agent_id(n).to_bytes().into()),
            suspended_unix_seconds: self.suspended.into(),
        }
    }
}
