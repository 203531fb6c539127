//! Which records are asked for.

use std::borrow::Cow;

use kya_core::audit::{Filter, RECORD_TYPES, Timestamp, Verdict};
use kya_core::{ActionName, AgentId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::store::audit::RecordFilter;
use crate::time::UnixMicros;

/// Longest name of an act, or id of a kill, that is looked for.
const MAX_NAME: usize = 128;

/// What is asked for wherever records are read: those that fit all of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Asked {
    pub(super) agent_id: Option<AgentId>,
    pub(super) since: Option<Moment>,
    pub(super) until: Option<Moment>,
    pub(super) action: Option<ActionName>,
    pub(super) decision: Option<Decision>,
    pub(super) r#type: Option<RecordType>,
    pub(super) act: Option<Word>,
    pub(super) kill: Option<Word>,
}

/// An instant, to the microsecond.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Moment(pub(super) UnixMicros);

/// What was answered.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Decision {
    Allow,
    Deny,
    Pass,
}

/// The type of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct RecordType(String);

/// An act such as `agent.revoked`, or the id of a kill.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Word(String);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const FORM: &str = "must be an instant as RFC 3339 writes it: 2027-01-31T12:00:00Z";
        // No such text is longer, and none has the zone in brackets that is read, too.
        if text.len() > 40 || !text.is_ascii() || text.contains('[') {
            return Err(FORM.to_owned());
        }
        let instant: jiff::Timestamp = text.parse().map_err(|error| format!("{FORM} ({error})"))?;
        match u64::try_from(instant.as_microsecond()) {
            Ok(micros) => Ok(Self(UnixMicros(micros))),
            Err(_) => Err("must not be before 1970".to_owned()),
        }
    }
}

impl TryFrom<String> for RecordType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match RECORD_TYPES.contains(&text.as_str()) {
            true => Ok(Self(text)),
            false => Err(format!("`{text}` is none of {}", RECORD_TYPES.join(", "))),
        }
    }
}

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
        match (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(fine) {
            true => Ok(Self(text)),
            false => Err("must be 1 to 128 letters, digits, `.` and `_`".to_owned()),
        }
    }
}

macro_rules! texts {
    ($($name:ident $schema:tt)*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

texts! {
    Moment { "type": "string", "format": "date-time" }
    RecordType { "type": "string", "enum": RECORD_TYPES }
    Word { "type": "string", "pattern": "^[A-Za-z0-9._]{1,128}$" }
}

impl Decision {
    const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Pass => "pass",
        }
    }

    const fn verdict(self) -> Verdict {
        match self {
            Self::Allow => Verdict::Allow,
            Self::Deny => Verdict::Deny,
            Self::Pass => Verdict::Pass,
        }
    }
}

impl Asked {
    /// As the store looks for it, among all records.
    pub(super) fn filter(&self) -> RecordFilter {
        let text = |word: &Option<Word>| word.as_ref().map(|word| word.0.clone());
        RecordFilter {
            agent_id: self.agent_id.map(|id| id.to_string()),
            since: self.since.map(|moment| moment.0),
            until: self.until.map(|moment| moment.0),
            action: self.action.as_ref().map(ActionName::to_string),
            decision: self.decision.map(|decision| decision.name().to_owned()),
            kind: self.r#type.as_ref().map(|kind| kind.0.clone()),
            act: text(&self.act),
            kill_id: text(&self.kill),
            ..RecordFilter::all(1, u64::MAX)
        }
    }

    /// As an export says it.
    pub(super) fn said(&self) -> Filter {
        Filter {
            agent: self.agent_id.map(|id| id.to_string()),
            since: self.since.map(|moment| Timestamp(moment.0.0)),
            until: self.until.map(|moment| Timestamp(moment.0.0)),
            action: self.action.as_ref().map(ActionName::to_string),
            decision: self.decision.map(Decision::verdict),
            act: self.act.as_ref().map(|act| act.0.clone()),
            kill: self.kill.as_ref().map(|kill| kill.0.clone()),
            types: self.r#type.iter().map(|kind| kind.0.clone()).collect(),
        }
    }
}

/// Fields that are asked for, each in the query, and those of [`Asked`]. The latter are
/// written out: a flattened structure would take unknown names, too.
macro_rules! asks {
    ($(#[$meta:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(in crate::api) struct $name {
            agent_id: Option<kya_core::AgentId>,
            /// What happened then or later, by the clock of whoever saw it.
            since: Option<$crate::api::audit::asked::Moment>,
            /// What happened before.
            until: Option<$crate::api::audit::asked::Moment>,
            action: Option<kya_core::ActionName>,
            decision: Option<$crate::api::audit::asked::Decision>,
            r#type: Option<$crate::api::audit::asked::RecordType>,
            /// An act, for example `agent.revoked`.
            act: Option<$crate::api::audit::asked::Word>,
            kill: Option<$crate::api::audit::asked::Word>,
            $($(#[$attribute])* $field: $type,)*
        }

        impl $name {
            fn asked(&self) -> $crate::api::audit::asked::Asked {
                $crate::api::audit::asked::Asked {
                    agent_id: self.agent_id,
                    since: self.since,
                    until: self.until,
                    action: self.action.clone(),
                    decision: self.decision,
                    r#type: self.r#type.clone(),
                    act: self.act.clone(),
                    kill: self.kill.clone(),
                }
            }
        }
    };
}
pub(super) use asks;
