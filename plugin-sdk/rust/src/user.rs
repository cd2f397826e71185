//! The SCIM User (RFC 7643 §4.1, §4.3), as far as a plugin declared that it reads it. Parsed once, borrowing from the text;
//! extensions stay text until they are asked for.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::text::{Text, Value};

/// The enterprise extension (RFC 7643 §4.3).
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A person as the identity provider wrote them. What is blank is absent; what the plugin did not declare is absent.
#[derive(Debug, Default)]
pub struct User<'a> {
    core: Core<'a>,
    active: Option<bool>,
    name: Name<'a>,
    emails: Vec<Email<'a>>,
    enterprise: Enterprise<'a>,
    extensions: Vec<(Text<'a>, &'a RawValue)>,
}

#[derive(Debug, Default)]
struct Core<'a> {
    user_name: Option<Text<'a>>,
    external_id: Option<Text<'a>>,
    display_name: Option<Text<'a>>,
    nick_name: Option<Text<'a>>,
    user_type: Option<Text<'a>>,
    title: Option<Text<'a>>,
    locale: Option<Text<'a>>,
    preferred_language: Option<Text<'a>>,
    timezone: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Name<'a> {
    #[serde(borrow)]
    formatted: Option<Text<'a>>,
    #[serde(borrow)]
    given_name: Option<Text<'a>>,
    #[serde(borrow)]
    middle_name: Option<Text<'a>>,
    #[serde(borrow)]
    family_name: Option<Text<'a>>,
}

/// One of a person's e-mail addresses.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Email<'a> {
    #[serde(borrow)]
    value: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    primary: bool,
}

impl Email<'_> {
    /// The address.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.value.as_ref().and_then(Text::present)
    }

    /// `work`, `home`, …
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_ref().and_then(Text::present)
    }

    /// Whether it is the one to write to.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.primary
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Enterprise<'a> {
    #[serde(borrow)]
    employee_number: Option<Text<'a>>,
    #[serde(borrow)]
    cost_center: Option<Text<'a>>,
    #[serde(borrow)]
    organization: Option<Text<'a>>,
    #[serde(borrow)]
    division: Option<Text<'a>>,
    #[serde(borrow)]
    department: Option<Text<'a>>,
    #[serde(borrow)]
    manager: Option<Manager<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Manager<'a> {
    #[serde(borrow)]
    value: Option<Text<'a>>,
    #[serde(borrow)]
    display_name: Option<Text<'a>>,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $method:ident = $($field:ident).+, $path:expr;)+) => {
        impl User<'_> {
            $($(#[$doc])*
            #[must_use]
            pub fn $method(&self) -> Option<Value<'_>> {
                Some(Value::new(self.$($field).+.as_ref()?.present()?, $path))
            })+
        }
    };
}

texts! {
    /// `userName`.
    user_name = core.user_name, "userName";
    /// `externalId`.
    external_id = core.external_id, "externalId";
    /// `displayName`.
    display_name = core.display_name, "displayName";
    /// `nickName`.
    nick_name = core.nick_name, "nickName";
    /// `userType`.
    user_type = core.user_type, "userType";
    /// `title`.
    title = core.title, "title";
    /// `locale`.
    locale = core.locale, "locale";
    /// `preferredLanguage`.
    preferred_language = core.preferred_language, "preferredLanguage";
    /// `timezone`.
    timezone = core.timezone, "timezone";
    /// `name.formatted`.
    formatted_name = name.formatted, "name.formatted";
    /// `name.givenName`.
    given_name = name.given_name, "name.givenName";
    /// `name.middleName`.
    middle_name = name.middle_name, "name.middleName";
    /// `name.familyName`.
    family_name = name.family_name, "name.familyName";
    /// The enterprise extension's `employeeNumber`.
    employee_number = enterprise.employee_number, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber";
    /// The enterprise extension's `costCenter`.
    cost_center = enterprise.cost_center, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter";
    /// The enterprise extension's `organization`.
    organization = enterprise.organization, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization";
    /// The enterprise extension's `division`.
    division = enterprise.division, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division";
    /// The enterprise extension's `department`.
    department = enterprise.department, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
}

