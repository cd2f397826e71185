//! The account that a mapping shapes, with where each value came from.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::text::Value;

macro_rules! attributes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// The attributes of an account that hold one text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Attribute { $($(#[$doc])* $variant),+ }

        impl Attribute {
            /// Every attribute.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in the account's JSON.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

attributes! {
    /// The login name: required.
    UserName = "user_name",
    /// The name to show.
    DisplayName = "display_name",
    /// The given name.
    GivenName = "given_name",
    /// The family name.
    FamilyName = "family_name",
    /// The e-mail address.
    Email = "email",
    /// `employee`, `contractor`, …
    UserType = "user_type",
    /// The job title.
    Title = "title",
    /// The department.
    Department = "department",
    /// The division.
    Division = "division",
    /// The organization.
    Organization = "organization",
    /// The cost centre.
    CostCenter = "cost_center",
    /// The employee number.
    EmployeeNumber = "employee_number",
    /// The manager, as the identity provider names them.
    Manager = "manager",
    /// The locale.
    Locale = "locale",
}

/// The longest text in an account, in bytes: longer ones are cut, but for the login name.
pub const TEXT_BYTES_LIMIT: usize = 1_024;

/// A local account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    // Few and short lists: looking through them costs less than keeping trees of them.
    texts: [Noted<Option<String>>; Attribute::ALL.len()],
    tags: Vec<(String, Noted<Vec<String>>)>,
}

/// What an account holds, and where it came from. An account that Rolecall handed over does not say where from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Noted<T> {
    value: T,
    source: Option<String>,
}

impl Account {
    /// An account with a login name.
    #[must_use]
    pub fn new(user_name: Value<'_>) -> Self {
        let mut account = Self::default();
        let (text, source) = user_name.into_parts();
        account.texts[Attribute::UserName as usize] = Noted { value: Some(text), source: Some(source) };
        account
    }

    /// Sets an attribute, if there is a value. Control characters become spaces, and what is longer than [`TEXT_BYTES_LIMIT`] is cut.
    pub fn set<'a>(&mut self, attribute: Attribute, value: impl Into<Option<Value<'a>>>) -> &mut Self {
        if let Some((text, source)) = value.into().and_then(fitted) {
            self.texts[attribute as usize] = Noted { value: Some(text), source: Some(source) };
        }
        self
    }

    /// Adds a text to the tag of that name, which policies can read. Fitted as in [`Account::set`].
    pub fn tag<'a>(&mut self, name: &str, value: impl Into<Option<Value<'a>>>) -> &mut Self {
        if let Some((text, source)) = value.into().and_then(fitted) {
            match self.tags.iter_mut().find(|(tag, _)| tag == name) {
                Some((_, texts)) => {
                    if !texts.value.contains(&text) {
                        texts.value.push(text);
                    }
                    texts.source = Some(source);
                }
                None => self.tags.push((name.to_owned(), Noted { value: vec![text], source: Some(source) })),
            }
        }
        self
    }

    /// An attribute.
    #[must_use]
    pub fn get(&self, attribute: Attribute) -> Option<&str> {
        self.texts[attribute as usize].value.as_deref()
    }

    /// The texts of a tag.
    #[must_use]
    pub fn tagged(&self, name: &str) -> &[String] {
        self.tags.iter().find(|(tag, _)| tag == name).map_or(&[], |(_, texts)| &texts.value)
    }

    /// For each attribute and then each tag (`tags.name`), where its value came from. Empty for an account that Rolecall handed over.
    pub fn provenance(&self) -> impl Iterator<Item = (String, String)> {
        self.clone().into_provenance().into_iter()
    }

    /// As [`Account::provenance`]. Plain loops: in a sandbox each call costs, and iterators that are chained stay calls.
    pub(crate) fn into_provenance(self) -> Vec<(String, String)> {
        let mut provenance = Vec::with_capacity(Attribute::ALL.len() + self.tags.len());
        for (attribute, text) in Attribute::ALL.iter().zip(self.texts) {
            if let Some(source) = text.source {
                provenance.push((attribute.name().to_owned(), source));
            }
        }
        for (tag, texts) in self.tags {
            if let Some(source) = texts.source {
                provenance.push((["tags.", &tag].concat(), source));
            }
        }
        provenance
    }
}

