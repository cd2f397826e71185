//! Whom a tenant's steps are for, as SCIM filters about what the identity provider wrote. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use rolecall_scim::ResourceKind;
use rolecall_scim::filter::Filter;
use rolecall_scim::path::AttrPath;
use rolecall_scim::resource::Document;
use rolecall_scim::schema::Schemas;

use crate::model::{ProcessKind, ProcessSettings};

/// What the server adds to a user for clients: of a document nothing of it is known.
const SERVERS_OWN: [&str; 3] = ["id", "meta", "groups"];

/// The filters of a tenant's steps, read once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    by_text: BTreeMap<String, Filter>,
    schemas: Option<Schemas>,
}

impl Conditions {
    /// From a tenant's settings.
    ///
    /// # Errors
    /// What is wrong with each, with its place in `tenant.toml`.
    pub fn of(settings: &ProcessSettings, schemas: &Schemas) -> Result<Self, Vec<(Range<usize>, String)>> {
        let (mut by_text, mut problems) = (BTreeMap::new(), Vec::new());
        for kind in ProcessKind::ALL {
            for step in &settings.steps(*kind).steps {
                let Some(written) = &step.when.filter else { continue };
                match read(schemas, written.get_ref()) {
                    Ok(filter) => {
                        by_text.insert(written.get_ref().clone(), filter);
                    }
                    Err(problem) => problems.push((written.span(), format!("step `{}` of a {kind}: `when.filter`: {problem}", step.id))),
                }
            }
        }
        let schemas = (!by_text.is_empty()).then(|| schemas.clone());
        if problems.is_empty() { Ok(Self { by_text, schemas }) } else { Err(problems) }
    }

    /// Whether one of the tenant's filters holds of somebody. What is no filter of theirs, and somebody of whom nothing was written, holds never.
    #[must_use]
    pub fn hold(&self, filter: &str, document: Option<&Document>) -> bool {
        match (self.by_text.get(filter), &self.schemas, document) {
            (Some(filter), Some(schemas), Some(document)) => filter.matches(schemas, ResourceKind::User, document.attributes()),
            _ => false,
        }
    }
}

fn read(schemas: &Schemas, text: &str) -> Result<Filter, String> {
    let filter = Filter::parse(schemas, ResourceKind::User, text).map_err(|error| error.detail)?;
    match own(&filter) {
        Some(path) => {
            Err(format!("`{}` is the server's own, and nothing that the identity provider wrote: name another attribute", path.name))
        }
        None => Ok(filter),
    }
}

/// The first attribute that no document has. The parser bounds how deep a filter is.
fn own(filter: &Filter) -> Option<&AttrPath> {
    match filter {
        Filter::And(one, other) | Filter::Or(one, other) => own(one).or_else(|| own(other)),
        Filter::Not(inner) => own(inner),
        Filter::Test(attribute, _) | Filter::Values { attribute, .. } => {
            SERVERS_OWN.iter().any(|name| attribute.name.eq_ignore_ascii_case(name)).then_some(attribute)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(filter: &str) -> ProcessSettings {
        let quoted = serde_json::to_string(filter).expect("a text");
        let step = "[[leaver.steps]]\nid = \"x\"\ntitle = \"x\"\nowner = \"x\"\ndue = \"1 day\"\n";
        toml::from_str(&format!("{step}when = {{ filter = {quoted} }}")).expect("the test writes settings")
    }

    #[test]
    fn a_filter_is_about_what_was_written() {
        const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let schemas = Schemas::standard();
        let document = json!({"userName": "ada", "title": "Lead", "active": false, ENTERPRISE: {"department": "Sales"},
                              "emails": [{"type": "work", "value": "ada@acme.example"}]});
        let document: Document = serde_json::from_value(document).expect("a document");
        for (filter, holds) in [
            ("department eq \"sales\"", true),
            (&format!("{ENTERPRISE}:department eq \"Sales\" and title pr")[..], true),
            ("department eq \"Engineering\" or userType pr", false),
            ("not (title sw \"L\")", false),
            ("emails[type eq \"work\" and value ew \"@acme.example\"]", true),
            ("active eq false", true),
        ] {
            let conditions = Conditions::of(&settings(filter), &schemas).unwrap_or_else(|problems| panic!("{filter}: {problems:?}"));
            assert_eq!(conditions.hold(filter, Some(&document)), holds, "{filter}");
            assert!(!conditions.hold(filter, None) && !conditions.hold("title pr or title eq null", Some(&document)));
        }
    }

    #[test]
    fn what_is_no_filter_is_said_with_its_place() {
        for (filter, why) in [
            ("department eq", "column"),
            ("shoeSize eq 43", "shoeSize"),
            ("groups.value eq \"g1\"", "the server's own"),
            ("title pr and not (meta.created pr)", "the server's own"),
            ("", "step `x` of a leaver: `when.filter`"),
        ] {
            let problems = Conditions::of(&settings(filter), &Schemas::standard()).expect_err(filter);
            let [(place, problem)] = &problems[..] else { panic!("{problems:?}") };
            assert!(problem.contains(why) && place.start > 60, "{filter}: {problem} at {place:?}");
        }
    }
}
