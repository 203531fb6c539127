//! Requests, from their headers to their end.

use kya_core::jwt::Claims;
use kya_core::testing::capabilities::{ACTION, minted, route};
use kya_core::testing::token;
use kya_core::{CapabilityId, OpaqueToken};
use serde_json::{Value, json};

use super::{Scenario, median};
use crate::http::RequestState;
use crate::kya::{ControlPlane, Presented, Sidecar, assert_allowed, assert_denied};
use crate::vm::{Spent, VmName};

pub(super) static SCENARIOS: [Scenario; 11] = [
    Scenario {
        name: "opaque_audit_off",
        what: "opaque token, looked up before; audit off",
        measure: || Stage::with(audit_off()).allowed(|_, _| token(1)),
    },
    Scenario {
        name: "opaque_audit_state",
        what: "the same; filter state alone",
        measure: || Stage::with(json!({"mode": "off"})).allowed(|_, _| token(1)),
    },
    Scenario {
        name: "opaque_audit_on",
        what: "the same; audit on",
        measure: || Stage::shipped().allowed(|_, _| token(1)),
    },
    Scenario {
        name: "opaque_looked_up",
        what: "opaque token, not looked up before",
        measure: || Stage::shipped().allowed(|stage, n| stage.other(n)),
    },
    Scenario {
        name: "opaque_unknown",
        what: "opaque token, unknown: denied",
        measure: || Stage::shipped().denied(401, "token_unknown", Some(&token(7))),
    },
    Scenario {
        name: "revoked_agent",
        what: "opaque token of a revoked agent: denied",
        measure: || {
            let mut stage = Stage::shipped();
            stage.control.revoke(1);
            stage.sidecar.push(&mut stage.control);
            stage.denied(403, "agent_revoked", Some(&token(1)))
        },
    },
    Scenario {
        name: "no_token",
        what: "no token: denied",
        measure: || Stage::shipped().denied(401, "token_missing", None),
    },
    Scenario {
        name: "capability_remembered",
        what: "capability token, verified before",
        measure: || {
            let stage = Stage::shipped();
            let token = minted(&stage.control.claims(1));
            stage.allowed(|_, _| token.clone())
        },
    },
    Scenario {
        name: "capability_remembered_audit_off",
        what: "the same; audit off",
        measure: || {
            let stage = Stage::with(audit_off());
            let token = minted(&stage.control.claims(1));
            stage.allowed(|_, _| token.clone())
        },
    },
    Scenario {
        name: "capability_verified",
        what: "capability token, not verified before",
        measure: || Stage::shipped().allowed(|stage, n| stage.minted(n)),
    },
    Scenario {
        name: "opaque_body",
        what: "opaque token, looked up before, with a body of 4 KiB",
        measure: || {
            Stage { body: Some(vec![b'x'; 4096]), ..Stage::shipped() }.allowed(|_, _| token(1))
        },
    },
];

/// Tokens that only fill the table, or are looked up once.
const TOKENS: usize = 400;
/// So many of them are looked up before what is measured, so that every chunk is known.
const LOOKED_AT: usize = 200;
/// Requests before what is measured.
const WARM_UP: u64 = 8;
const WORKER: VmName = VmName::Worker(0);

/// A worker that has served for a while.
struct Stage {
    control: ControlPlane,
    sidecar: Sidecar,
    tokens: Vec<OpaqueToken>,
    body: Option<Vec<u8>>,
    /// Requests so far.
    requests: u64,
}

fn audit_off() -> Value {
    json!({"mode": "off", "filter_state": false})
}

impl Stage {
    /// With the configuration that is shipped.
    fn shipped() -> Self {
        Self::with(json!({}))
    }

    /// With this configuration of the audit trail.
    fn with(audit: Value) -> Self {
        let mut control = ControlPlane::default();
        control.trust(&[0]);
        // They are in the manifest, and so in the table, and not in deltas.
        let tokens = control.issue_tokens(1, TOKENS);
        let mut configuration = control.acting_configuration();
        configuration["audit"] = audit;
        let sidecar = Sidecar::configured(Sidecar::builder(1), configuration.to_string());
        let mut sidecar = sidecar.expect("the filter starts");
        sidecar.sync(&mut control);
        sidecar.await_reports(&mut control, 1);
        let mut stage = Self { control, sidecar, tokens, body: None, requests: 0 };
        let tokens = stage.tokens[..LOOKED_AT].to_vec();
        for token in tokens {
            stage.spent_on_allowed(token.bytes());
        }
        stage
    }

