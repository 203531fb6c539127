//! JSON Schemas (draft 2020-12) of the texts that have readers of their own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::labels::{Labels, MAX_LABELS, Selector};
use crate::nodes::{NodeName, NodePattern};
use crate::operators::OperatorName;
use crate::principals::{PrincipalKey, PrincipalName};
use crate::store::ServiceName;
use crate::store::schedules::ScheduleName;
use crate::text::{IncidentId, Name, Reason};
use crate::time::Instant;

/// Of texts that people write: one character that is no space, and none that controls.
const PLAIN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$";

macro_rules! schemas {
    ($($type:ident $schema:tt)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    Name { "type": "string", "maxLength": 128, "pattern": PLAIN }
    Reason { "type": "string", "maxLength": 256, "pattern": PLAIN }
    IncidentId { "type": "string", "maxLength": 128, "pattern": PLAIN }
    PrincipalName {
        "type": "string",
        "maxLength": 254,
        "pattern": "^(?!prn_)[a-z0-9][a-z0-9._+-]*(@[a-z0-9._+-]+)?$",
        "description": "Such as alice@example.com",
    }
    PrincipalKey {
        "type": "string",
        "maxLength": 254,
        "pattern": "^(prn_[0-7][0-9A-HJKMNP-TV-Z]{25}|(?!prn_)[a-z0-9][a-z0-9._+-]*(@[a-z0-9._+-]+)?)$",
        "description": "A principal, by its id or by its name",
    }
    NodeName { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$" }
    NodePattern {
        "type": "string",
        "maxLength": 256,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
        "description": "A `node.id`, in which each `*` stands for any characters",
    }
    OperatorName {
        "type": "string",
        "pattern": "^([A-Za-z0-9][A-Za-z0-9._~-]{0,127}|oidc:[A-Za-z0-9._~@%-]+)$",
        "description": "`oidc:…` are those of single sign-on, and cannot be added",
    }
    ScheduleName { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$" }
    ServiceName { "type": "string", "pattern": "^[a-z0-9_.:/-]{1,256}$" }
    Selector { "type": "string", "minLength": 1, "description": "Such as `env=prod,team=payments`" }
    Instant { "type": "string", "format": "date-time" }
    Labels {
        "type": "object",
        "maxProperties": MAX_LABELS,
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": 128 },
    }
}
