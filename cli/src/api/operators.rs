//! Operators, as the API takes and gives them.

use serde::{Deserialize, Serialize};

/// `POST /v1/operators`.
#[derive(Debug, Serialize)]
pub(crate) struct NewOperator<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_seconds: Option<u64>,
}

/// Who may use the control plane.
#[derive(Debug, Deserialize)]
pub(crate) struct Operator {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) status: String,
    pub(crate) created_at: String,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<String>,
    pub(crate) revoked_at: Option<String>,
    pub(crate) revoked_by: Option<String>,
}

/// An operator, and this once its key.
#[derive(Deserialize)]
pub(crate) struct AddedOperator {
    pub(crate) key: String,
    #[serde(flatten)]
    pub(crate) operator: Operator,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Operators {
    pub(crate) operators: Vec<Operator>,
    pub(crate) next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OperatorChange {
    pub(crate) operator: Operator,
    /// False when it already was revoked.
    pub(crate) changed: bool,
}

/// Whose key it is.
#[derive(Debug, Deserialize)]
pub(crate) struct WhoAmI {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) built_in: bool,
    pub(crate) permissions: Vec<String>,
}
