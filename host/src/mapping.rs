//! What a mapping makes of a SCIM User: the account's shape, its bounds, and the mapping that applies without a plugin.
//! Pure; knows nothing of Wasm.

mod calendar;
mod conditions;

use std::collections::BTreeMap;

use rolecall_scim::schema::{ENTERPRISE, GROUP, USER};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::Tags;

pub use calendar::{Calendar, Dates};
pub use conditions::Conditions;

/// The longest text in a shape, in bytes: what it is stored, shown and compared with in columns and policies.
pub const TEXT_BYTES_LIMIT: usize = 1_024;
/// The most tags of a shape: each becomes a Cedar value for every decision.
pub const TAGS_LIMIT: usize = 64;
/// The most values of a tag, for the same reason.
pub const TAG_VALUES_LIMIT: usize = 64;

/// The local account as the mapping shapes it. Every text is 1 to [`TEXT_BYTES_LIMIT`] bytes without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountShape {
    /// The login name.
    pub user_name: String,
    /// The name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// The family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// The address to write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Employee, contractor …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_type: Option<String>,
    /// The job title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// The division.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub division: Option<String>,
    /// The organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The cost centre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_center: Option<String>,
    /// The person's number in the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub employee_number: Option<String>,
    /// The manager, as the identity provider names them (a SCIM id or its own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// For dates, numbers and currency: a language tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Extensions and what the mapping derived: sets of text by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
}

/// A mapping's answer.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one at a time is made and taken apart; most are accounts")]
pub enum Mapping {
    /// An account.
    Account {
        /// Its shape.
        shape: AccountShape,
        /// For each attribute of the shape, the SCIM path or rule that its value came from.
        provenance: BTreeMap<String, String>,
    },
    /// This person is none of the tenant's.
    OutOfScope {
        /// Why.
        reason: String,
    },
    /// This person is refused.
    Refused {
        /// A stable word.
        code: String,
        /// The SCIM path concerned.
        path: Option<String>,
        /// What is wrong and what to do.
        message: String,
    },
}

impl AccountShape {
    /// The names of the attributes as they are written in JSON.
    pub const ATTRIBUTES: &'static [&'static str] = &[
        "user_name",
        "display_name",
        "given_name",
        "family_name",
        "email",
        "user_type",
        "title",
        "department",
        "division",
        "organization",
        "cost_center",
        "employee_number",
        "manager",
        "locale",
        "tags",
    ];

    /// Whether the shape keeps to its bounds.
    ///
    /// # Errors
    /// The JSON path of the first attribute that does not, and what is wrong with it.
    pub fn check(&self) -> Result<(), (String, String)> {
        if self.user_name.trim() != self.user_name {
            return Err(("user_name".into(), "begins or ends with white space".into()));
        }
        for (name, value) in self.texts() {
            check_text(value).map_err(|wrong| (name.to_owned(), wrong))?;
        }
        if self.tags.len() > TAGS_LIMIT {
            return Err(("tags".into(), format!("has {} tags: at most {TAGS_LIMIT} are allowed", self.tags.len())));
        }
        for (number, (tag, values)) in self.tags.iter().enumerate() {
            check_text(tag).map_err(|wrong| ("tags".to_owned(), format!("the name of tag {} {wrong}", number + 1)))?;
            if values.len() > TAG_VALUES_LIMIT {
                return Err((format!("tags.{tag}"), format!("has {} values: at most {TAG_VALUES_LIMIT} are allowed", values.len())));
            }
            for value in values {
                check_text(value).map_err(|wrong| (format!("tags.{tag}"), format!("a value {wrong}")))?;
            }
        }
        Ok(())
    }

    /// The first tag that is none of those that a tenant declares, or has a value that is not declared for it, and what is wrong with it.
    /// Never the value: it may be personal.
    #[must_use]
    pub fn undeclared(&self, declared: &Tags) -> Option<(&str, &'static str)> {
        self.tags.iter().find_map(|(tag, values)| match declared.get(tag) {
            None => Some((tag.as_str(), "the tag is not declared under `[tags]` in tenant.toml")),
            Some(known) if !known.is_empty() && !values.is_subset(known) => {
                Some((tag.as_str(), "a value of the tag is none of those that `[tags]` in tenant.toml declares for it"))
            }
            Some(_) => None,
        })
    }

    /// The texts that are there, by name.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&'static str, &String)> {
        [
            ("user_name", Some(&self.user_name)),
            ("display_name", self.display_name.as_ref()),
            ("given_name", self.given_name.as_ref()),
            ("family_name", self.family_name.as_ref()),
            ("email", self.email.as_ref()),
            ("user_type", self.user_type.as_ref()),
            ("title", self.title.as_ref()),
            ("department", self.department.as_ref()),
            ("division", self.division.as_ref()),
            ("organization", self.organization.as_ref()),
            ("cost_center", self.cost_center.as_ref()),
            ("employee_number", self.employee_number.as_ref()),
            ("manager", self.manager.as_ref()),
            ("locale", self.locale.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// What is wrong with a text, if something is. Never the text itself: it may be personal.
fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty: leave it out instead".into());
    }
    if text.len() > TEXT_BYTES_LIMIT {
        return Err(format!("has {} bytes: at most {TEXT_BYTES_LIMIT} are allowed", text.len()));
    }
    if has_control(text) {
        return Err("has a control character".into());
    }
    Ok(())
}

