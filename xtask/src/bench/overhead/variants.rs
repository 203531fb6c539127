//! What is compared: each a listener of one Envoy, and requests to it.

use crate::simulate::load::Shown;

/// What stands in the filter chain of a listener, before the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    /// Nothing.
    Empty,
    /// A wasm filter that does nothing.
    Noop,
    /// kya, as it is shipped; with a table of so many tokens if it is not that of the real
    /// control plane.
    Kya { audit: bool, table: Option<u32> },
    /// Envoy's `jwt_authn`.
    Jwt { cached: bool },
    /// Envoy's `rbac`: the header is the one.
    Rbac,
    /// Envoy's `lua`: the header is in a table.
    Lua,
    /// Envoy's `ext_authz`, with this server behind it.
    ExtAuthz(Server),
}

/// Who answers `ext_authz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Server {
    /// The same answer always.
    Constant,
    /// `EXISTS` in Redis.
    Redis,
    /// A policy in Rego.
    Rego,
}

/// By what the requests act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer {
    /// An opaque token that is good everywhere.
    Good,
    /// Each the next of this many opaque tokens.
    Numbers(u32),
    /// An opaque token of an agent that was revoked.
    Revoked,
    /// A capability token, always the same.
    Capability,
    /// A JWT with the claims of that, always the same.
    Jwt,
    /// Each the next of more capability tokens than the filter remembers.
    Capabilities,
}

/// One of those that are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// Its name, and that of its listener.
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) chain: Chain,
    pub(super) bearer: Bearer,
    pub(super) status: u16,
    /// Whether it is measured with an upstream, too, and whether latency is.
    pub(super) upstream: bool,
    pub(super) latency: bool,
}

/// Tokens of the real control plane.
pub(super) const FEW: u32 = 1_000;
/// Tokens of the tables besides.
pub(super) const TABLES: [u32; 3] = [100_000, 1_000_000, 10_000_000];

pub(super) const BASE: &str = "empty";
pub(super) const BASE_AGAIN: &str = "empty_again";
pub(super) const NOOP: &str = "wasm_noop";
pub(super) const OPAQUE: &str = "kya_opaque";
pub(super) const OPAQUE_MOST: &str = "kya_opaque_1e7";
pub(super) const CAPABILITY: &str = "kya_capability";
pub(super) const AUDITED: &str = "kya_opaque_audit";
pub(super) const EXT_AUTHZ: [&str; 3] = ["ext_authz_constant", "ext_authz_redis", "ext_authz_rego"];

/// The body with which the Lua filter denies, and that of the `ext_authz` server.
pub(super) const LUA_DENIES: &str = "lua: not in the table";
const EXT_AUTHZ_DENIES: &str = "ext_authz: denied";

const KYA: Chain = Chain::Kya { audit: false, table: None };

const fn table(tokens: u32) -> Chain {
    Chain::Kya { audit: false, table: Some(tokens) }
}

/// All of them. The first two are the same.
pub(super) const VARIANTS: [Variant; 18] = [
    of(BASE, "no filter", Chain::Empty, Bearer::Good).everywhere(),
    of(BASE_AGAIN, "no filter, again", Chain::Empty, Bearer::Good).everywhere(),
    of(NOOP, "wasm that does nothing", Chain::Noop, Bearer::Good).everywhere(),
    of(OPAQUE, "kya, opaque token, 10^3 tokens", KYA, Bearer::Numbers(FEW)).everywhere(),
    of(
        "kya_opaque_1e5",
        "kya, opaque token, 10^5 tokens",
        table(TABLES[0]),
        Bearer::Numbers(TABLES[0]),
    ),
    of(
        "kya_opaque_1e6",
        "kya, opaque token, 10^6 tokens",
        table(TABLES[1]),
        Bearer::Numbers(TABLES[1]),
    ),
    of(OPAQUE_MOST, "kya, opaque token, 10^7 tokens", table(TABLES[2]), Bearer::Numbers(TABLES[2]))
        .timed(),
    of(CAPABILITY, "kya, capability token, verified before", KYA, Bearer::Capability).timed(),
    of(
        "kya_capability_new",
        "kya, capability token, not verified before",
        KYA,
        Bearer::Capabilities,
    ),
    of("kya_denied", "kya, token of a revoked agent (403)", KYA, Bearer::Revoked).denied(),
    of(
        AUDITED,
        "kya, opaque token, 10^3 tokens, audit trail on",
        Chain::Kya { audit: true, table: None },
        Bearer::Numbers(FEW),
    )
    .everywhere(),
    of(
        "jwt_cached",
        "jwt_authn, a token of the same claims, with its cache",
        Chain::Jwt { cached: true },
        Bearer::Jwt,
    )
    .timed(),
    of("jwt_uncached", "jwt_authn, the same, without", Chain::Jwt { cached: false }, Bearer::Jwt),
    of("rbac", "RBAC, the header is the one", Chain::Rbac, Bearer::Good),
    of("lua", "Lua, the header is in a table of 10^3", Chain::Lua, Bearer::Good),
    of(
        EXT_AUTHZ[0],
        "ext_authz, a constant answer",
        Chain::ExtAuthz(Server::Constant),
        Bearer::Good,
    )
    .everywhere(),
    of(EXT_AUTHZ[1], "ext_authz, EXISTS in Redis", Chain::ExtAuthz(Server::Redis), Bearer::Good)
        .everywhere(),
    of(EXT_AUTHZ[2], "ext_authz, a policy in Rego", Chain::ExtAuthz(Server::Rego), Bearer::Good)
        .timed(),
];

