//! What is kept of the input of a call that failed: the tenant's rules, and the mask that takes values away and leaves their shape.
//!
//! The mask keeps what plugins mostly fail over: which attributes there are, of which types, how long a text is in characters and in
//! bytes, where it has digits, capitals, spaces and signs. It takes away what the text says. Pure.

use rolecall_scim::ResourceKind;
use rolecall_scim::path::Path;
use rolecall_scim::schema::Schemas;
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::mapping::AccountShape;

/// The longest path of a rule, in bytes.
const PATH_BYTES_LIMIT: usize = 256;
/// The most rules of a tenant.
const RULES_LIMIT: usize = 200;
/// The longest time that a failure is kept, in days.
pub(super) const KEEP_DAYS_LIMIT: u32 = 30;
/// The longest input that is kept of a failure, in bytes of JSON: most people are a few KiB.
const INPUT_BYTES_LIMIT: usize = 64 * 1024;
/// The most masked paths that are named.
const MASKED_LIMIT: usize = 200;
/// The most unknown paths that are told at once.
const NAMED_LIMIT: usize = 10;
/// A core attribute may be written with its schema's URN before it.
const CORE_PREFIX: &str = "urn:ietf:params:scim:schemas:core:2.0:user:";

/// What is shown unless a tenant says otherwise: what an organisation says of a post, not what tells one person from another. Mappings mostly
/// branch on these, so that a failure can be played again.
const SHOWN: &[&str] = &[
    "schemas",
    "active",
    "userType",
    "title",
    "preferredLanguage",
    "locale",
    "timezone",
    "roles",
    "entitlements",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "account.user_type",
    "account.title",
    "account.department",
    "account.division",
    "account.organization",
    "account.cost_center",
    "account.locale",
];
/// Sub-attributes that say which of several values one is, and nothing about anybody.
const SHOWN_BELOW: &[&str] = &["type", "primary"];

/// How much of inputs is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// All but what is shown is masked.
    #[default]
    Masked,
    /// All but what is to be masked, as it is.
    All,
    /// No inputs, and none of the plugin's words.
    None,
}

/// `[plugins.failures]` of `tenant.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailureRules {
    /// How much of inputs is kept.
    pub keep: Keep,
    /// Paths whose values are kept as they are, beside the usual ones.
    pub show: Vec<String>,
    /// Paths whose values are masked, whatever else is said of them.
    pub mask: Vec<String>,
    /// How long a failure is kept after it was last seen, in days.
    pub keep_days: u32,
    /// Whether people whom the plugin refuses are kept as faults are.
    pub refusals: bool,
}

impl Default for FailureRules {
    fn default() -> Self {
        /// A week: from a Friday's activation to somebody who looks on Monday, and has time.
        const KEEP_DAYS: u32 = 7;
        Self { keep: Keep::default(), show: Vec::new(), mask: Vec::new(), keep_days: KEEP_DAYS, refusals: false }
    }
}

impl FailureRules {
    /// What is wrong with them.
    pub(super) fn problem(&self) -> Option<String> {
        if !(1..=KEEP_DAYS_LIMIT).contains(&self.keep_days) {
            return Some(format!("`keep_days` must be from 1 to {KEEP_DAYS_LIMIT}"));
        }
        if self.show.len() + self.mask.len() > RULES_LIMIT {
            return Some(format!("`show` and `mask` name more than {RULES_LIMIT} paths"));
        }
        let sound = |path: &&String| {
            !path.is_empty() && path.len() <= PATH_BYTES_LIMIT && !path.contains(|c: char| c.is_whitespace() || "[]\"".contains(c))
        };
        let broken = self.show.iter().chain(&self.mask).find(|path| !sound(path))?;
        Some(format!("`{broken}` is no path: write an attribute, `name.givenName`, an extension's URN, or `account.` and an attribute"))
    }

    /// The paths that name nothing that a person or an account has: a misspelt one would leave in clear what it was to mask.
    pub(super) fn unknown(&self, schemas: &Schemas) -> Option<String> {
        // What no path can be is told by `problem`.
        let unknown = self.show.iter().chain(&self.mask).filter_map(|path| Some((path, unknown(path, schemas)?)));
        let named: Vec<String> = unknown.take(NAMED_LIMIT).map(|(path, why)| format!("`{path}` {why}")).collect();
        (!named.is_empty()).then(|| named.join("; "))
    }

    /// Takes away of a user what is not to be kept; gives the paths that were masked.
    #[must_use]
    pub fn redact_user(&self, user: &mut Value) -> Vec<String> {
        let mut masked = Vec::new();
        for (name, value) in user.as_object_mut().into_iter().flatten() {
            match value {
                Value::Object(members) if is_extension(name) => {
                    members.iter_mut().for_each(|(member, value)| self.redact(value, &format!("{name}:{member}"), &mut masked));
                }
                value => self.redact(value, name, &mut masked),
            }
        }
        masked
    }

    /// Takes away of an account what is not to be kept; gives the paths that were masked.
    #[must_use]
    pub fn redact_account(&self, account: &mut Value) -> Vec<String> {
        let mut masked = Vec::new();
        self.redact(account, "account", &mut masked);
        masked
    }