/// Whether a text has a control character. Its bytes are looked at first, without a branch for each: nearly no text has one that may begin such a
/// character.
pub(crate) fn has_control(text: &str) -> bool {
    let may_be = text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == 0x7f) | (byte == 0xc2));
    may_be && text.contains(char::is_control)
}

impl Mapping {
    /// The mapping of a tenant without a plugin: core and enterprise attributes as they are. The values of `roles`, `entitlements`
    /// and of the tenant's own extensions become tags, the latter named `urn:…:attribute`. A text beyond the bounds is cut to them,
    /// so that any person that SCIM lets in has an account; only a user name that can't be one is refused.
    #[must_use]
    pub fn default_for(user: &Value) -> Self {
        let user_name = user["userName"].as_str().unwrap_or_default();
        if check_text(user_name.trim()).is_err() {
            return Self::Refused {
                code: "invalid_user_name".into(),
                path: Some("userName".into()),
                message: format!("the user name must have 1 to {TEXT_BYTES_LIMIT} bytes and no control characters"),
            };
        }
        let mut taken = Taken { user, provenance: BTreeMap::new() };
        let enterprise = |name: &str| (format!("{ENTERPRISE}:{name}"), user[ENTERPRISE][name].as_str());
        let core = |name: &str| (name.to_owned(), user[name].as_str());
        let shape = AccountShape {
            user_name: taken.take("user_name", core("userName")).unwrap_or_default(),
            display_name: taken.take("display_name", core("displayName")).or_else(|| {
                let formatted = ("name.formatted".to_owned(), user["name"]["formatted"].as_str());
                taken.take("display_name", formatted)
            }),
            given_name: taken.take("given_name", ("name.givenName".into(), user["name"]["givenName"].as_str())),
            family_name: taken.take("family_name", ("name.familyName".into(), user["name"]["familyName"].as_str())),
            email: taken.email(),
            user_type: taken.take("user_type", core("userType")),
            title: taken.take("title", core("title")),
            department: taken.take("department", enterprise("department")),
            division: taken.take("division", enterprise("division")),
            organization: taken.take("organization", enterprise("organization")),
            cost_center: taken.take("cost_center", enterprise("costCenter")),
            employee_number: taken.take("employee_number", enterprise("employeeNumber")),
            manager: taken.take("manager", (format!("{ENTERPRISE}:manager.value"), user[ENTERPRISE]["manager"]["value"].as_str())),
            locale: taken.take("locale", core("locale")),
            tags: taken.tags(),
        };
        Self::Account { shape, provenance: taken.provenance }
    }

