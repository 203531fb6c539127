//! JSON objects as they come from outside: bounded, and with one reading.
//!
//! RFC 8259 leaves open what an object with two members of one name means, and two
//! readers that choose otherwise see two tokens behind one signature. Such an object
//! is refused at every depth, in what is understood and in what is not.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::{CapabilityError, Part};

/// Deepest nesting; eight actors within the claims are nine.
const MAX_DEPTH: usize = 12;
/// Most members of an object.
const MAX_MEMBERS: usize = 64;

/// A value, as far as it is of interest.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    /// A number without sign, fraction and exponent, below 2^64.
    Integer(u64),
    /// A text, with its escapes resolved.
    Text(String),
    /// Values in order.
    List(Vec<Json>),
    /// Named values.
    Object(Members),
    /// Any other number, `true`, `false` or `null`.
    Other,
}

/// The members of an object; no two have one name.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Members(Vec<(String, Json)>);

impl Members {
    /// Reads a text that is one object and nothing more.
    pub(super) fn read(text: &[u8], part: Part) -> Result<Self, CapabilityError> {
        let twice = Cell::new(false);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = Value { depth: 0, twice: &twice }.deserialize(&mut reader);
        match value.and_then(|value| reader.end().map(|()| value)) {
            Ok(Json::Object(members)) => Ok(members),
            Err(_) if twice.get() => Err(CapabilityError::Duplicate(part)),
            Ok(_) | Err(_) => Err(CapabilityError::NotJson(part)),
        }
    }

    /// Takes the member of this name out.
    pub(super) fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(it, _)| it == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Whether there is a member of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(it, _)| it == name)
    }

    /// Whether none is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads a value that has so many around it.
struct Value<'a> {
    depth: usize,
    twice: &'a Cell<bool>,
}

impl Value<'_> {
    fn inner<E: Error>(&self) -> Result<Value<'_>, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom("too deep"));
        }
        Ok(Value { depth: self.depth.saturating_add(1), twice: self.twice })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Integer(number))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(self.inner()?)? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Members::default();
        while let Some(name) = access.next_key::<String>()? {
            if members.has(&name) {
                self.twice.set(true);
                return Err(A::Error::custom("twice"));
            }
            if members.0.len() >= MAX_MEMBERS {
                return Err(A::Error::custom("too many"));
            }
            members.0.push((name, access.next_value_seed(self.inner()?)?));
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Members, CapabilityError> {
        Members::read(text.as_bytes(), Part::Claims)
    }

    #[test]
    fn a_name_that_comes_twice_is_refused_however_it_is_spelt_and_wherever_it_is() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":{}}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[[{"a":1,"a":2}]]}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert_eq!(read(text), Err(CapabilityError::Duplicate(Part::Claims)), "{text}");
        }
        assert!(read(r#"{"a":{"a":{"a":1}},"A":2,"a ":3}"#).is_ok());
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in [
            "",
            " ",
            "1",
            "null",
            "[]",
            "\"a\"",
            "{",
            "{}x",
            "{}{}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":NaN}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\x\"}",
            "\u{feff}{}",
            "{}\0",
            "{/**/}",
        ] {
            assert_eq!(read(text), Err(CapabilityError::NotJson(Part::Claims)), "{text:?}");
        }
        assert!(Members::read(b"{\"a\":\"\xff\"}", Part::Header).is_err());
        assert!(read(" {\n} ").is_ok());
    }

    #[test]
    fn only_whole_numbers_without_a_sign_are_integers() {
        for (number, expected) in [
            ("0", Json::Integer(0)),
            ("18446744073709551615", Json::Integer(u64::MAX)),
            ("18446744073709551616", Json::Other),
            ("-1", Json::Other),
            ("-0", Json::Other),
            ("1.0", Json::Other),
            ("1e3", Json::Other),
            ("true", Json::Other),
            ("null", Json::Other),
        ] {
            let mut members = read(&format!("{{\"a\":{number}}}")).unwrap();
            assert_eq!(members.take("a"), Some(expected), "{number}");
        }
    }

    #[test]
    fn nesting_and_members_are_bounded() {
        let nested = |depth: usize| {
            format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).into_bytes()
        };
        assert!(Members::read(&nested(MAX_DEPTH), Part::Claims).is_ok());
        for depth in [MAX_DEPTH + 1, 100, 1000] {
            assert!(Members::read(&nested(depth), Part::Claims).is_err(), "{depth}");
        }
        assert!(read(&format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500))).is_err());
        let wide = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!("\"{n}\":{n}")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(read(&wide(MAX_MEMBERS)).is_ok());
        assert_eq!(read(&wide(MAX_MEMBERS + 1)), Err(CapabilityError::NotJson(Part::Claims)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = Members::read(&bytes, Part::Claims);
        }

        #[test]
        fn a_text_is_read_as_it_was_meant(name: String, text: String) {
            let written = serde_json::json!({ name.clone(): text.clone() }).to_string();
            let mut members = read(&written).unwrap();
            prop_assert_eq!(members.take(&name), Some(Json::Text(text)));
            prop_assert!(members.is_empty());
        }
    }
}