    /// Why an input of this size is not kept, if it is not.
    #[must_use]
    pub fn too_large(bytes: usize) -> Option<String> {
        (bytes > INPUT_BYTES_LIMIT).then(|| format!("the input has {bytes} bytes, and at most {INPUT_BYTES_LIMIT} are kept"))
    }

    fn redact(&self, value: &mut Value, path: &str, masked: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                members.iter_mut().for_each(|(name, value)| self.redact(value, &format!("{path}.{name}"), masked));
                return;
            }
            Value::Array(values) => return values.iter_mut().for_each(|value| self.redact(value, path, masked)),
            Value::Null | Value::Bool(_) => return,
            Value::Number(_) | Value::String(_) if self.shows(path) => return,
            Value::Number(number) => *number = masked_number(number),
            Value::String(text) => *text = mask(text),
        }
        if masked.len() < MASKED_LIMIT && !masked.iter().any(|known| known == path) {
            masked.push(path.to_owned());
        }
    }

    fn shows(&self, path: &str) -> bool {
        let covered = |rules: &[String]| rules.iter().any(|rule| covers(rule, path));
        if covered(&self.mask) {
            return false;
        }
        self.keep == Keep::All
            || covered(&self.show)
            || SHOWN.iter().any(|rule| covers(rule, path))
            // In an extension they may be anything: RFC 7643 §2.4 says what they are of the core's own.
            || !is_extension(path) && path.rsplit_once('.').is_some_and(|(_, below)| SHOWN_BELOW.contains(&below))
    }
}

/// Why a path names nothing, if it does: as [`covers`] reads it.
fn unknown(path: &str, schemas: &Schemas) -> Option<String> {
    let mut parts = path.split('.');
    if parts.next().is_some_and(|first| first.eq_ignore_ascii_case("account")) {
        let known = |name: &str| AccountShape::ATTRIBUTES.iter().any(|known| known.eq_ignore_ascii_case(name));
        return match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(name), None) if known(name) => None,
            (Some(tags), Some(_)) if tags.eq_ignore_ascii_case("tags") => None,
            _ => Some(format!("is no attribute of an account: it has {}", AccountShape::ATTRIBUTES.join(", "))),
        };
    }
    match Path::parse(schemas, path) {
        Ok(Path::Extension(urn)) if schemas.extension(ResourceKind::User, &urn).is_some() => None,
        Ok(Path::Attribute(named)) => match schemas.resolve(ResourceKind::User, &named) {
            // Of two schemas that have the name, the one that is meant is not to be guessed.
            Some(found) if found.extension.is_some() && named.urn.is_none() => {
                Some("is an extension's: write its URN before it".to_owned())
            }
            Some(_) => None,
            None => Some("is no attribute of a User".to_owned()),
        },
        _ => Some("is no attribute of a User".to_owned()),
    }
}

fn is_extension(name: &str) -> bool {
    name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
}

/// Whether a rule is about a path: the path itself, or what is above it.
fn covers(rule: &str, path: &str) -> bool {
    let core = rule.get(..CORE_PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(CORE_PREFIX));
    let rule = core.map_or(rule, |prefix| &rule[prefix.len()..]);
    let Some(start) = path.get(..rule.len()) else { return false };
    start.eq_ignore_ascii_case(rule) && path[rule.len()..].chars().next().is_none_or(|next| next == '.' || next == ':')
}

/// The text's shape: as many characters and bytes, of the same classes.
fn mask(text: &str) -> String {
    text.chars().map(masked_letter).collect()
}

/// A letter or digit that says nothing, as long in UTF-8. What is neither stays: it is what parsers fall over.
fn masked_letter(letter: char) -> char {
    match (letter.len_utf8(), letter.is_uppercase()) {
        _ if !letter.is_alphanumeric() => letter,
        (1, _) if letter.is_ascii_digit() => '0',
        (1, true) => 'X',
        (1, false) => 'x',
        (2, true) => 'É',
        (2, false) => 'é',
        (3, true) => 'Ạ',
        (3, false) => '字',
        _ => '𠀀',
    }
}

