//! What became of a tenant's plugins: calls that failed, with what they were asked; what was logged; whose signatures count; and what an
//! upload would say of a file.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::app::App;
use crate::http::body::{ApiBody, REVISION_BODY_BYTES_LIMIT};
use crate::http::error::{Error, Result};
use crate::http::guards::{ManagePlugins, TenantOperator, TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At, page, page_limit};
use crate::model::{AccountId, CallInput, ConnectionId, FailureDetail, FailureKind, Instant, ResourceId, RevisionHash};
use crate::store::records::{Asked, Failure, FailureQuery, Line, LineQuery, PluginKey};
use crate::store::{NewPlugin, StoredPlugin};
use crate::tenancy::plugins::{self, Candidate, Examined};

/// How many plugins.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// How many; 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A plugin that is part of one of the tenant's revisions.
#[derive(Serialize, JsonSchema)]
pub struct PluginAnswer {
    /// SHA-256 of its file.
    digest: String,
    /// The name that it gives itself.
    name: String,
    /// Its version.
    version: String,
    /// The hooks that it has.
    hooks: Vec<String>,
    /// Its file's size in bytes.
    size: i64,
    /// When it was part of a revision first.
    created: Instant,
    /// How many revisions it is part of.
    revisions: i64,
    /// Whether the active one is among them.
    active: bool,
}

/// The tenant's plugins.
#[derive(Serialize, JsonSchema)]
pub struct PluginList {
    /// Those that came last first.
    plugins: Vec<PluginAnswer>,
}

/// GET …/plugins
///
/// # Errors
/// The store's.
pub async fn list(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ListQuery>) -> Result<Json<PluginList>> {
    let found = app.store.plugins(&who.tenant.id, page_limit(query.limit)).await?;
    let shown = |StoredPlugin { plugin, created, revisions, active }: StoredPlugin| {
        let NewPlugin { digest, name, version, hooks, size } = plugin;
        PluginAnswer { digest, name, version, hooks, size, created, revisions, active }
    };
    Ok(Json(PluginList { plugins: found.into_iter().map(shown).collect() }))
}

/// Which failures.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailuresQuery {
    /// Only failures with a lower position: the `next` of a page.
    before: Option<i64>,
    /// How many; 100 unless given, at most 1,000.
    limit: Option<i64>,
    /// `fault` or `refusal`.
    kind: Option<FailureKind>,
    /// Only failures with this code: `trap`, `fuel` …
    code: Option<String>,
    /// `transform-user` or `propose-roles`.
    hook: Option<String>,
    /// A plugin's name or digest.
    plugin: Option<String>,
    /// Only about people of this connection.
    connection: Option<ConnectionId>,
    /// Only about this SCIM User.
    user: Option<ResourceId>,
    /// Only about this account.
    account: Option<AccountId>,
    /// Only those that were last seen at this instant or later.
    since: Option<Instant>,
    /// Only those that were first seen before this instant.
    until: Option<Instant>,
}

/// A call that failed, and those of its like: of the same person, plugin, hook and code.
#[derive(Serialize, JsonSchema)]
pub struct FailureAnswer {
    /// Its id, for `rolecall plugin replay`.
    id: String,
    /// Its place among the tenant's, ascending with gaps.
    position: i64,
    /// When it was first seen.
    first_at: Instant,
    /// When it was last seen: the rest is of that time.
    last_at: Instant,
    /// How often it was seen.
    times: i64,
    /// When it is forgotten.
    expires: Instant,
    /// How the call ended.
    kind: FailureKind,
    /// The fault's code, or the plugin's own for a refusal.
    code: String,
    /// `transform-user` or `propose-roles`.
    hook: String,
    /// The name that the plugin gives itself.
    plugin: String,
    /// SHA-256 of its file.
    digest: String,
    /// The revision that was active: it has the plugin, its settings and tables.
    revision: RevisionHash,
    /// The person's connection.
    connection: ConnectionId,
    /// The SCIM User.
    user: ResourceId,
    /// The person's account.
    account: AccountId,
    /// What was said, what was used, and where it was.
    #[serde(flatten)]
    detail: FailureDetail,
}

/// A page of failures.
#[derive(Serialize, JsonSchema)]
pub struct FailureList {
    /// Those that were first seen last first.
    failures: Vec<FailureAnswer>,
    /// `before` for the next page; `null` on the last one.
    next: Option<i64>,
}

/// A failure with what was asked.
#[derive(Serialize, JsonSchema)]
pub struct FailureWithInput {
    #[serde(flatten)]
    failure: FailureAnswer,
    /// What was asked, masked by the tenant's rules; `null` where it is not kept.
    input: Option<CallInput>,
    /// Why it is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_missing: Option<String>,
}

