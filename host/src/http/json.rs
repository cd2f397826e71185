//! JSON as a request has it: an object that has a name twice says two things, and none of them is taken (RFC 8259 §4).

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A value none of whose objects has a name twice.
struct Unique(Value);

/// Reads one.
///
/// # Errors
/// What is no JSON, and the first name that is there twice.
pub fn unique(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).map(|Unique(value)| value)
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Reading.deserialize(value).map(Self)
    }
}

#[derive(Clone, Copy)]
struct Reading;

impl<'de> DeserializeSeed<'de> for Reading {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            read.push(item);
        }
        Ok(read.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if read.contains_key(&name) {
                return Err(A::Error::custom(format_args!("`{}` is there twice", crate::model::quoted(&name))));
            }
            let value = members.next_value_seed(self)?;
            read.insert(name, value);
        }
        Ok(read.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_each_name_once_is_read_as_it_is() {
        let text = r#"{"z":[null,true,-1,18446744073709551615,1.5,"é\n",{}],"a":{"z":1,"Z":2},"":[]}"#;
        assert_eq!(unique(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(unique(text).unwrap().to_string(), serde_json::from_str::<Value>(text).unwrap().to_string(), "in the same order");
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused_wherever_it_stands() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":{},"c":1,"a":[]}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(unique(text).unwrap_err().to_string().contains("`a` is there twice"), "{text}");
        }
        assert!(unique("{").is_err() && unique("{} {}").is_err());
    }
}