/// A number with as many digits.
fn masked_number(number: &Number) -> Number {
    let digits: String = number.to_string().chars().map(|c| if c.is_ascii_digit() { '1' } else { c }).collect();
    digits.parse().unwrap_or_else(|_| 1.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(text: &str) -> FailureRules {
        toml::from_str(text).unwrap()
    }

    fn redacted(rules: &FailureRules) -> (Value, Vec<String>) {
        let mut user = json!({
            "userName": "Ann.Lee7@localhost", "active": true, "title": "Head of Sales", "name": {"familyName": "Žižek"},
            "emails": [{"type": "work", "primary": true, "value": "ann@localhost"}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
                {"department": "Sales", "employeeNumber": "701", "manager": {"displayName": "Max"}},
            "urn:example:acme:2.0:User": {"salary": -4200, "type": "a", "grade": {"step": 2.5, "type": "b"}},
        });
        let masked = rules.redact_user(&mut user);
        (user, masked)
    }

    #[test]
    fn values_of_a_person_lose_what_they_say_and_keep_their_shape() {
        let (user, masked) = redacted(&FailureRules::default());
        let expected = json!({
            "userName": "Xxx.Xxx0@xxxxxxxxx", "active": true, "title": "Head of Sales", "name": {"familyName": "Éxéxx"},
            "emails": [{"type": "work", "primary": true, "value": "xxx@xxxxxxxxx"}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
                {"department": "Sales", "employeeNumber": "000", "manager": {"displayName": "Xxx"}},
            "urn:example:acme:2.0:User": {"salary": -1111, "type": "x", "grade": {"step": 1.1, "type": "x"}},
        });
        assert_eq!(user, expected);
        assert_eq!(masked.len(), 9, "{masked:?}");
        assert!(masked.contains(&"urn:example:acme:2.0:User:grade.step".to_owned()), "{masked:?}");
        let mut account = json!({"user_name": "ann", "title": "Head", "tags": {"team": ["Blue"]}});
        assert_eq!(FailureRules::default().redact_account(&mut account), ["account.user_name", "account.tags.team"]);
        assert_eq!(account, json!({"user_name": "xxx", "title": "Head", "tags": {"team": ["Xxxx"]}}));
    }

    #[test]
    fn a_tenant_says_what_is_shown_and_what_is_masked() {
        let (user, masked) = redacted(&rules("show = [\"username\", \"urn:example:acme:2.0:user\"]\nmask = [\"title\"]\n"));
        assert_eq!((&user["userName"], &user["title"]), (&json!("Ann.Lee7@localhost"), &json!("Xxxx xx Xxxxx")));
        assert_eq!(user["urn:example:acme:2.0:User"]["salary"], -4200);
        assert!(!masked.iter().any(|path| path.starts_with("urn:example")), "{masked:?}");
        let core = format!("{CORE_PREFIX}name.familyName");
        let (user, masked) = redacted(&rules(&format!("keep = \"all\"\nmask = [\"{core}\", \"emails\"]\nshow = [\"emails.value\"]\n")));
        assert_eq!(masked, ["name.familyName", "emails.type", "emails.value"]);
        assert_eq!(user["userName"], "Ann.Lee7@localhost");
    }

    #[test]
    fn a_mask_is_as_long_as_what_it_hides() {
        for text in ["", "a b\u{7}", "İstanbul", "日本語 テキスト", "𝒜𝓃𝓃 🎉", "e\u{301}٣Ω", "ẞ\u{10428}"] {
            let masked = mask(text);
            assert_eq!((masked.len(), masked.chars().count()), (text.len(), text.chars().count()), "{text} → {masked}");
        }
        assert_eq!(masked_number(&Number::from(9_007_199_254_740_993_i64)), Number::from(1_111_111_111_111_111_i64));
        assert_eq!(masked_number(&Number::from(-3)), Number::from(-1));
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for text in ["keep_days = 0", "keep_days = 31", "show = [\"emails[type eq 1]\"]", "mask = [\"\"]", "mask = [\"a b\"]"] {
            assert!(rules(text).problem().is_some(), "{text}");
        }
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        for (path, known) in [
            ("userName".to_owned(), true),
            ("username".to_owned(), true),
            ("name.givenName".to_owned(), true),
            ("emails.value".to_owned(), true),
            ("emails.valeu".to_owned(), false),
            ("displaynam".to_owned(), false),
            (format!("{CORE_PREFIX}name.familyName"), true),
            (format!("{CORE_PREFIX}nosuch"), false),
            (enterprise.to_owned(), true),
            (format!("{enterprise}:manager.displayName"), true),
            (format!("{enterprise}:salary"), false),
            ("employeeNumber".to_owned(), false),
            ("urn:x:y".to_owned(), false),
            ("urn:x:y:salary".to_owned(), false),
            ("account".to_owned(), true),
            ("account.tags".to_owned(), true),
            ("account.tags.team".to_owned(), true),
            ("Account.User_Name".to_owned(), true),
            ("account.nosuch".to_owned(), false),
            ("account.title.x".to_owned(), false),
        ] {
            let text = format!("mask = [\"{path}\"]");
            let (rules, standard) = (rules(&text), Schemas::standard());
            assert_eq!(rules.unknown(&standard).is_none(), known, "{path}: {:?}", rules.unknown(&standard));
            // What is known is what is found.
            let covered = if path.to_ascii_lowercase().starts_with("account") { path.clone() } else { path.replace(CORE_PREFIX, "") };
            assert!(!known || covers(&path, &covered), "{path}");
        }
        let own = rules(&format!("mask = {:?}\nshow = [\"nosuch\"]", SHOWN));
        assert_eq!(own.unknown(&Schemas::standard()).as_deref(), Some("`nosuch` is no attribute of a User"));
        assert!(toml::from_str::<FailureRules>("keep = \"some\"").is_err() && toml::from_str::<FailureRules>("colour = 1").is_err());
        assert_eq!(FailureRules::default().problem(), None);
    }
}