impl From<Failure> for FailureAnswer {
    fn from(failure: Failure) -> Self {
        let Failure { position, id, first_at, last_at, until, times, kind, code, asked, account, revision, detail } = failure;
        let Asked { plugin, digest, hook, connection, user } = asked;
        let expires = until;
        Self {
            id,
            position,
            first_at,
            last_at,
            times,
            expires,
            kind,
            code,
            hook,
            plugin,
            digest,
            revision,
            connection,
            user,
            account,
            detail,
        }
    }
}

/// GET …/plugins/failures
///
/// # Errors
/// The store's.
pub async fn failures(
    who: TenantReader,
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<FailuresQuery>,
) -> Result<Json<FailureList>> {
    up_to_date(&app).await?;
    let limit = page_limit(query.limit);
    let FailuresQuery { before, limit: _, kind, code, hook, plugin, connection, user, account, since, until } = query;
    let query = FailureQuery { before, kind, code, hook, plugin, connection, user, account, since, until };
    let (found, next) = page(app.store.failures(&who.tenant.id, &query, limit + 1).await?, limit, |failure| failure.position);
    Ok(Json(FailureList { failures: found.into_iter().map(Into::into).collect(), next }))
}

/// GET …/plugins/failures/{failure}
///
/// # Errors
/// 404.
pub async fn failure(who: TenantReader, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>) -> Result<Json<FailureWithInput>> {
    up_to_date(&app).await?;
    let (failure, input) = app.store.failure(&who.tenant.id, &id).await?.ok_or_else(|| Error::not_found("such failure"))?;
    let (input, input_missing) = match input {
        Ok(input) => (Some(input), None),
        Err(why) => (None, Some(why)),
    };
    Ok(Json(FailureWithInput { failure: failure.into(), input, input_missing }))
}

/// The least urgent level of wanted lines.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All lines.
    Debug,
    /// All but what is for debugging.
    Info,
    /// Warnings and errors.
    Warn,
    /// Errors.
    Error,
}

/// Which lines.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinesQuery {
    /// Only lines after this position; the newest ones unless given.
    after: Option<i64>,
    /// How many; 100 unless given, at most 1,000.
    limit: Option<i64>,
    /// Only lines of this level or a more urgent one.
    level: Option<Level>,
    /// `transform-user` or `propose-roles`.
    hook: Option<String>,
    /// A plugin's name or digest.
    plugin: Option<String>,
    /// Only about people of this connection.
    connection: Option<ConnectionId>,
    /// Only about this SCIM User.
    user: Option<ResourceId>,
    /// Only lines of this instant or later.
    since: Option<Instant>,
    /// Only lines of before this instant.
    until: Option<Instant>,
}

/// A line that a plugin logged; of `rolecall` itself where it says what was dropped.
#[derive(Serialize, JsonSchema)]
pub struct LineAnswer {
    /// Ascending, with gaps.
    position: i64,
    /// When.
    at: Instant,
    /// `debug`, `info`, `warn`, `error`.
    level: String,
    /// What it said.
    message: String,
    /// The name that the plugin gives itself.
    plugin: String,
    /// SHA-256 of its file.
    digest: String,
    /// `transform-user` or `propose-roles`.
    hook: String,
    /// The person's connection.
    connection: ConnectionId,
    /// The SCIM User.
    user: ResourceId,
}

/// A part of what plugins logged.
#[derive(Serialize, JsonSchema)]
pub struct LinePage {
    /// Oldest first.
    lines: Vec<LineAnswer>,
    /// The `after` of the lines that follow.
    next: Option<i64>,
}

/// GET …/plugins/logs
///
/// # Errors
/// The store's.
pub async fn lines(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<LinesQuery>) -> Result<Json<LinePage>> {
    up_to_date(&app).await?;
    let LinesQuery { after, limit, level, hook, plugin, connection, user, since, until } = query;
    let level = level.map_or(0, |level| level as i64);
    let query = LineQuery { after, level, hook, plugin, connection, user, since, until };
    let found = app.store.lines(&who.tenant.id, &query, page_limit(limit)).await?;
    let next = found.last().map(|(position, _)| *position);
    let shown = |(position, Line { at, asked, line }): (i64, Line)| {
        let Asked { plugin, digest, hook, connection, user } = asked;
        LineAnswer { position, at, level: line.level, message: line.message, plugin, digest, hook, connection, user }
    };
    Ok(Json(LinePage { lines: found.into_iter().map(shown).collect(), next }))
}

/// What this process has gathered is written first, so that whoever made a request finds it.
async fn up_to_date(app: &App) -> Result<()> {
    Ok(app.watch.flush(&*app.store, app.clock.now()).await?)
}

