//! Test people and test groups that clients make to see whether a connection works: `[probes]` in `tenant.toml`, and Rolecall's own.

use rolecall_scim::filter::fold;
use rolecall_scim::resource::Document;
use serde::{Deserialize, Serialize};

use super::Instant;

/// How the user name of a person ends whom `rolecall connection probe` makes: `.invalid` is nobody's (RFC 2606 §2).
pub const PROBE_DOMAIN: &str = "@probe.invalid";
/// How the name of a group begins that it makes.
pub const PROBE_GROUP: &str = "rolecall-probe-";
/// The most names that a tenant may give: a client has one test person and one test group.
pub const PROBE_NAMES_LIMIT: usize = 20;
/// For how long a test person may be parked, in minutes: the shortest and the longest. Clients take theirs away within seconds.
pub const PROBE_MINUTES: (u32, u32) = (1, 60);

/// What a tenant says of clients' own tests. Whoever has one of these names waits before they are decided; nobody is hidden by it, because
/// waiting ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeSettings {
    /// User names or e-mail addresses of test people, and display names of test groups, as they are typed into the identity provider.
    pub names: Vec<String>,
    /// After how many minutes a test person who is still there is decided like anybody else.
    pub minutes: u32,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self::USUAL
    }
}

impl ProbeSettings {
    /// What holds where a tenant says nothing.
    pub const USUAL: Self = Self { names: Vec::new(), minutes: 10 };

    /// Until when a new person of that document is parked; `None` for one who is no test.
    #[must_use]
    pub fn parks_until(&self, person: &Document, now: Instant) -> Option<Instant> {
        let user_name = person.text("userName").map(fold);
        let emails = person.get("emails").and_then(|emails| emails.as_array()).into_iter().flatten();
        let emails = emails.filter_map(|email| email["value"].as_str()).map(fold);
        let is_ours = user_name.as_deref().is_some_and(|name| name.ends_with(PROBE_DOMAIN));
        let is_named = || user_name.iter().cloned().chain(emails).any(|name| self.has(&name));
        (is_ours || is_named()).then(|| now.plus_seconds(i64::from(self.minutes) * 60))
    }

    /// Whether a group of that document is a test.
    #[must_use]
    pub fn is_group(&self, group: &Document) -> bool {
        group.text("displayName").is_some_and(|name| name.starts_with(PROBE_GROUP) || self.has(&fold(name)))
    }

    fn has(&self, folded: &str) -> bool {
        self.names.iter().any(|name| fold(name) == folded)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_test_is_known_by_the_whole_name_alone() {
        let settings = ProbeSettings { names: vec!["SCIM-Test@acme.example".into(), "scim test".into()], minutes: 5 };
        let document = |value: serde_json::Value| serde_json::from_value::<Document>(value).unwrap();
        let until = Some(Instant(300_000_000));
        for (person, parked) in [
            (json!({"userName": "scim-test@ACME.example"}), true),
            (json!({"userName": "x", "emails": [{"value": "scim-test@acme.example"}]}), true),
            (json!({"userName": "rolecall-probe-1@probe.invalid"}), true),
            (json!({"userName": "not-scim-test@acme.example"}), false),
            (json!({"userName": "scim-test@acme.example.com"}), false),
            (json!({"userName": "ada@probe.invalid.acme.example"}), false),
            (json!({"displayName": "scim test"}), false),
        ] {
            assert_eq!(settings.parks_until(&document(person.clone()), Instant(0)), until.filter(|_| parked), "{person}");
        }
        assert!(settings.is_group(&document(json!({"displayName": "SCIM Test"}))));
        assert!(settings.is_group(&document(json!({"displayName": "rolecall-probe-1"}))));
        assert!(!settings.is_group(&document(json!({"displayName": "scim testers"}))));
    }
}
