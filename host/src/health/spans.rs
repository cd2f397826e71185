//! How spans of traffic are written: each as a short list of numbers, because ten thousand connections' months are read every few seconds.
//! The names of the counts were most of the text, and reading it most of a look.

use std::collections::VecDeque;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Slot;
use crate::model::{Instant, Traffic};

/// Spans by their beginning, the newest last.
pub(super) type Ring = VecDeque<(i64, Traffic)>;

/// For `#[serde(with)]`.
pub(super) fn serialize<S: Serializer>(ring: &Ring, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(ring.iter().map(|(start, traffic)| Span((Instant(*start), *traffic))))
}

/// For `#[serde(with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Ring, D::Error> {
    Ok(Vec::<Span>::deserialize(from)?.into_iter().map(|Span((start, traffic))| (start.0, traffic)).collect())
}

/// `[start, requests, lists, …]`, without the zeros at its end.
struct Span(Slot);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let counts = self.0.1.counts();
        let told = counts.iter().rposition(|count| *count != 0).map_or(0, |last| last + 1);
        to.collect_seq(std::iter::once(self.0.0.0).chain(counts.into_iter().take(told)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(SpanVisitor)
    }
}

struct SpanVisitor;

impl<'de> Visitor<'de> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("when a span began and what was counted in it")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Span, A::Error> {
        let start = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let mut counts = Traffic::default().counts();
        let mut told = 0;
        while let Some(said) = seq.next_element::<Said>()? {
            match said {
                Said::Named(traffic) => return Ok(Span((Instant(start), traffic))),
                Said::Count(count) => {
                    *counts.get_mut(told).ok_or_else(|| de::Error::invalid_length(told, &"as many counts as there are"))? = count;
                    told += 1;
                }
            }
        }
        Ok(Span((Instant(start), Traffic::of(counts))))
    }
}

/// One count; or all of them by their names, as they were written once.
enum Said {
    Count(i64),
    Named(Traffic),
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SaidVisitor)
    }
}

struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Said, E> {
        Ok(Said::Count(count))
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Said, E> {
        i64::try_from(count).map(Said::Count).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Said, A::Error> {
        Traffic::deserialize(de::value::MapAccessDeserializer::new(map)).map(Said::Named)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Memory;
    use super::*;

    proptest! {
        #[test]
        fn spans_are_read_as_they_were_written(spans in prop::collection::vec((any::<i64>(), any::<[i64; 10]>()), 0..5)) {
            let ring: Ring = spans.into_iter().map(|(start, counts)| (start, Traffic::of(counts))).collect();
            let memory = Memory { slots: ring, ..Memory::default() };
            prop_assert_eq!(serde_json::from_str::<Memory>(&serde_json::to_string(&memory).unwrap()).unwrap(), memory);
        }
    }

    #[test]
    fn zeros_at_the_end_are_left_out_and_names_are_read() {
        let traffic = Traffic { requests: 3, writes: 2, ..Traffic::default() };
        let memory = Memory { hours: Ring::from([(7, traffic), (9, Traffic::default())]), ..Memory::default() };
        let text = serde_json::to_string(&memory).unwrap();
        assert!(text.contains(r#""hours":[[7,3,0,2],[9]]"#), "{text}");
        let named: Memory = serde_json::from_str(r#"{"hours":[[7,{"requests":3,"writes":2}],[9,{}]]}"#).unwrap();
        assert_eq!(named, memory);
        for wrong in ["[[]]", "[[1,2,3,4,5,6,7,8,9,10,11,12]]", r#"[[1,"2"]]"#, "[[1,18446744073709551615]]"] {
            assert!(serde_json::from_str::<Memory>(&format!(r#"{{"hours":{wrong}}}"#)).is_err(), "{wrong}");
        }
    }
}
