//! Policies as they are written: checked, formatted, linted, tested, asked and compared. Nothing is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::diagnostic::Diagnostic;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::guards::TenantReader;
use crate::http::query::ApiQuery;
use crate::model::RevisionHash;
use crate::policies::{Explanation, PolicyDifference};
use crate::revision::{Formatted, GoldenResult, Person};
use crate::tenancy::authoring::{self, Wanted};

/// Which policies.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySource {
    /// Texts by path: `policies/*.cedar`, `policies/*.test.json`, `tenant.toml`. Without `tenant.toml` among them the revision's is taken;
    /// left out altogether, all are the revision's.
    files: Option<BTreeMap<String, String>>,
    /// A stored revision; the active one unless given.
    revision: Option<RevisionHash>,
}

impl From<PolicySource> for Wanted {
    fn from(source: PolicySource) -> Self {
        Self { texts: source.files, revision: source.revision }
    }
}

/// A person and a role, and which policies are asked about them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuestion {
    /// As in [`PolicySource`].
    files: Option<BTreeMap<String, String>>,
    /// A stored revision; the active one unless given.
    revision: Option<RevisionHash>,
    /// The person.
    person: Person,
    /// The role.
    role: String,
}

/// Policies in which nothing is wrong.
#[derive(Serialize, JsonSchema)]
pub struct PolicyCheck {
    /// How many policies there are.
    policies: usize,
    /// How many roles the catalogue has.
    roles: usize,
}

/// The files that are laid out differently.
#[derive(Serialize, JsonSchema)]
pub struct PolicyFormat {
    /// Each with its text in the one layout; none where all is in order.
    files: Vec<Formatted>,
}

/// What policies say that nobody can have meant.
#[derive(Serialize, JsonSchema)]
pub struct PolicyLint {
    /// By file and line; `code` says of what kind.
    findings: Vec<Diagnostic>,
}

/// How the tests beside policies ended.
#[derive(Serialize, JsonSchema)]
pub struct PolicyTests {
    /// How many passed.
    passed: usize,
    /// How many failed.
    failed: usize,
    /// Each with its difference, where it failed.
    cases: Vec<GoldenResult>,
}

/// Which two revisions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffQuery {
    /// The first; the active one unless given.
    from: Option<RevisionHash>,
    /// The second; the active one unless given.
    to: Option<RevisionHash>,
}

/// POST …/policies/check
///
/// # Errors
/// 422 with `problems`.
pub async fn check(who: TenantReader, State(app): State<Arc<App>>, ApiBody(source): ApiBody<PolicySource>) -> Result<Json<PolicyCheck>> {
    let (policies, roles) = authoring::check(&app, &who.tenant.id, source.into()).await?;
    Ok(Json(PolicyCheck { policies, roles }))
}

/// POST …/policies/format
///
/// # Errors
/// 422 with `problems`.
pub async fn format(who: TenantReader, State(app): State<Arc<App>>, ApiBody(source): ApiBody<PolicySource>) -> Result<Json<PolicyFormat>> {
    Ok(Json(PolicyFormat { files: authoring::format(&app, &who.tenant.id, source.into()).await? }))
}

/// POST …/policies/lint
///
/// # Errors
/// 422 with `problems`.
pub async fn lint(who: TenantReader, State(app): State<Arc<App>>, ApiBody(source): ApiBody<PolicySource>) -> Result<Json<PolicyLint>> {
    Ok(Json(PolicyLint { findings: authoring::lint(&app, &who.tenant.id, source.into()).await? }))
}

/// POST …/policies/test
///
/// # Errors
/// 422 with `problems`.
pub async fn test(who: TenantReader, State(app): State<Arc<App>>, ApiBody(source): ApiBody<PolicySource>) -> Result<Json<PolicyTests>> {
    let cases = authoring::test(&app, &who.tenant.id, source.into()).await?;
    let failed = cases.iter().filter(|case| case.diff.is_some()).count();
    Ok(Json(PolicyTests { passed: cases.len() - failed, failed, cases }))
}

/// POST …/policies/explain
///
/// # Errors
/// 422 with `problems`; 404 for an unknown role.
pub async fn explain(
    who: TenantReader,
    State(app): State<Arc<App>>,
    ApiBody(question): ApiBody<PolicyQuestion>,
) -> Result<Json<Explanation>> {
    let wanted = Wanted { texts: question.files, revision: question.revision };
    Ok(Json(authoring::explain(&app, &who.tenant.id, wanted, question.person, question.role).await?))
}

/// GET …/policies/diff
///
/// # Errors
/// 404.
pub async fn diff(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<DiffQuery>) -> Result<Json<PolicyDifference>> {
    Ok(Json(authoring::diff(&app, &who.tenant.id, query.from, query.to).await?))
}
