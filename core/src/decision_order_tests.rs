//! The order of the checks is that of the table under "Decisions" in `docs/protocol.md`: for
//! every two rows, a request that fails both is denied for the first.

use std::collections::BTreeSet;

use super::bearer_tests::{claims, issuer, signer, stands};
use super::tests::{BEFORE_EXPIRY, State, named};
use super::*;
use crate::jwt::{Claims, Scope, mint};
use crate::keys::Signer;
use crate::shorthand::{grant, opaque, token};
use crate::time::UnixSeconds;
use crate::wire::{self, Status, change::Change};

/// What the request presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Opaque,
    Capability,
}

/// What is shown in place of the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Token,
    Nothing,
    Two,
    Other,
    /// Of a key that is not the issuer's, or never issued.
    Unknown,
    /// By its own words of a key of the issuer.
    Forged,
}

/// A request by agent 1, which acts for agent 2 and has an owner, and all that it is decided
/// by. As it begins it is allowed.
struct World {
    shown: Shown,
    action: Option<&'static str>,
    service: &'static str,
    moment: Moment,
    synced: bool,
    known: bool,
    fleet: wire::Standing,
    principal: wire::Standing,
    capability: wire::Standing,
    agent: wire::Agent,
    above: wire::Agent,
    grant: wire::Grant,
    token: wire::Token,
    claims: Claims,
    taken_back: bool,
    allow: &'static str,
    services: &'static str,
    allow_above: &'static str,
}

fn standing(status: Status) -> wire::Standing {
    wire::Standing { status: status.into(), ..Default::default() }
}