/// A text as an account may have it.
fn fitted(value: Value<'_>) -> Option<(String, String)> {
    let (mut text, source) = value.into_parts();
    if may_have_controls(&text) {
        text = text.replace(char::is_control, " ").trim().to_owned();
    }
    text.truncate(text.floor_char_boundary(TEXT_BYTES_LIMIT));
    (!text.is_empty()).then_some((text, source))
}

/// Whether a byte of the text may begin a control character. Looked at eight bytes at a time: a sandbox counts each turn of a loop.
fn may_have_controls(text: &str) -> bool {
    let (chunks, rest) = text.as_bytes().as_chunks::<8>();
    let suspicious = |byte: &u8| *byte < 0x20 || *byte == 0x7f || *byte == 0xc2;
    chunks.iter().any(|chunk| chunk.iter().fold(false, |found, byte| found | suspicious(byte))) || rest.iter().any(suspicious)
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Tags<'a>(&'a [(String, Noted<Vec<String>>)]);
        impl Serialize for Tags<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, texts)| (name, &texts.value)))
            }
        }
        let mut map = serializer.serialize_map(None)?;
        for (attribute, text) in Attribute::ALL.iter().zip(&self.texts) {
            if let Some(text) = &text.value {
                map.serialize_entry(attribute.name(), text)?;
            }
        }
        if !self.tags.is_empty() {
            map.serialize_entry("tags", &Tags(&self.tags))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AccountVisitor;
        impl<'de> Visitor<'de> for AccountVisitor {
            type Value = Account;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an account")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Account, M::Error> {
                let mut account = Account::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "tags" {
                        let tags = map.next_value::<BTreeMap<String, Vec<String>>>()?.into_iter();
                        account.tags = tags.map(|(tag, value)| (tag, Noted { value, source: None })).collect();
                    } else if let Some(attribute) = Attribute::ALL.iter().find(|attribute| attribute.name() == key) {
                        account.texts[*attribute as usize].value = Some(map.next_value()?);
                    } else {
                        // A newer Rolecall may know more attributes than this plugin was built with.
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                if account.get(Attribute::UserName).is_none() {
                    return Err(M::Error::missing_field("user_name"));
                }
                Ok(account)
            }
        }
        deserializer.deserialize_map(AccountVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_survives_its_json_and_keeps_where_values_came_from() {
        let mut account = Account::new(Value::new("jose", "userName"));
        account.set(Attribute::Title, None).set(Attribute::Email, Value::new("jose@acme.example", "emails.value"));
        account
            .tag("site", Value::new("Ghent", "rule-a"))
            .tag("site", Value::new("Lille", "rule-b"))
            .tag("site", Value::new("Lille", "rule-c"));
        let json = serde_json::to_string(&account).unwrap();
        assert_eq!(json, r#"{"user_name":"jose","email":"jose@acme.example","tags":{"site":["Ghent","Lille"]}}"#);
        let read: Account = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert_eq!(read.provenance().count(), 0);
        let provenance: Vec<(String, String)> = account.provenance().collect();
        let expected = [("user_name", "userName"), ("email", "emails.value"), ("tags.site", "rule-c")];
        assert_eq!(provenance, expected.map(|(name, source)| (name.to_owned(), source.to_owned())));
        assert_eq!(account.clone().into_provenance(), provenance);
        assert_eq!((account.get(Attribute::Title), account.tagged("site").len(), account.tagged("team").len()), (None, 2, 0));
    }

    #[test]
    fn texts_are_made_to_fit() {
        let mut account = Account::new(Value::new("x", "userName"));
        account.set(Attribute::Title, Value::new("\tLead\u{85}of\nthe lab ", "title"));
        account.set(Attribute::Division, Value::new("é".repeat(600), "division"));
        account.set(Attribute::Locale, Value::new("\u{7f}", "locale")).tag("site", Value::new("", "site"));
        assert_eq!(account.get(Attribute::Title), Some("Lead of the lab"));
        assert_eq!(account.get(Attribute::Division).map(str::len), Some(TEXT_BYTES_LIMIT));
        assert_eq!((account.get(Attribute::Locale), account.tagged("site").len()), (None, 0));
    }

    #[test]
    fn an_account_without_a_login_is_none() {
        assert!(serde_json::from_str::<Account>(r#"{"email":"x@acme.example"}"#).is_err());
        assert!(serde_json::from_str::<Account>(r#"{"user_name":"x","unheard_of":{"a":1}}"#).is_ok());
    }
}
