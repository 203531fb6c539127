//! JSON Schemas (draft 2020-12) of the texts that have readers of their own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::labels::{Labels, MAX_LABELS, Selector};
use crate::nodes::{NodeName, NodePattern};
use crate::operators::OperatorName;
use crate::principals::{PrincipalKey, PrincipalName};
use crate::store::ServiceName;
use crate::text::{IncidentId, Name, Reason};
use crate::time::Instant;

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
    Name { "type": "string", "minLength": 1, "maxLength": 128 }
    Reason { "type": "string", "minLength": 1, "maxLength": 256 }
    IncidentId { "type": "string", "minLength": 1, "maxLength": 128 }
    PrincipalName { "type": "string", "minLength": 1, "description": "Such as alice@example.com" }
    PrincipalKey { "type": "string", "minLength": 1, "description": "A principal, by its id or by its name" }
    NodeName { "type": "string", "minLength": 1 }
    NodePattern { "type": "string", "minLength": 1, "description": "A name, or one with a `*` at its end" }
    OperatorName { "type": "string", "minLength": 1 }
    ServiceName { "type": "string", "pattern": "^[a-z0-9_.:/-]{1,256}$" }
    Selector { "type": "string", "minLength": 1, "description": "Such as `env=prod,team=payments`" }
    Instant { "type": "string", "format": "date-time" }
    Labels {
        "type": "object",
        "maxProperties": MAX_LABELS,
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": 128 },
    }
}