/// Whose signatures on plugins count.
#[derive(Serialize, JsonSchema)]
pub struct Signing {
    /// Whether the tenant takes signed plugins alone.
    required: bool,
    /// By name.
    keys: Vec<PluginKey>,
}

/// Whether the tenant takes signed plugins alone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningWrite {
    /// `true`: a revision with an unsigned plugin is refused.
    required: bool,
}

/// A key to be added.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPluginKey {
    /// Its name for people, unique in the tenant.
    name: String,
    /// An Ed25519 public key: PEM, or its 32 bytes in base64.
    public_key: String,
}

/// GET …/plugins/keys
///
/// # Errors
/// The store's.
pub async fn keys(who: TenantReader, State(app): State<Arc<App>>) -> Result<Json<Signing>> {
    let rules = app.store.signing_rules(&who.tenant.id).await?;
    Ok(Json(Signing { required: rules.required, keys: rules.keys }))
}

/// PUT …/plugins/keys
///
/// # Errors
/// 422 where there is no key.
pub async fn require_signatures(
    who: TenantOperator,
    State(app): State<Arc<App>>,
    ApiBody(write): ApiBody<SigningWrite>,
) -> Result<StatusCode> {
    plugins::require_signatures(&app, &who.tenant.id, write.required, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// POST …/plugins/keys
///
/// # Errors
/// 409 for a name in use; 422 for what is no key.
pub async fn add_key(
    who: TenantOperator,
    State(app): State<Arc<App>>,
    ApiBody(new): ApiBody<NewPluginKey>,
) -> Result<(StatusCode, Json<PluginKey>)> {
    let key = plugins::add_key(&app, &who.tenant.id, &new.name, &new.public_key, &who.actor).await?;
    Ok((StatusCode::CREATED, Json(key)))
}

/// DELETE …/plugins/keys/{key}
///
/// # Errors
/// 404; 422 for the last key where one is needed.
pub async fn remove_key(who: TenantOperator, State(app): State<Arc<App>>, At((_, key)): At<(String, String)>) -> Result<StatusCode> {
    plugins::remove_key(&app, &who.tenant.id, &key, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A plugin's file, to be looked at.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginUpload {
    /// A module or component, in base64.
    plugin: String,
    /// Settings that the plugin is to look at; none unless given.
    settings: Option<Map<String, Value>>,
    /// Its signature, as in the file beside it.
    signature: Option<String>,
}

/// What a plugin's file is.
#[derive(Serialize, JsonSchema)]
pub struct PluginReport {
    /// SHA-256 of the file.
    digest: String,
    /// The name that it gives itself.
    name: String,
    /// Its version.
    version: String,
    /// The hooks that it has.
    hooks: Vec<&'static str>,
    /// The SCIM paths that it reads.
    reads: Vec<String>,
    /// The version of the contract that it was built for.
    contract: Option<String>,
    /// `module` or `component`.
    kind: Option<&'static str>,
    /// Its size.
    bytes: usize,
    /// How many functions it has.
    functions: Option<u64>,
    /// The memory that it starts with, in bytes.
    memory_bytes: Option<u64>,
    /// The name of the key that it is signed with.
    signed_by: Option<String>,
}

/// POST …/plugins/check
///
/// # Errors
/// 422 with `problems`, each with a `code`.
pub async fn check(
    who: TenantWriter<ManagePlugins>,
    State(app): State<Arc<App>>,
    ApiBody(upload): ApiBody<PluginUpload, REVISION_BODY_BYTES_LIMIT>,
) -> Result<Json<PluginReport>> {
    let decoded = STANDARD.decode(upload.plugin);
    let bytes = decoded.map_err(|error| Error::bad_request(format!("`plugin` is no base64: {error}"), "a file is no base64"))?;
    let size = bytes.len();
    let settings = upload.settings.map(|settings| Value::Object(settings).to_string());
    let candidate = Candidate { bytes, settings, signature: upload.signature };
    let Examined { plugin, file, signed_by } = plugins::examine(&app, &who.tenant.id, candidate).await?;
    let described = plugin.description();
    Ok(Json(PluginReport {
        digest: plugin.digest().to_owned(),
        name: described.name.clone(),
        version: described.version.clone(),
        hooks: plugin.hooks(),
        reads: described.reads.clone(),
        contract: file.as_ref().and_then(|file| file.contract.clone()),
        kind: file.as_ref().map(|file| file.kind),
        bytes: size,
        functions: file.as_ref().map(|file| file.functions),
        memory_bytes: file.as_ref().map(|file| file.memory_bytes),
        signed_by,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LEVELS;

    #[test]
    fn a_level_is_its_rank() {
        for (rank, word) in LEVELS.iter().enumerate() {
            let level: Level = serde_json::from_value(Value::from(*word)).unwrap();
            assert_eq!(level as usize, rank);
        }
    }
}