    /// A token that was not looked up before.
    fn other(&self, n: u64) -> OpaqueToken {
        self.tokens[LOOKED_AT + usize::try_from(n).expect("a count")].clone()
    }

    /// A capability token that was not presented before.
    fn minted(&self, n: u64) -> String {
        let id = CapabilityId::from_bytes((u128::MAX - u128::from(n)).to_be_bytes());
        minted(&Claims { id, ..self.control.claims(1) })
    }

    /// What a request costs that is allowed, with the token of each one.
    fn allowed<T: Presented>(mut self, token: impl Fn(&Self, u64) -> T) -> Spent {
        for n in 0..WARM_UP {
            let token = token(&self, n);
            self.spent_on_allowed(token.bytes());
        }
        self.settle();
        median(|n| {
            let token = token(&self, WARM_UP + n);
            self.spent_on_allowed(token.bytes())
        })
    }

    /// What a request costs that is denied.
    fn denied(mut self, status: u32, reason: &str, token: Option<&OpaqueToken>) -> Spent {
        let token = token.map(Presented::bytes);
        for _ in 0..WARM_UP {
            self.spent_on_denied(status, reason, token);
        }
        self.settle();
        median(|_| self.spent_on_denied(status, reason, token))
    }

    /// What was recorded so far is sent, and none of it while something is measured.
    fn settle(&mut self) {
        self.sidecar.proxy.tick(WORKER);
        self.sidecar.serve(&mut self.control);
    }

    fn spent_on_allowed(&mut self, token: &[u8]) -> Spent {
        let before = self.sidecar.proxy.spent(WORKER);
        let request = self.begin(Some(token));
        let proxy = &mut self.sidecar.proxy;
        if let Some(body) = &self.body {
            proxy.client_sends(&request, body, true);
        }
        let answer: [(&str, &[u8]); 5] = [
            ("content-type", b"application/json"),
            ("content-length", b"17"),
            ("date", b"Thu, 01 Jan 1970 00:16:40 GMT"),
            ("server", b"envoy"),
            ("x-envoy-upstream-service-time", b"3"),
        ];
        proxy.upstream_answers(&request, 200, &answer, false);
        proxy.upstream_sends(&request, b"{\"amount\": 12345}", true);
        assert_eq!(proxy.state(&request), RequestState::Done, "it went by");
        let spent = proxy.spent(WORKER).since(&before);
        assert_allowed(&proxy.finish(request), 1);
        spent
    }

    fn spent_on_denied(&mut self, status: u32, reason: &str, token: Option<&[u8]>) -> Spent {
        let before = self.sidecar.proxy.spent(WORKER);
        let request = self.begin(token);
        let spent = self.sidecar.proxy.spent(WORKER).since(&before);
        assert_denied(&self.sidecar.proxy.finish(request), status, reason);
        spent
    }

    /// A request with the headers that Envoy shows of one that curl sends.
    fn begin(&mut self, token: Option<&[u8]>) -> crate::InFlight {
        self.requests += 1;
        let (method, path) = route(ACTION);
        let id = format!("7d4a1f0e-0c2b-9f55-8b1e-{:012x}", self.requests);
        let bearer = token.map(|token| [b"Bearer ", token].concat());
        let mut headers: Vec<(&str, &[u8])> = vec![
            (":authority", b"payments.example"),
            (":path", path.as_bytes()),
            (":method", method.as_bytes()),
            (":scheme", b"http"),
            ("user-agent", b"curl/8.5.0"),
            ("accept", b"*/*"),
        ];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        headers
            .extend([("x-forwarded-proto", b"http".as_slice()), ("x-request-id", id.as_bytes())]);
        match self.body {
            Some(_) => self.sidecar.proxy.begin_with_body(0, &headers),
            None => self.sidecar.proxy.begin(0, &headers),
        }
    }
}