impl<'a> User<'a> {
    /// Reads the JSON text of a user in Rolecall's normal form.
    ///
    /// # Errors
    /// When it is no such text.
    pub fn from_json(json: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    /// `active`.
    #[must_use]
    pub fn active(&self) -> Option<bool> {
        self.active
    }

    /// All `emails`.
    #[must_use]
    pub fn emails(&self) -> &[Email<'a>] {
        &self.emails
    }

    /// The first address of that type.
    #[must_use]
    pub fn email(&self, kind: &str) -> Option<Value<'_>> {
        let of_kind = |email: &&Email<'_>| email.kind().is_some_and(|found| found.eq_ignore_ascii_case(kind));
        let address = self.emails.iter().filter(of_kind).find_map(Email::address)?;
        Some(Value::new(address, ["emails[type eq \"", kind, "\"].value"].concat()))
    }

    /// The primary address; else the one for work, else the first.
    #[must_use]
    pub fn best_email(&self) -> Option<Value<'_>> {
        let primary = self.emails.iter().filter(|email| email.is_primary()).find_map(Email::address);
        primary
            .map(|address| Value::new(address, "emails[primary eq true].value"))
            .or_else(|| self.email("work"))
            .or_else(|| Some(Value::new(self.emails.iter().find_map(Email::address)?, "emails.value")))
    }

    /// The manager as the identity provider names them: the enterprise extension's `manager.value`.
    #[must_use]
    pub fn manager(&self) -> Option<Value<'_>> {
        let value = self.enterprise.manager.as_ref()?.value.as_ref()?.present()?;
        Some(Value::new(value, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value"))
    }

    /// The manager's name: the enterprise extension's `manager.displayName`.
    #[must_use]
    pub fn manager_name(&self) -> Option<Value<'_>> {
        let name = self.enterprise.manager.as_ref()?.display_name.as_ref()?.present()?;
        Some(Value::new(name, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.displayName"))
    }

    /// A custom extension by its URN, if the person has it and it is an object.
    #[must_use]
    pub fn extension(&self, urn: &str) -> Option<Extension> {
        let (_, raw) = self.extensions.iter().find(|(name, _)| name.0.eq_ignore_ascii_case(urn))?;
        let attributes = serde_json::from_str(raw.get()).ok()?;
        Some(Extension { urn: urn.to_owned(), attributes })
    }
}

/// The attributes of a custom extension.
#[derive(Debug)]
pub struct Extension {
    urn: String,
    attributes: serde_json::Map<String, serde_json::Value>,
}

impl Extension {
    /// An attribute as it is.
    #[must_use]
    pub fn get(&self, attribute: &str) -> Option<&serde_json::Value> {
        self.attributes.get(attribute)
    }

    /// A text attribute that is not blank.
    #[must_use]
    pub fn text(&self, attribute: &str) -> Option<Value<'_>> {
        let text = self.get(attribute)?.as_str()?.trim();
        (!text.is_empty()).then(|| Value::new(text, format!("{}:{attribute}", self.urn)))
    }

    /// The texts of a multi-valued attribute that are not blank.
    #[must_use]
    pub fn texts(&self, attribute: &str) -> Vec<Value<'_>> {
        let elements = self.get(attribute).and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts = elements.iter().filter_map(serde_json::Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        texts.map(|text| Value::new(text, format!("{}:{attribute}", self.urn))).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for User<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UserVisitor;
        impl<'de> Visitor<'de> for UserVisitor {
            type Value = User<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a SCIM User")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut user = User::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match key.0.as_ref() {
                        "userName" => user.core.user_name = Some(map.next_value()?),
                        "externalId" => user.core.external_id = Some(map.next_value()?),
                        "displayName" => user.core.display_name = Some(map.next_value()?),
                        "nickName" => user.core.nick_name = Some(map.next_value()?),
                        "userType" => user.core.user_type = Some(map.next_value()?),
                        "title" => user.core.title = Some(map.next_value()?),
                        "locale" => user.core.locale = Some(map.next_value()?),
                        "preferredLanguage" => user.core.preferred_language = Some(map.next_value()?),
                        "timezone" => user.core.timezone = Some(map.next_value()?),
                        "active" => user.active = Some(map.next_value()?),
                        "name" => user.name = map.next_value()?,
                        "emails" => user.emails = map.next_value()?,
                        ENTERPRISE => user.enterprise = map.next_value()?,
                        urn if urn.starts_with("urn:") => {
                            let raw = map.next_value()?;
                            user.extensions.push((key, raw));
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(user)
            }
        }
        deserializer.deserialize_map(UserVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Option<Value<'_>>) -> Option<(String, String)> {
        value.map(|value| (value.text().to_owned(), value.source().to_owned()))
    }

    fn pair(text: &str, source: &str) -> Option<(String, String)> {
        Some((text.to_owned(), source.to_owned()))
    }

    #[test]
    fn typed_attributes_know_their_paths() {
        let json = r#"{"schemas":["x"],"userName":"zo\u00eb@acme.example","active":true,"title":"  ","name":{"givenName":" Zoë ","honorificPrefix":"Dr"},
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"7","manager":{"value":"m-1","displayName":"Max"}},
            "urn:example:acme:2.0:User":{"dept":"Research","sites":["Ghent",""," Lille"],"level":4}}"#;
        let user = User::from_json(json).unwrap();
        assert_eq!(text(user.user_name()), pair("zoë@acme.example", "userName"));
        assert_eq!(text(user.given_name()), pair("Zoë", "name.givenName"));
        assert_eq!(text(user.title()), None, "a blank text is no value");
        assert_eq!(user.active(), Some(true));
        assert_eq!(text(user.employee_number()), pair("7", &format!("{ENTERPRISE}:employeeNumber")));
        assert_eq!(text(user.manager()), pair("m-1", &format!("{ENTERPRISE}:manager.value")));
        assert_eq!(text(user.manager_name()), pair("Max", &format!("{ENTERPRISE}:manager.displayName")));
        let extension = user.extension("urn:example:acme:2.0:user").unwrap();
        assert_eq!(extension.text("dept").unwrap().text(), "Research");
        assert_eq!(extension.texts("sites").iter().map(Value::text).collect::<Vec<_>>(), ["Ghent", "Lille"]);
        assert_eq!(extension.get("level").unwrap().as_i64(), Some(4));
        assert!(extension.text("level").is_none() && extension.texts("dept").is_empty());
        assert!(user.extension("urn:example:other").is_none());
    }

    #[test]
    fn the_best_email_is_primary_then_work_then_first() {
        let best = |emails: &str| {
            let json = format!(r#"{{"emails":{emails}}}"#);
            User::from_json(&json).unwrap().best_email().map(|email| email.text().to_owned())
        };
        assert_eq!(best(r#"[{"value":"a@x.example"},{"value":"b@x.example","type":"Work"}]"#).unwrap(), "b@x.example");
        assert_eq!(best(r#"[{"value":"b@x.example","type":"work"},{"value":"c@x.example","primary":true}]"#).unwrap(), "c@x.example");
        assert_eq!(best(r#"[{"type":"work"},{"value":"d@x.example","type":"home"}]"#).unwrap(), "d@x.example");
        assert_eq!(best("[]"), None);
    }

    #[test]
    fn what_is_no_user_is_an_error() {
        for json in ["", "[]", r#"{"userName":5}"#, r#"{"emails":{}}"#] {
            assert!(User::from_json(json).is_err(), "{json}");
        }
    }
}