fn policy(n: u8, allow: &str, services: &str) -> Change {
    let document =
        format!(r#"{{"name": "p{n}", "allow": ["{allow}"], "services": ["{services}"]}}"#);
    Change::Policy(wire::Policy { id: vec![n; 16], version: 1, document: document.into() })
}

impl World {
    fn new() -> Self {
        let agent = wire::Agent {
            principal_id: vec![5; 16],
            parent_id: vec![2; 16],
            policy_id: vec![6; 16],
            ..stands(1)
        };
        Self {
            shown: Shown::Token,
            action: Some("pay"),
            service: "shop",
            moment: Moment { now: UnixMillis(500_000), ..BEFORE_EXPIRY },
            synced: true,
            known: true,
            fleet: standing(Status::Active),
            principal: standing(Status::Active),
            capability: standing(Status::Active),
            agent,
            above: wire::Agent { policy_id: vec![7; 16], ..stands(2) },
            grant: grant(1),
            token: token(9, 1),
            claims: Claims { scope: Scope::parse(Scope::EVERYTHING).unwrap(), ..claims() },
            taken_back: false,
            allow: "*",
            services: "*",
            allow_above: "*",
        }
    }

    fn state(&self) -> State {
        let capability = wire::Capability {
            agent_id: vec![1; 16],
            action: "pay".into(),
            standing: Some(self.capability),
        };
        let taken = wire::RevokedCapability { id: vec![9; 16], expires_unix_seconds: 1_000 };
        let records = [
            issuer(),
            Change::Fleet(wire::Fleet { standing: Some(self.fleet) }),
            Change::Principal(wire::Principal { id: vec![5; 16], standing: Some(self.principal) }),
            policy(6, self.allow, self.services),
            policy(7, self.allow_above, "*"),
            Change::Agent(self.above.clone()),
            Change::Capability(capability),
            Change::Grant(self.grant.clone()),
            Change::Token(self.token.clone()),
        ];
        let agent = self.known.then(|| Change::Agent(self.agent.clone()));
        let taken = self.taken_back.then_some(Change::RevokedCapability(taken));
        State::new(records.into_iter().chain(agent).chain(taken))
    }

    fn decide(&self, kind: Kind) -> Option<DenyReason> {
        let mut state = self.state();
        if !self.synced {
            state.0 = Authority::default();
        }
        let stranger = Signer::from_seed([3; 32]);
        let by = if self.shown == Shown::Unknown { &stranger } else { &signer() };
        let mut written = mint(by, &self.claims).unwrap().reveal().to_owned();
        if self.shown == Shown::Forged {
            // The first character of the signature, which has no stray bits.
            let at = written.rfind('.').unwrap() + 1;
            let other = if &written[at..=at] == "A" { "B" } else { "A" };
            written.replace_range(at..=at, other);
        }
        let n = if self.shown == Shown::Unknown { 8 } else { 9 };
        let credential = match (self.shown, kind) {
            (Shown::Nothing, _) => Credential::Missing,
            (Shown::Two, _) => Credential::Multiple,
            (Shown::Other, _) => Credential::Malformed,
            (_, Kind::Opaque) => Credential::Opaque(opaque(n).digest()),
            (_, Kind::Capability) => Credential::Capability(written.as_bytes()),
        };
        let action = self.action.map(named);
        let (action, service) = (action.as_ref(), Some(self.service));
        state.reason(&Request { credential, action, service }, self.moment)
    }
}

/// One row of the table.
struct Row {
    /// The reasons that it names.
    reasons: &'static [DenyReason],
    /// Of which tokens it is a check.
    kinds: &'static [Kind],
    /// Of two with the same one, no request can fail both.
    exclusive: &'static str,
    /// What makes a request fail it.
    fail: fn(&mut World),
}

const BOTH: &[Kind] = &[Kind::Opaque, Kind::Capability];

const fn row(reasons: &'static [DenyReason], fail: fn(&mut World)) -> Row {
    Row { reasons, kinds: BOTH, exclusive: "", fail }
}

/// The rows but the first, which is no check of [`decide`].
fn rows() -> Vec<Row> {
    use DenyReason::*;
    let shown = |row: Row| Row { exclusive: "what is shown", ..row };
    let opaque = |row: Row| Row { kinds: &[Kind::Opaque], ..row };
    let capability = |row: Row| Row { kinds: &[Kind::Capability], ..row };
    // A token that has not begun when it is over can be believed by nobody.
    let time = |row: Row| Row { exclusive: "time", ..row };
    // What nobody knows is no action that a policy does not permit.
    let action = |row: Row| Row { exclusive: "the action", ..row };
    vec![
        row(&[Unsynced], |it| it.synced = false),
        shown(row(&[TokenMissing], |it| it.shown = Shown::Nothing)),
        shown(row(&[MultipleCredentials], |it| it.shown = Shown::Two)),
        shown(row(&[TokenMalformed], |it| it.shown = Shown::Other)),
        shown(row(&[TokenUnknown, Stale], |it| it.shown = Shown::Unknown)),
        shown(capability(row(&[TokenMalformed], |it| it.shown = Shown::Forged))),
        row(&[AgentRevoked], |it| it.known = false),
        row(&[FleetHalted], |it| it.fleet = standing(Status::Suspended)),
        row(&[PrincipalSuspended, PrincipalRevoked], |it| {
            it.principal = standing(Status::Suspended);
        }),
        row(&[DelegatorStopped], |it| it.above.standing = Some(standing(Status::Suspended))),
        row(&[AgentSuspended, AgentRevoked], |it| {
            it.agent.standing = Some(standing(Status::Suspended));
        }),
        row(&[AgentExpired], |it| it.agent.expires_unix_seconds = 500),
        row(&[CapabilityRevoked], |it| it.capability.status = Status::Revoked.into()),
        row(&[TokenSuperseded], |it| it.capability.not_before_unix_seconds = 100),
        row(&[TokenRevoked], |it| {
            it.token.revoked = true;
            it.taken_back = true;
        }),
        capability(row(&[WrongAudience], |it| it.service = "bank")),
        time(row(&[TokenExpired], |it| {
            it.token.expires_unix_seconds = 500;
            it.claims.expires = UnixSeconds(500);
        })),
        time(capability(row(&[TokenNotYet], |it| it.claims.not_before = UnixSeconds(506)))),
        opaque(row(&[WrongAudience], |it| it.grant.services = vec!["bank".into()])),
        row(&[InsufficientScope, ActionUnknown], |it| {
            it.grant.actions = vec!["read".into()];
            it.claims.scope = Scope::parse("read").unwrap();
        }),
        action(row(&[ActionDenied], |it| it.allow = "read")),
        action(row(&[ActionUnknown], |it| {
            it.action = None;
            it.allow = "read";
        })),
        row(&[ServiceDenied], |it| it.services = "elsewhere"),
        row(&[ActionDenied, ActionUnknown, ServiceDenied], |it| it.allow_above = "read"),
        row(&[Stale], |it| it.moment.state_age = 60_001),
    ]
}

#[test]
fn of_two_checks_that_fail_the_first_is_the_answer() {
    let rows = rows();
    for kind in [Kind::Opaque, Kind::Capability] {
        assert_eq!(World::new().decide(kind), None, "{kind:?}");
        let of_kind: Vec<_> = rows.iter().filter(|row| row.kinds.contains(&kind)).collect();
        for (index, first) in of_kind.iter().enumerate() {
            for later in &of_kind[index..] {
                let is_one = std::ptr::eq(*first, *later);
                if !is_one && !first.exclusive.is_empty() && first.exclusive == later.exclusive {
                    continue;
                }
                let mut world = World::new();
                (later.fail)(&mut world);
                (first.fail)(&mut world);
                let answer = world.decide(kind);
                assert!(
                    answer.is_some_and(|reason| first.reasons.contains(&reason)),
                    "{kind:?}: {:?} comes before {:?}, and it is {answer:?}",
                    first.reasons,
                    later.reasons
                );
            }
        }
    }
}

#[test]
fn the_table_of_the_protocol_has_the_checks_in_their_order() {
    let page = include_str!("../../docs/protocol.md");
    let (_, section) = page.split_once("\n## Decisions\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let names = |cell: &str| -> Vec<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    let table = section.lines().filter_map(|line| line.strip_prefix("| "));
    let written: Vec<_> = table
        .filter_map(|line| line.split(" | ").nth(1).map(names))
        .filter(|names| !names.is_empty())
        .collect();
    // Asked before, and after, anything is decided.
    let outside = |reason: DenyReason| vec![vec![reason.name().to_owned()]];
    let (first, last) = (outside(DenyReason::Internal), outside(DenyReason::AuditFull));
    let checked = rows()
        .into_iter()
        .map(|row| row.reasons.iter().map(|reason| reason.name().to_owned()).collect::<Vec<_>>());
    let expected: Vec<_> = first.into_iter().chain(checked).chain(last).collect();
    assert_eq!(written, expected);
    let all: BTreeSet<_> = DenyReason::ALL.map(DenyReason::name).into_iter().collect();
    assert_eq!(written.iter().flatten().map(|name| &**name).collect::<BTreeSet<_>>(), all);
}
