//! What these requests carry. Whatever is not named here is refused.

use kya_core::{ActionName, InFlight, PrincipalId};
use serde::Deserialize;

use crate::api::requests::{InFlightName, Limit, StatusName};
use crate::labels::Selector;
use crate::principals::PrincipalName;
use crate::registry::Why;
use crate::text::{IncidentId, Reason};

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct AddPrincipal {
    pub(super) name: PrincipalName,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListPrincipals {
    pub(super) status: Option<StatusName>,
    pub(super) after: Option<PrincipalId>,
    #[serde(default)]
    pub(super) limit: Limit,
}

/// Stops one action of an agent.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct StopCapability {
    action: ActionName,
    reason: Reason,
    incident_id: Option<IncidentId>,
    in_flight: Option<InFlightName>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RestoreCapability {
    action: ActionName,
    reason: Option<Reason>,
    incident_id: Option<IncidentId>,
}

/// Stops every agent with these labels.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct StopSelected {
    selector: Selector,
    reason: Reason,
    incident_id: Option<IncidentId>,
    in_flight: Option<InFlightName>,
    #[serde(default)]
    dry_run: bool,
}

/// Ends a halt, which takes a reason as beginning one does.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Resume {
    reason: Reason,
    incident_id: Option<IncidentId>,
}

impl StopCapability {
    pub(super) fn in_flight(&self, otherwise: InFlight) -> InFlight {
        self.in_flight.map_or(otherwise, |name| name.0)
    }

    /// Whether only to look, which action, and why.
    pub(super) fn parts(self) -> (bool, ActionName, Why) {
        let why = Why { reason: Some(self.reason), incident_id: self.incident_id };
        (self.dry_run, self.action, why)
    }
}

impl RestoreCapability {
    pub(super) fn parts(self) -> (ActionName, Why) {
        (self.action, Why { reason: self.reason, incident_id: self.incident_id })
    }
}

impl StopSelected {
    pub(super) fn in_flight(&self, otherwise: InFlight) -> InFlight {
        self.in_flight.map_or(otherwise, |name| name.0)
    }

    /// Whether only to look, which agents, and why.
    pub(super) fn parts(self) -> (bool, Selector, Why) {
        let why = Why { reason: Some(self.reason), incident_id: self.incident_id };
        (self.dry_run, self.selector, why)
    }
}

impl From<Resume> for Why {
    fn from(resume: Resume) -> Self {
        Self { reason: Some(resume.reason), incident_id: resume.incident_id }
    }
}
