//! JSON Schemas (draft 2020-12) of the values that travel as text. They say how each is
//! written; that it is right is said by its reader.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::action::ActionName;
use crate::ids::{Id, IdKind};
use crate::key_forms::WrittenKey;
use crate::keys::PublicKey;
use crate::policy::{PolicyDocument, PolicyName, PolicyReference, PolicyVersion};

impl<K: IdKind> JsonSchema for Id<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("id_{}", K::PREFIX).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let prefix = K::PREFIX;
        json_schema!({
            "type": "string",
            "pattern": format!("^{prefix}[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"),
            "description": format!("`{prefix}` and a ULID"),
        })
    }
}

macro_rules! schemas {
    ($($type:ty, $name:literal, $schema:tt;)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    ActionName, "ActionName", {
        "type": "string",
        "pattern": "^[a-z0-9_.:/-]{1,256}$",
        "description": "An action, such as `refund` or `customer.read`",
    };
    PolicyName, "PolicyName", {
        "type": "string",
        "pattern": "^(?!pol_)[a-z0-9][a-z0-9._-]{0,63}$",
        "description": "The name of a policy",
    };
    PolicyReference, "PolicyReference", {
        "type": "string",
        "pattern": "^(pol_[0-7][0-9A-HJKMNP-TV-Z]{25}|(?!pol_)[a-z0-9][a-z0-9._-]{0,63})$",
        "description": "A policy, by its id or by its name",
    };
    PolicyVersion, "PolicyVersion", {
        "type": "integer",
        "minimum": 1,
        "maximum": u32::MAX,
        "description": "The version of a policy: 1 is the first",
    };
    PublicKey, "PublicKey", {
        "type": "string",
        "pattern": "^ed25519:",
        "description": "`ed25519:` and the base64 of a SubjectPublicKeyInfo (RFC 8410)",
    };
    WrittenKey, "WrittenKey", {
        "type": ["string", "object"],
        "description": "An Ed25519 public key: PEM, base64, or a JWK (RFC 8037)",
    };
    PolicyDocument, "PolicyDocument", {
        "type": "object",
        "description": "A policy as it is written",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "minLength": 1 },
            "description": { "type": "string" },
            "allow": { "type": "array", "items": { "type": "string" } },
            "deny": { "type": "array", "items": { "type": "string" } },
            "services": { "type": "array", "items": { "type": "string" } },
            "max_ttl": { "type": "string" },
            "daily_limit": { "type": "string" },
            "currency": { "type": "string" },
            "auto_suspend": {
                "type": "object",
                "required": ["condition", "threshold", "window", "action"],
                "additionalProperties": false,
                "properties": {
                    "condition": { "type": "string" },
                    "threshold": { "type": "string" },
                    "window": { "type": "string" },
                    "action": { "type": "string" },
                },
            },
            "in_flight": { "enum": ["abort", "drain"] },
            "drain_window": { "type": "string" },
            "max_staleness": {
                "type": "object",
                "additionalProperties": { "type": "string" },
            },
        },
    };
}