const fn of(name: &'static str, what: &'static str, chain: Chain, bearer: Bearer) -> Variant {
    Variant { name, what, chain, bearer, status: 200, upstream: false, latency: false }
}

impl Variant {
    const fn timed(self) -> Self {
        Self { latency: true, ..self }
    }

    const fn everywhere(self) -> Self {
        Self { upstream: true, ..self.timed() }
    }

    const fn denied(self) -> Self {
        Self { status: 403, ..self }
    }

    /// Somebody whom this chain lets not pass; what that is answered, and what stands in
    /// the answer of this filter and of no other. `None` where everybody may pass.
    pub(super) fn refuses(&self) -> Option<(Bearer, u16, &'static str)> {
        match self.chain {
            Chain::Empty | Chain::Noop => None,
            Chain::Kya { table: Some(_), .. } => Some((Bearer::Revoked, 401, "token_unknown")),
            Chain::Kya { .. } => Some((Bearer::Revoked, 403, "agent_revoked")),
            Chain::Rbac => Some((Bearer::Revoked, 403, "RBAC: access denied")),
            Chain::Lua => Some((Bearer::Revoked, 403, LUA_DENIES)),
            Chain::ExtAuthz(_) => Some((Bearer::Revoked, 403, EXT_AUTHZ_DENIES)),
            Chain::Jwt { .. } => Some((Bearer::Good, 401, "Jwt")),
        }
    }
}

/// Credentials, once they are issued.
#[derive(Debug, Clone)]
pub(super) struct Bearers {
    pub(super) good: String,
    pub(super) revoked: String,
    pub(super) capability: String,
    pub(super) jwt: String,
    /// A file of them, a line each.
    pub(super) capabilities: String,
}

impl Bearers {
    pub(super) fn shown(&self, bearer: Bearer) -> Shown {
        match bearer {
            Bearer::Good => Shown::One(self.good.clone()),
            Bearer::Numbers(count) => Shown::Numbers(count.min(crate::simulate::tables::SHOWN)),
            Bearer::Revoked => Shown::One(self.revoked.clone()),
            Bearer::Capability => Shown::One(self.capability.clone()),
            Bearer::Jwt => Shown::One(self.jwt.clone()),
            Bearer::Capabilities => Shown::Lines(self.capabilities.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_of_one_variant_and_those_that_are_compared_are_there() {
        let mut names: Vec<_> = VARIANTS.iter().map(|variant| variant.name).collect();
        for name in [BASE, BASE_AGAIN, NOOP, OPAQUE, OPAQUE_MOST, CAPABILITY, AUDITED] {
            assert!(names.contains(&name), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), VARIANTS.len());
    }

    #[test]
    fn what_is_compared_with_nothing_is_measured_where_that_is() {
        let base = VARIANTS.iter().find(|variant| variant.name == BASE).unwrap();
        assert!(base.upstream && base.latency);
        // No upstream sees what is denied.
        assert!(VARIANTS.iter().all(|variant| variant.status == 200 || !variant.upstream));
    }
}
