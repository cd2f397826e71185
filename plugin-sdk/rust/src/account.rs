//! The account that a mapping shapes, with where each value came from.

use std::collections::{BTreeMap, BTreeSet};
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

/// A local account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    texts: BTreeMap<Attribute, String>,
    tags: BTreeMap<String, BTreeSet<String>>,
    provenance: BTreeMap<String, String>,
}

impl Account {
    /// An account with a login name.
    #[must_use]
    pub fn new(user_name: Value<'_>) -> Self {
        let mut account = Self { texts: BTreeMap::new(), tags: BTreeMap::new(), provenance: BTreeMap::new() };
        account.set(Attribute::UserName, user_name);
        account
    }

    /// Sets an attribute, if there is a value.
    pub fn set<'a>(&mut self, attribute: Attribute, value: impl Into<Option<Value<'a>>>) -> &mut Self {
        if let Some(value) = value.into() {
            let (text, source) = value.into_parts();
            self.texts.insert(attribute, text);
            self.provenance.insert(attribute.name().to_owned(), source);
        }
        self
    }

    /// Adds a text to the tag of that name: policies read `principal.getTag("name")`.
    pub fn tag<'a>(&mut self, name: &str, value: impl Into<Option<Value<'a>>>) -> &mut Self {
        if let Some(value) = value.into() {
            let (text, source) = value.into_parts();
            self.tags.entry(name.to_owned()).or_default().insert(text);
            self.provenance.insert(format!("tags.{name}"), source);
        }
        self
    }

    /// An attribute.
    #[must_use]
    pub fn get(&self, attribute: Attribute) -> Option<&str> {
        self.texts.get(&attribute).map(String::as_str)
    }

    /// The tags: sets of texts by name.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.tags
    }

    /// For each attribute and tag (`tags.name`), where its value came from. Empty for an account that Rolecall handed over.
    #[must_use]
    pub fn provenance(&self) -> &BTreeMap<String, String> {
        &self.provenance
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (attribute, text) in &self.texts {
            map.serialize_entry(attribute.name(), text)?;
        }
        if !self.tags.is_empty() {
            map.serialize_entry("tags", &self.tags)?;
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
                let mut account = Account { texts: BTreeMap::new(), tags: BTreeMap::new(), provenance: BTreeMap::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if key == "tags" {
                        account.tags = map.next_value()?;
                    } else if let Some(attribute) = Attribute::ALL.iter().find(|attribute| attribute.name() == key) {
                        account.texts.insert(*attribute, map.next_value()?);
                    } else {
                        // A newer Rolecall may know more attributes than this plugin was built with.
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                if !account.texts.contains_key(&Attribute::UserName) {
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
    #![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]
    use super::*;

    #[test]
    fn an_account_survives_its_json_and_keeps_where_values_came_from() {
        let mut account = Account::new(Value::new("jose", "userName"));
        account.set(Attribute::Title, None).set(Attribute::Email, Value::new("jose@acme.example", "emails.value"));
        account.tag("site", Value::new("Ghent", "rule-a")).tag("site", Value::new("Lille", "rule-b"));
        let json = serde_json::to_string(&account).unwrap();
        assert_eq!(json, r#"{"user_name":"jose","email":"jose@acme.example","tags":{"site":["Ghent","Lille"]}}"#);
        let read: Account = serde_json::from_str(&json).unwrap();
        assert_eq!((read.texts, read.tags), (account.texts.clone(), account.tags.clone()));
        assert_eq!(account.provenance()["tags.site"], "rule-b");
        assert!(!account.provenance().contains_key("title"));
    }

    #[test]
    fn an_account_without_a_login_is_none() {
        assert!(serde_json::from_str::<Account>(r#"{"email":"x@acme.example"}"#).is_err());
        assert!(serde_json::from_str::<Account>(r#"{"user_name":"x","unheard_of":{"a":1}}"#).is_ok());
    }
}
