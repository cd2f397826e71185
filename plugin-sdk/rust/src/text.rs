//! Texts that know where they came from. Knows nothing of SCIM's attributes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A text with its source: a SCIM path, or the name of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    text: Cow<'a, str>,
    source: Cow<'a, str>,
}

impl<'a> Value<'a> {
    /// A text from a source.
    #[must_use]
    pub fn new(text: impl Into<Cow<'a, str>>, source: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), source: source.into() }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it came from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Another text made of this one, from the same source.
    #[must_use]
    pub fn map(self, change: impl FnOnce(&str) -> String) -> Self {
        Self { text: Cow::Owned(change(&self.text)), source: self.source }
    }

    /// The same text, credited to a rule.
    #[must_use]
    pub fn because(self, rule: impl Into<Cow<'a, str>>) -> Self {
        Self { text: self.text, source: rule.into() }
    }

    pub(crate) fn into_parts(self) -> (String, String) {
        (self.text.into_owned(), self.source.into_owned())
    }
}

/// A JSON string, borrowed from the input where it has no escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    /// Clients send `""` and blanks for what they don't know: that is no value.
    pub fn present(&self) -> Option<&str> {
        let text = self.0.as_ref();
        // Nearly every text begins and ends with a letter or a digit, and needs no closer look.
        let visible = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
        let trimmed = if visible(text.as_bytes().first()) && visible(text.as_bytes().last()) { text } else { text.trim() };
        (!trimmed.is_empty()).then_some(trimmed)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}