    /// [`Mapping::default_for`] of a tenant that declares its tags: of what a person has those alone are taken, since no policy can name
    /// another one, and a value that is not declared for its tag refuses the person, since it may be a slip of one that is.
    #[must_use]
    pub fn default_with(user: &Value, declared: &Tags) -> Self {
        let Self::Account { mut shape, mut provenance } = Self::default_for(user) else { return Self::default_for(user) };
        shape.tags.retain(|tag, _| declared.contains_key(tag));
        provenance.retain(|attribute, _| attribute.strip_prefix("tags.").is_none_or(|tag| declared.contains_key(tag)));
        match shape.undeclared(declared) {
            Some((tag, problem)) => {
                Self::Refused { code: "undeclared_value".into(), path: Some(tag.to_owned()), message: format!("`{tag}`: {problem}") }
            }
            None => Self::Account { shape, provenance },
        }
    }
}

/// What the default mapping has taken from a user so far.
struct Taken<'a> {
    user: &'a Value,
    provenance: BTreeMap<String, String>,
}

impl Taken<'_> {
    /// The value at a SCIM path for an attribute of the shape, and a note of where it came from.
    fn take(&mut self, attribute: &str, (path, value): (String, Option<&str>)) -> Option<String> {
        let value = fitted(value?)?;
        self.provenance.insert(attribute.to_owned(), path);
        Some(value)
    }

    /// The primary address, else the one for work, else the first.
    fn email(&mut self) -> Option<String> {
        /// A SCIM path and the addresses that it is about.
        type Rule = (&'static str, fn(&Value) -> bool);
        let emails = self.user["emails"].as_array()?;
        let has_value = |email: &&Value| email["value"].as_str().and_then(fitted).is_some();
        let rules: [Rule; 3] = [
            ("emails[primary eq true].value", |email| email["primary"] == true),
            ("emails[type eq \"work\"].value", |email| email["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("work"))),
            ("emails.value", |_| true),
        ];
        let (path, email) = rules.into_iter().find_map(|(path, rule)| {
            let found = emails.iter().filter(has_value).find(|email| rule(email))?;
            Some((path, found["value"].as_str()))
        })?;
        self.take("email", (path.to_owned(), email))
    }

    fn tags(&mut self) -> Tags {
        let mut tags = Tags::new();
        for name in ["entitlements", "roles"] {
            self.tag(&mut tags, name, &self.user[name]);
        }
        let own = |urn: &str| urn.starts_with("urn:") && ![USER, GROUP, ENTERPRISE].contains(&urn);
        let extensions = self.user.as_object().into_iter().flatten().filter(|(urn, _)| own(urn));
        for (urn, attributes) in extensions {
            for (name, value) in attributes.as_object().unwrap_or(&Map::new()) {
                self.tag(&mut tags, &format!("{urn}:{name}"), value);
            }
        }
        tags
    }

    fn tag(&mut self, tags: &mut Tags, path: &str, value: &Value) {
        let mut values = std::collections::BTreeSet::new();
        for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
            let text = match value {
                Value::String(text) => Some(text.clone()),
                Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
                // A complex value stands for what it is a value of.
                Value::Object(parts) => parts.get("value").and_then(Value::as_str).map(str::to_owned),
                Value::Null | Value::Array(_) => None,
            };
            values.extend(text.as_deref().and_then(fitted).filter(|_| values.len() < TAG_VALUES_LIMIT));
        }
        if !values.is_empty() && tags.len() < TAGS_LIMIT && check_text(path).is_ok() {
            self.provenance.insert(format!("tags.{path}"), path.to_owned());
            tags.insert(path.to_owned(), values);
        }
    }
}

/// The text within its bounds; `None` when nothing is left.
fn fitted(text: &str) -> Option<String> {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    while text.len() > TEXT_BYTES_LIMIT {
        text.pop();
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn account(user: &Value) -> (AccountShape, BTreeMap<String, String>) {
        match Mapping::default_for(user) {
            Mapping::Account { shape, provenance } => (shape, provenance),
            other => panic!("no account: {other:?}"),
        }
    }

    #[test]
    fn of_declared_tags_no_other_is_taken_and_no_other_value_is_believed() {
        let declared = Tags::from([("roles".into(), ["admin".to_owned()].into()), ("entitlements".into(), BTreeSet::new())]);
        let user = |role: &str| {
            json!({"userName": "ada", "roles": [{"value": role}], "entitlements": [{"value": "any"}],
                   "urn:acme:params:scim:schemas:extension:hr:1.0:User": {"dept": "S-1"}})
        };
        let Mapping::Account { shape, provenance } = Mapping::default_with(&user("admin"), &declared) else { panic!("no account") };
        assert_eq!(shape.tags.keys().collect::<Vec<_>>(), ["entitlements", "roles"]);
        assert_eq!(provenance.keys().filter(|attribute| attribute.starts_with("tags.")).count(), 2);
        assert_eq!(shape.undeclared(&declared), None);
        match Mapping::default_with(&user("secret"), &declared) {
            Mapping::Refused { code, path, message } => {
                assert_eq!((code.as_str(), path.as_deref()), ("undeclared_value", Some("roles")));
                assert!(!message.contains("secret"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        let plain = AccountShape { tags: Tags::from([("team".into(), BTreeSet::new())]), ..shape };
        assert_eq!(plain.undeclared(&declared).map(|(tag, _)| tag), Some("team"));
    }

    #[test]
    fn core_and_enterprise_attributes_are_taken_with_their_paths() {
        let (shape, provenance) = account(&json!({
            "userName": "nadia.example", "name": {"givenName": "Nadia", "familyName": "Ørsted", "formatted": "Nadia Ørsted"},
            "emails": [{"value": "home@example.com", "type": "home"}, {"value": "work@example.com", "type": "Work"}],
            ENTERPRISE: {"department": "Sales", "manager": {"value": "271"}},
            "urn:acme:params:scim:schemas:extension:hr:1.0:User": {"dept": "S-1", "grades": ["a", "b"], "remote": true},
            "roles": [{"value": "admin"}],
        }));
        assert_eq!(shape.display_name.as_deref(), Some("Nadia Ørsted"));
        assert_eq!(shape.email.as_deref(), Some("work@example.com"));
        assert_eq!((shape.department.as_deref(), shape.manager.as_deref()), (Some("Sales"), Some("271")));
        let urn = "urn:acme:params:scim:schemas:extension:hr:1.0:User";
        let tags: Vec<(&str, Vec<&str>)> =
            shape.tags.iter().map(|(tag, values)| (tag.as_str(), values.iter().map(String::as_str).collect())).collect();
        let (dept, grades, remote) = (format!("{urn}:dept"), format!("{urn}:grades"), format!("{urn}:remote"));
        assert_eq!(tags, [("roles", vec!["admin"]), (&dept, vec!["S-1"]), (&grades, vec!["a", "b"]), (&remote, vec!["true"])]);
        assert_eq!(provenance["display_name"], "name.formatted");
        assert_eq!(provenance["email"], "emails[type eq \"work\"].value");
        assert_eq!(provenance["department"], format!("{ENTERPRISE}:department"));
        assert!(!provenance.contains_key("title"));
    }

    #[test]
    fn the_primary_address_wins_over_work_and_empty_ones_are_none() {
        let email = |emails: Value| account(&json!({"userName": "u", "emails": emails})).0.email;
        let (work, first) = (json!({"value": "w@example.com", "type": "work"}), json!({"value": "f@example.com"}));
        let primary = json!({"value": "p@example.com", "primary": true});
        assert_eq!(email(json!([first, work, primary])).as_deref(), Some("p@example.com"));
        assert_eq!(email(json!([first, work])).as_deref(), Some("w@example.com"));
        assert_eq!(email(json!([first])).as_deref(), Some("f@example.com"));
        assert_eq!(email(json!([{"value": " ", "primary": true}, first])).as_deref(), Some("f@example.com"));
        assert_eq!(email(json!([])), None);
    }

    #[test]
    fn every_attribute_is_named() {
        let shape = AccountShape {
            user_name: "u".into(),
            display_name: Some("x".into()),
            given_name: Some("x".into()),
            family_name: Some("x".into()),
            email: Some("x".into()),
            user_type: Some("x".into()),
            title: Some("x".into()),
            department: Some("x".into()),
            division: Some("x".into()),
            organization: Some("x".into()),
            cost_center: Some("x".into()),
            employee_number: Some("x".into()),
            manager: Some("x".into()),
            locale: Some("x".into()),
            tags: Tags::from([("t".into(), ["v".into()].into())]),
        };
        let json = serde_json::to_value(&shape).unwrap();
        let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, AccountShape::ATTRIBUTES);
        assert_eq!(shape.texts().count(), AccountShape::ATTRIBUTES.len() - 1);
    }

    #[test]
    fn what_breaks_the_bounds_is_named() {
        let base = || AccountShape { user_name: "u".into(), ..AccountShape::default() };
        let many: Tags = (0..=TAGS_LIMIT).map(|n| (format!("t{n}"), ["v".to_owned()].into())).collect();
        let values = Tags::from([("t".into(), (0..=TAG_VALUES_LIMIT).map(|n| n.to_string()).collect())]);
        let cases = [
            (AccountShape::default(), "user_name", "empty"),
            (AccountShape { user_name: " u".into(), ..base() }, "user_name", "white space"),
            (AccountShape { title: Some("x".repeat(TEXT_BYTES_LIMIT + 1)), ..base() }, "title", "1025 bytes"),
            (AccountShape { email: Some("a\u{0}b".into()), ..base() }, "email", "control"),
            (AccountShape { tags: many, ..base() }, "tags", "65 tags"),
            (AccountShape { tags: values, ..base() }, "tags.t", "65 values"),
            (AccountShape { tags: Tags::from([("t".into(), [String::new()].into())]), ..base() }, "tags.t", "empty"),
            (AccountShape { tags: Tags::from([(String::new(), ["v".into()].into())]), ..base() }, "tags", "tag 1 is empty"),
        ];
        for (shape, path, wrong) in cases {
            let (found, message) = shape.check().unwrap_err();
            assert_eq!(found, path);
            assert!(message.contains(wrong), "{message}");
        }
        assert_eq!(base().check(), Ok(()));
    }

    #[test]
    fn a_user_name_that_can_be_none_is_refused() {
        for user in [json!({}), json!({"userName": " "}), json!({"userName": "a\u{7}"}), json!({"userName": "x".repeat(2_000)})] {
            assert!(matches!(Mapping::default_for(&user), Mapping::Refused { path: Some(path), .. } if path == "userName"));
        }
    }

    proptest! {
        /// Whatever SCIM lets in, the default mapping keeps to the bounds.
        #[test]
        fn the_default_mapping_keeps_to_the_bounds(name in "\\PC{1,40}", text in any::<String>(), long in 0_usize..3_000, values in proptest::collection::vec(any::<String>(), 0..80)) {
            let text = format!("{text}{}", "é".repeat(long));
            let user = json!({
                "userName": name, "displayName": text, "title": text, "emails": [{"value": text}],
                ENTERPRISE: {"department": text, "manager": {"value": text}}, "roles": values, "urn:example:x": {"a": values, "b": text},
            });
            if let Mapping::Account { shape, .. } = Mapping::default_for(&user) {
                prop_assert_eq!(shape.check(), Ok(()));
            } else {
                prop_assert!(name.trim().is_empty());
            }
        }
    }
}
