//! A policy as it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A policy as people write it, in YAML or JSON, by the fields of
/// `docs/policies.md`. Nothing in it is checked but its shape: every value is a
/// text, so that amounts are as exact as they were written. `null` is no value.
///
/// Whoever reads one refuses more than
/// [`MAX_DOCUMENT_BYTES`](super::MAX_DOCUMENT_BYTES) first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct PolicyDocument {
    /// Its name, unique among policies.
    pub name: String,
    /// What it is for.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Patterns of actions that are allowed. None are, if it is left out.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Patterns of actions that are denied, even if they are allowed.
    #[serde(default)]
    pub deny: Vec<String>,
    /// Patterns of services for which the policy counts. All, if it is left out.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    /// Longest life of a token, such as `1h`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<String>,
    /// Most money to spend in a day, such as `500.00`.
    #[serde(default, deserialize_with = "decimal", skip_serializing_if = "Option::is_none")]
    pub daily_limit: Option<String>,
    /// The currency of the daily limit, such as `EUR`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// When an agent is suspended by itself.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub auto_suspend: Option<AutoSuspendDocument>,
    /// What becomes of requests in flight: `drain` or `abort`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<String>,
    /// How long what drains may take, such as `60s`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub drain_window: Option<String>,
    /// By pattern of an action: from which age on the state is too old for it.
    #[serde(default, deserialize_with = "spans", skip_serializing_if = "BTreeMap::is_empty")]
    pub max_staleness: BTreeMap<String, String>,
}

/// When an agent is suspended by itself, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct AutoSuspendDocument {
    /// `deny_rate_exceeds`.
    pub condition: String,
    /// The share of denied requests, such as `0.30`.
    #[serde(deserialize_with = "share")]
    pub threshold: String,
    /// Over which time, such as `5min`.
    pub window: String,
    /// `suspend_pending_review`.
    pub action: String,
}

/// By itself a struct is also read from a list of its fields in order.
macro_rules! only_from_a_map {
    ($document:ident, $expecting:literal) => {
        impl<'de> Deserialize<'de> for $document {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> Visitor<'de> for Fields {
                    type Value = $document;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$document, A::Error> {
                        $document::deserialize(MapAccessDeserializer::new(map))
                    }
                }
                deserializer.deserialize_map(Fields)
            }
        }

        impl Serialize for $document {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $document::serialize(self, serializer)
            }
        }
    };
}

only_from_a_map!(PolicyDocument, "a policy, with fields such as `name` and `allow`");
only_from_a_map!(
    AutoSuspendDocument,
    "`condition`, `threshold`, `window` and `action` with their values"
);

/// A field that may be left out. One that is written has a value.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let expecting = "a decimal as text, such as \"500.00\", since a number may be rounded";
    deserializer.deserialize_str(Text(expecting)).map(Some)
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expecting = "a share as text, such as \"0.30\", since a number may be rounded";
    deserializer.deserialize_str(Text(expecting))
}

/// A text and nothing else; says what is expected instead.
struct Text(&'static str);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

/// A map in which no key is written twice: by itself the last one would count.
fn spans<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Spans;
    impl<'de> Visitor<'de> for Spans {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("patterns of actions, each with a span of time such as `5s`")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut spans = BTreeMap::new();
            while let Some((pattern, span)) = map.next_entry::<String, String>()? {
                if spans.insert(pattern, span).is_some() {
                    return Err(A::Error::custom(
                        "a pattern of `max_staleness` is written twice: leave one of them out",
                    ));
                }
            }
            Ok(spans)
        }
    }
    deserializer.deserialize_map(Spans)
}
