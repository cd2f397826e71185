//! Where the schemas of two tenants differ: for operators, who see both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use rolecall_scim::schema::{Attribute, Schemas};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::ApiQuery;
use crate::http::workspace::page::bare;
use crate::http::workspace::seat::Guest;
use crate::model::TenantId;
use crate::tenancy;

/// Which tenants.
#[derive(Deserialize, JsonSchema)]
pub struct CompareQuery {
    /// The one.
    one: Option<String>,
    /// The other.
    other: Option<String>,
}

/// Each attribute by its full name, with everything that is said of it.
fn attributes(schemas: &Schemas) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut note = |name: String, attribute: &Attribute| {
        let alone = Attribute { sub_attributes: Vec::new(), ..attribute.clone() };
        all.insert(name, serde_json::to_string(&alone).unwrap_or_default());
    };
    for schema in schemas.all() {
        for attribute in &schema.attributes {
            let name = format!("{}:{}", schema.id, attribute.name);
            for sub in &attribute.sub_attributes {
                note(format!("{name}.{}", sub.name), sub);
            }
            note(name, attribute);
        }
    }
    all
}

/// What differs: the name, and how each of both has it.
fn differences(one: &Schemas, other: &Schemas) -> Vec<(String, Option<String>, Option<String>)> {
    let (one, other) = (attributes(one), attributes(other));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let both = names.into_iter().map(|name| (name.clone(), one.get(name).cloned(), other.get(name).cloned()));
    both.filter(|(_, one, other)| one != other).collect()
}

/// GET /workspace/compare
///
/// # Errors
/// 404 for a tenant that there is not, and for whoever sees one alone.
pub async fn show(guest: Guest, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<CompareQuery>) -> Result<Response> {
    if guest.visitor.session.scope.tenant.is_some() {
        return Err(Error::not_found("such page: two tenants are compared by those who see both"));
    }
    let (one, other) = (query.one.unwrap_or_default(), query.other.unwrap_or_default());
    let compared = if one.is_empty() || other.is_empty() { None } else { Some(compared(&app, &one, &other).await?) };
    let body = html! {
        h1 { "Compare the schemas of two tenants" }
        form.search method="get" {
            label { "One" input type="text" name="one" value=(one) required; }
            label { "The other" input type="text" name="other" value=(other) required; }
            button.main { "Compare" }
        }
        @if let Some(compared) = compared { (compared) }
        @else { p { "Each attribute that only one of them has, or that they have differently, is shown: what an identity provider may send to one and not to the other." } }
    };
    Ok(bare("Compare", Some(&guest), body))
}

async fn compared(app: &Arc<App>, one: &str, other: &str) -> Result<Markup> {
    let schemas = async |id: &str| {
        let id = TenantId::from(id);
        let missing = || Error::not_found("such tenant");
        if id.as_str().contains('\0') {
            return Err(missing());
        }
        app.store.tenant(&id).await?.ok_or_else(missing)?;
        Ok::<_, Error>(tenancy::schemas(&tenancy::active_now(app, &id).await?))
    };
    let found = differences(&*schemas(one).await?, &*schemas(other).await?);
    Ok(html! {
        @if found.is_empty() { p.lead { "Their schemas are the same." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Attributes that differ" {
                table {
                    thead { tr { th scope="col" { "Attribute" } th scope="col" { (one) } th scope="col" { (other) } } }
                    tbody {
                        @for (name, one, other) in &found {
                            tr { td { code { (name) } } @for side in [one, other] { td { @match side { Some(text) => code { (text) }, None => span.quiet { "does not have it" } } } } }
                        }
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_that_are_the_same_do_not_differ() {
        let standard = Schemas::standard();
        assert!(differences(&standard, &standard).is_empty());
        assert!(attributes(&standard).keys().any(|name| name.ends_with("User:name.givenName")));
    }
}
