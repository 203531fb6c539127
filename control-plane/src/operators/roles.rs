//! What each role may do. This table is the only place that says so; which of the
//! permissions a route takes is said where the route is.

use serde::{Deserialize, Serialize};

/// What an operator may do. Every permission belongs to one kind of thing that can be
/// asked of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Ask who one is.
    ReadSelf,
    /// Read agents, their actions, principals, policies, the fleet, tokens (never the tokens
    /// themselves) and acknowledgements.
    ReadRegistry,
    /// Read which proxies there are and whether they are armed.
    ReadNodes,
    /// Have proxies prove that they are armed, which changes nothing.
    ChallengeNodes,
    /// Read which keys sign updates.
    ReadKeys,
    /// Ask whether a request would be allowed, which changes nothing. The answer says no
    /// more than the registry does, but to whoever has a token already.
    Verify,
    /// Read the log of what was done, by whom, and why.
    ReadEvents,
    /// Read the audit trail, which has every decision and every act.
    ReadAudit,
    /// Read which operators there are.
    ReadOperators,
    /// Revoke and suspend agents, actions of them and principals, revoke policies, and
    /// halt everyone.
    StopAgents,
    /// Run drills, which stop and restore a canary and nobody else: its token is sent to the
    /// addresses that are named.
    RunDrills,
    /// Revoke tokens.
    RevokeTokens,
    /// Revoke node registrations.
    RevokeNodes,
    /// Register agents and add principals.
    RegisterAgents,
    /// Apply policies and roll them back, and put agents under them.
    WritePolicies,
    /// Restore what is suspended: agents, actions of them and principals; end a halt.
    RestoreAgents,
    /// Issue tokens.
    IssueTokens,
    /// Register nodes.
    RegisterNodes,
    /// Replace the keys that sign updates.
    RotateKeys,
    /// Seal a part of the audit trail that was exported, and remove it.
    ArchiveAudit,
    /// Add and revoke operators.
    ManageOperators,
}

/// Who somebody is to the control plane. The order is the one that decides which role
/// somebody has who is given several.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks at the registry and the proxies.
    Viewer,
    /// Sees also what was done, and by whom.
    Auditor,
    /// Stops things, and starts none.
    Operator,
    /// May do everything.
    Admin,
}

use Permission::{
    ArchiveAudit, ChallengeNodes, IssueTokens, ManageOperators, ReadAudit, ReadEvents, ReadKeys,
    ReadNodes, ReadOperators, ReadRegistry, ReadSelf, RegisterAgents, RegisterNodes, RestoreAgents,
    RevokeNodes, RevokeTokens, RotateKeys, RunDrills, StopAgents, Verify, WritePolicies,
};
use Role::{Admin, Auditor, Operator, Viewer};

/// The table: who has each permission.
const fn holders(permission: Permission) -> &'static [Role] {
    match permission {
        ReadSelf | ReadRegistry | ReadNodes | ChallengeNodes | ReadKeys | Verify => {
            &[Viewer, Auditor, Operator, Admin]
        }
        ReadEvents | ReadOperators => &[Auditor, Admin],
        ReadAudit => &[Auditor, Operator, Admin],
        StopAgents | RevokeTokens | RevokeNodes => &[Operator, Admin],
        RegisterAgents | WritePolicies | RestoreAgents | IssueTokens | RegisterNodes
        | RotateKeys | ArchiveAudit | ManageOperators => &[Admin],
        // Whoever runs one has a working token sent to where they say.
        RunDrills => &[Admin],
    }
}

impl Permission {
    const ALL: [Self; 21] = [
        ReadSelf,
        ReadRegistry,
        ReadNodes,
        ChallengeNodes,
        ReadKeys,
        Verify,
        ReadEvents,
        ReadAudit,
        ReadOperators,
        StopAgents,
        RevokeTokens,
        RevokeNodes,
        RunDrills,
        RegisterAgents,
        WritePolicies,
        RestoreAgents,
        IssueTokens,
        RegisterNodes,
        RotateKeys,
        ArchiveAudit,
        ManageOperators,
    ];

    /// The shown name.
    pub const fn name(self) -> &'static str {
        match self {
            ReadSelf => "self.read",
            ReadRegistry => "registry.read",
            ReadNodes => "nodes.read",
            ChallengeNodes => "nodes.challenge",
            ReadKeys => "keys.read",
            Verify => "verify",
            ReadEvents => "events.read",
            ReadAudit => "audit.read",
            ReadOperators => "operators.read",
            StopAgents => "agents.stop",
            RevokeTokens => "tokens.revoke",
            RevokeNodes => "nodes.revoke",
            RunDrills => "drill.run",
            RegisterAgents => "agents.register",
            WritePolicies => "policies.write",
            RestoreAgents => "agents.restore",
            IssueTokens => "tokens.issue",
            RegisterNodes => "nodes.register",
            RotateKeys => "keys.rotate",
            ArchiveAudit => "audit.archive",
            ManageOperators => "operators.manage",
        }
    }

    /// The roles that have it.
    pub const fn holders(self) -> &'static [Role] {
        holders(self)
    }

    /// True for what changes the registry and stops nobody: it waits for its turn, so
    /// that what stops somebody never waits behind much of it.
    pub const fn starts(self) -> bool {
        matches!(
            self,
            RegisterAgents
                | WritePolicies
                | RestoreAgents
                | IssueTokens
                | RegisterNodes
                | RotateKeys
                | ArchiveAudit
                | ManageOperators
                | RunDrills
        )
    }

    /// True for what is asked with a body though it is only read, and as often as a
    /// service is used.
    pub const fn only_asks(self) -> bool {
        matches!(self, Verify)
    }

    /// True for what takes authority away from somebody: nothing ever holds it up.
    pub const fn stops(self) -> bool {
        matches!(self, StopAgents | RevokeTokens | RevokeNodes)
    }
}

impl Role {
    const ALL: [Self; 4] = [Viewer, Auditor, Operator, Admin];

    /// The stored and shown name.
    pub const fn name(self) -> &'static str {
        match self {
            Viewer => "viewer",
            Auditor => "auditor",
            Operator => "operator",
            Admin => "admin",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// True if the table gives it this permission.
    pub fn may(self, permission: Permission) -> bool {
        permission.holders().contains(&self)
    }

    /// All that it may do.
    pub fn permissions(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.may(*permission))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_is_written_here_and_nothing_else() {
        let viewer =
            ["self.read", "registry.read", "nodes.read", "nodes.challenge", "keys.read", "verify"];
        let audits = ["events.read", "audit.read", "operators.read"];
        let stops = ["agents.stop", "tokens.revoke", "nodes.revoke"];
        let starts = [
            "drill.run",
            "agents.register",
            "policies.write",
            "agents.restore",
            "tokens.issue",
            "nodes.register",
            "keys.rotate",
            "audit.archive",
            "operators.manage",
        ];
        let may = |role: Role| role.permissions().map(Permission::name).collect::<Vec<_>>();
        assert_eq!(may(Viewer), viewer);
        assert_eq!(may(Auditor), [&viewer[..], &audits].concat());
        assert_eq!(may(Operator), [&viewer[..], &["audit.read"], &stops].concat());
        assert_eq!(may(Admin), [&viewer[..], &audits, &stops, &starts].concat());
    }

    #[test]
    fn names_are_those_that_are_written() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        for other in ["", "Admin", "admin ", "root", "\u{430}dmin"] {
            assert_eq!(Role::from_name(other), None, "{other:?}");
            assert!(serde_json::from_value::<Role>(other.into()).is_err(), "{other:?}");
        }
    }

    #[test]
    fn whoever_may_stop_something_and_is_no_admin_may_start_nothing() {
        assert!(Operator.permissions().any(Permission::stops));
        for permission in Permission::ALL {
            assert!(!(permission.starts() && permission.stops()), "{permission:?}");
            assert_eq!(permission.starts(), permission.holders() == [Admin], "{permission:?}");
        }
    }
}
