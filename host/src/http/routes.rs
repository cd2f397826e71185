//! The one route table: the router, the OpenAPI document, the documentation and the tests that walk every route are made
//! from it. Who may call a route is taken from its handler's guard and can't be written down wrongly here.

mod drift;
mod first_sync;
mod health;
mod log;
mod moving;
mod processes;
mod restored;
mod tokens;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::api::{
    accounts, connections, credentials, governance, handles, history, plugins, policies, reviews, revisions, targets, tenants, trials,
};
use super::guards::{Access, Guarded};
use super::openapi::{ScimBulk, ScimErrorBody, ScimList, ScimPatch, ScimResource, ScimSearch};
use super::scim::{self, Groups, Users, bulk, discovery, listing};
use super::{api, oauth, operations, workspace};
use crate::app::App;
use crate::history::verify::Verified;
use crate::model::{Hold, Issuer, Review, Ruling, Trial};
use crate::policies::{Explanation, PolicyDifference};
use crate::store::records::PluginKey;
use crate::store::{HandleBinding, Tenant};
use crate::tenancy::Checked;

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A row of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{parameters}`.
    pub path: &'static str,
    /// The operation's id.
    pub operation: &'static str,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The query parameters.
    pub query: Option<SchemaOf>,
    /// The body.
    pub body: Option<SchemaOf>,
    /// The status of success.
    pub status: StatusCode,
    /// The body of success; `None` for none.
    pub answer: Option<SchemaOf>,
    /// The handler.
    pub(super) handler: MethodRouter<Arc<App>>,
}

impl Route {
    fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(SchemaGenerator::root_schema_for::<T>);
        self
    }

    fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    fn answers<T: JsonSchema>(mut self, status: StatusCode) -> Self {
        self.status = status;
        self.answer = Some(SchemaGenerator::subschema_for::<T>);
        self
    }
}

fn route<H, T>(method: Method, path: &'static str, operation: &'static str, summary: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<App>>,
    T: Guarded + 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("the table has methods that axum knows");
    Route {
        method,
        path,
        operation,
        summary,
        access: T::ACCESS,
        query: None,
        body: None,
        status: StatusCode::NO_CONTENT,
        answer: None,
        // Bodies are bounded where they are read, each by its own limit.
        handler: on(filter, handler).layer(DefaultBodyLimit::disable()),
    }
}

pub(super) fn get<H: Handler<T, Arc<App>>, T: Guarded + 'static>(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    handler: H,
) -> Route {
    route(Method::GET, path, operation, summary, handler)
}

pub(super) fn post<H: Handler<T, Arc<App>>, T: Guarded + 'static>(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    handler: H,
) -> Route {
    route(Method::POST, path, operation, summary, handler)
}

fn put<H: Handler<T, Arc<App>>, T: Guarded + 'static>(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    handler: H,
) -> Route {
    route(Method::PUT, path, operation, summary, handler)
}

fn patch<H: Handler<T, Arc<App>>, T: Guarded + 'static>(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    handler: H,
) -> Route {
    route(Method::PATCH, path, operation, summary, handler)
}

fn delete<H: Handler<T, Arc<App>>, T: Guarded + 'static>(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    handler: H,
) -> Route {
    route(Method::DELETE, path, operation, summary, handler)
}

/// Every route.
#[must_use]
pub fn all() -> Vec<Route> {
    [
        of_operations(),
        of_scim(),
        of_discovery(),
        of_tenants(),
        of_connections(),
        of_revisions(),
        of_trials(),
        of_plugins(),
        of_policies(),
        of_accounts(),
        of_governance(),
        of_history(),
        of_workspace(),
        of_reviews(),
        health::all(),
        restored::all(),
        tokens::all(),
        log::all(),
        processes::all(),
        first_sync::all(),
        moving::all(),
        drift::all(),
        workspace::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_operations() -> Vec<Route> {
    use operations as o;
    vec![
        get("/healthz", "health", "Whether the process answers", o::health).answers::<o::Status>(StatusCode::OK),
        get("/readyz", "ready", "Whether the database answers too", o::ready).answers::<o::Status>(StatusCode::OK),
        get("/metrics", "metrics", "Metrics for Prometheus; of tenants with a platform token", o::metrics)
            .answers::<String>(StatusCode::OK),
        get("/api/openapi.json", "openapi", "This API as an OpenAPI 3.1 document", o::openapi).answers::<serde_json::Value>(StatusCode::OK),
    ]
}

/// Who may come into the workspace.
fn of_workspace() -> Vec<Route> {
    use api::workspace as w;
    const PLATFORM: &str = "/api/v1/workspace/providers/{provider}";
    const OWN: &str = "/api/v1/tenants/{tenant}/providers/{provider}";
    let ok = StatusCode::OK;
    vec![
        post("/api/v1/workspace/links", "create_workspace_link", "A link that signs one person in to the workspace", w::link)
            .body::<w::NewLink>()
            .answers::<w::LinkAnswer>(StatusCode::CREATED),
        get(
            "/api/v1/workspace/providers",
            "list_platform_providers",
            "OpenID providers that operators sign in with",
            w::platform_providers,
        )
        .answers::<w::ProviderList>(ok),
        put(PLATFORM, "put_platform_provider", "Sets an OpenID provider that operators sign in with", w::put_platform_provider)
            .body::<w::NewProvider>(),
        delete(PLATFORM, "remove_platform_provider", "Nobody new signs in with the provider", w::remove_platform_provider),
        get("/api/v1/tenants/{tenant}/providers", "list_providers", "OpenID providers that the tenant's people sign in with", w::providers)
            .answers::<w::ProviderList>(ok),
        put(OWN, "put_provider", "Sets an OpenID provider that the tenant's people sign in with", w::put_provider).body::<w::NewProvider>(),
        delete(OWN, "remove_provider", "Nobody new signs in with the provider", w::remove_provider),
    ]
}

fn of_scim() -> Vec<Route> {
    [of_users(), of_groups(), of_root()].into_iter().flatten().collect()
}

fn of_users() -> Vec<Route> {
    const USERS: &str = "/scim/{connection}/v2/Users";
    const USER: &str = "/scim/{connection}/v2/Users/{id}";
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get(USERS, "list_users", "Users that match a filter", listing::list::<Users>).query::<ScimListQuery>().answers::<ScimList>(ok),
        post(USERS, "create_user", "A new user", scim::create::<Users>)
            .query::<ScimViewQuery>()
            .body::<ScimResource>()
            .answers::<ScimResource>(created),
        post("/scim/{connection}/v2/Users/.search", "search_users", "Users that match a query in the body", listing::search::<Users>)
            .body::<ScimSearch>()
            .answers::<ScimList>(ok),
        get(USER, "read_user", "A user", scim::read::<Users>).query::<ScimViewQuery>().answers::<ScimResource>(ok),
        put(USER, "replace_user", "Replaces a user", scim::replace::<Users>)
            .query::<ScimViewQuery>()
            .body::<ScimResource>()
            .answers::<ScimResource>(ok),
        patch(USER, "patch_user", "Changes parts of a user", scim::patch::<Users>)
            .query::<ScimViewQuery>()
            .body::<ScimPatch>()
            .answers::<ScimResource>(ok),
        delete(USER, "delete_user", "Deletes a user: the account loses every role at once", scim::delete::<Users>),
    ]
}

fn of_groups() -> Vec<Route> {
    const GROUPS: &str = "/scim/{connection}/v2/Groups";
    const GROUP: &str = "/scim/{connection}/v2/Groups/{id}";
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get(GROUPS, "list_groups", "Groups that match a filter", listing::list::<Groups>).query::<ScimListQuery>().answers::<ScimList>(ok),
        post(GROUPS, "create_group", "A new group", scim::create::<Groups>)
            .query::<ScimViewQuery>()
            .body::<ScimResource>()
            .answers::<ScimResource>(created),
        post("/scim/{connection}/v2/Groups/.search", "search_groups", "Groups that match a query in the body", listing::search::<Groups>)
            .body::<ScimSearch>()
            .answers::<ScimList>(ok),
        get(GROUP, "read_group", "A group", scim::read::<Groups>).query::<ScimViewQuery>().answers::<ScimResource>(ok),
        put(GROUP, "replace_group", "Replaces a group and its members", scim::replace::<Groups>)
            .query::<ScimViewQuery>()
            .body::<ScimResource>()
            .answers::<ScimResource>(ok),
        patch(GROUP, "patch_group", "Changes parts of a group; 200 with the group where `attributes` is given", scim::patch::<Groups>)
            .query::<ScimViewQuery>()
            .body::<ScimPatch>(),
        delete(GROUP, "delete_group", "Deletes a group: its memberships end at once", scim::delete::<Groups>),
    ]
}

/// What is about no one kind of resources.
fn of_root() -> Vec<Route> {
    const ROOT: &str = "/scim/{connection}/v2";
    const ME: &str = "/scim/{connection}/v2/Me";
    const NO_ME: &str = "501: no token of a connection stands for a user";
    let ok = StatusCode::OK;
    vec![
        get(ROOT, "list_all", "Users and groups that match a filter", listing::list_all).query::<ScimListQuery>().answers::<ScimList>(ok),
        post("/scim/{connection}/v2/.search", "search_all", "Users and groups that match a query in the body", listing::search_all)
            .body::<ScimSearch>()
            .answers::<ScimList>(ok),
        post("/scim/{connection}/v2/Bulk", "bulk", "Many writes in one request, each with an answer of its own", bulk::bulk)
            .body::<ScimBulk>()
            .answers::<ScimBulk>(ok),
        get(ME, "read_me", NO_ME, scim::me).answers::<ScimErrorBody>(StatusCode::NOT_IMPLEMENTED),
        post(ME, "create_me", NO_ME, scim::me).answers::<ScimErrorBody>(StatusCode::NOT_IMPLEMENTED),
        put(ME, "replace_me", NO_ME, scim::me).answers::<ScimErrorBody>(StatusCode::NOT_IMPLEMENTED),
        patch(ME, "patch_me", NO_ME, scim::me).answers::<ScimErrorBody>(StatusCode::NOT_IMPLEMENTED),
        delete(ME, "delete_me", NO_ME, scim::me).answers::<ScimErrorBody>(StatusCode::NOT_IMPLEMENTED),
    ]
}

fn of_discovery() -> Vec<Route> {
    use discovery as d;
    let ok = StatusCode::OK;
    vec![
        get(
            "/scim/{connection}/v2/ServiceProviderConfig",
            "service_provider_config",
            "What the server supports",
            d::service_provider_config,
        )
        .answers::<ScimResource>(ok),
        get("/scim/{connection}/v2/ResourceTypes", "list_resource_types", "The types of resources", d::resource_types)
            .answers::<ScimList>(ok),
        get("/scim/{connection}/v2/ResourceTypes/{id}", "read_resource_type", "A type of resources", d::resource_type)
            .answers::<ScimResource>(ok),
        get("/scim/{connection}/v2/Schemas", "list_schemas", "The schemas, with the tenant's own", d::schema_list).answers::<ScimList>(ok),
        get("/scim/{connection}/v2/Schemas/{id}", "read_schema", "A schema", d::schema).answers::<ScimResource>(ok),
        post("/scim/{connection}/oauth/token", "access_token", "An access token for the connection's OAuth client", oauth::token)
            .body::<oauth::TokenRequest>()
            .answers::<oauth::AccessToken>(ok),
    ]
}

fn of_tenants() -> Vec<Route> {
    const CONNECTIONS: &str = "/api/v1/tenants/{tenant}/connections";
    use connections as c;
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get("/api/v1/tenants", "list_tenants", "The tenants that the token may see", tenants::list).answers::<tenants::TenantList>(ok),
        post("/api/v1/tenants", "create_tenant", "A new tenant; 200 where it is there already", tenants::create)
            .body::<tenants::NewTenant>()
            .answers::<Tenant>(created),
        get("/api/v1/tenants/{tenant}", "read_tenant", "A tenant and how many people are pending", tenants::read)
            .answers::<tenants::TenantAnswer>(ok),
        get(
            "/api/v1/tenants/{tenant}/progress",
            "read_progress",
            "How far everybody has been decided under the active revision",
            tenants::progress,
        )
        .answers::<tenants::Progress>(ok),
        get(CONNECTIONS, "list_connections", "The tenant's connections", c::list).answers::<c::ConnectionList>(ok),
        post(CONNECTIONS, "create_connection", "A new connection with its first token", c::create)
            .body::<c::NewConnection>()
            .answers::<c::NewConnectionAnswer>(created),
        delete(
            "/api/v1/tenants/{tenant}/connections/{connection}",
            "delete_connection",
            "Deletes a connection and all its people",
            c::delete,
        ),
        post(
            "/api/v1/tenants/{tenant}/connections/{connection}/rotate",
            "rotate_token",
            "Another token; the one before stays good for a while",
            c::rotate,
        )
        .body::<c::Rotation>()
        .answers::<api::TokenAnswer>(created),
        post(
            "/api/v1/tenants/{tenant}/connections/{connection}/pause",
            "pause_connection",
            "Parks what the connection writes; removals of access go on",
            c::pause,
        ),
        post(
            "/api/v1/tenants/{tenant}/connections/{connection}/resume",
            "resume_connection",
            "Ends the pause and works off what was parked",
            c::resume,
        ),
        put(
            "/api/v1/tenants/{tenant}/connections/{connection}/guard",
            "guard_connection",
            "Says whether the guard counts the connection's people",
            c::guard,
        )
        .body::<c::GuardWrite>(),
    ]
}

fn of_connections() -> Vec<Route> {
    const CLIENT: &str = "/api/v1/tenants/{tenant}/connections/{connection}/client";
    const ISSUER: &str = "/api/v1/tenants/{tenant}/connections/{connection}/issuer";
    use credentials as c;
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        post(
            "/api/v1/tenants/{tenant}/connections/{connection}/client/rotate",
            "rotate_client",
            "Another secret of the connection's OAuth client, or its first; the one before stays good for a while",
            c::rotate_client,
        )
        .body::<connections::Rotation>()
        .answers::<c::ClientAnswer>(created),
        delete(CLIENT, "remove_client", "Ends the connection's OAuth client and its access tokens", c::remove_client),
        get(ISSUER, "read_issuer", "The issuer whose JWTs the connection accepts", c::issuer).answers::<Issuer>(ok),
        put(ISSUER, "put_issuer", "Sets the issuer whose JWTs the connection accepts", c::put_issuer)
            .body::<c::IssuerWrite>()
            .answers::<Issuer>(ok),
        delete(ISSUER, "remove_issuer", "Accepts no JWTs any more", c::remove_issuer),
    ]
}

fn of_revisions() -> Vec<Route> {
    use revisions as r;
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        post("/api/v1/tenants/{tenant}/revisions/check", "check_revision", "Checks a tenant folder's files and stores nothing", r::check)
            .body::<r::Upload>()
            .answers::<Checked>(ok),
        post(
            "/api/v1/tenants/{tenant}/revisions",
            "create_revision",
            "Stores a tenant folder's files, and activates them if asked",
            r::create,
        )
        .body::<r::NewRevision>()
        .answers::<r::RevisionAnswer>(created),
        get("/api/v1/tenants/{tenant}/revisions", "list_revisions", "Stored revisions, the newest first, and what became of each", r::list)
            .query::<r::RevisionsQuery>()
            .answers::<r::RevisionPage>(ok),
        get("/api/v1/tenants/{tenant}/revisions/active", "read_active_revision", "The files of the active revision", r::active)
            .query::<r::RevisionQuery>()
            .answers::<r::RevisionFiles>(ok),
        get("/api/v1/tenants/{tenant}/revisions/{revision}", "read_revision", "The files of a stored revision", r::read)
            .query::<r::RevisionQuery>()
            .answers::<r::RevisionFiles>(ok),
        post(
            "/api/v1/tenants/{tenant}/revisions/{revision}/activate",
            "activate_revision",
            "Activates a stored revision: forward, or back to an older one",
            r::activate,
        )
        .body::<r::Activation>(),
    ]
}

fn of_trials() -> Vec<Route> {
    use trials as t;
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get("/api/v1/tenants/{tenant}/activations", "list_activations", "What was activated, and what became of it", t::activations)
            .query::<t::ListQuery>()
            .answers::<t::ActivationList>(ok),
        get("/api/v1/tenants/{tenant}/trials", "list_trials", "Candidate revisions that are, or were, tried out", t::list)
            .query::<t::ListQuery>()
            .answers::<t::TrialList>(ok),
        post(
            "/api/v1/tenants/{tenant}/trials",
            "create_trial",
            "Tries out a stored revision without effect: a simulation over everybody, or a shadow of what is decided",
            t::create,
        )
        .body::<t::NewTrial>()
        .answers::<Trial>(created),
        get("/api/v1/tenants/{tenant}/trials/{trial}", "read_trial", "How far a trial is, and what it came to", t::read)
            .answers::<Trial>(ok),
        get(
            "/api/v1/tenants/{tenant}/trials/{trial}/differences",
            "list_differences",
            "What a trial would make different, person by person",
            t::differences,
        )
        .query::<t::DifferenceQuery>()
        .answers::<t::DifferencePage>(ok),
        get(
            "/api/v1/tenants/{tenant}/trials/{trial}/export",
            "export_differences",
            "What a trial would make different, as JSON Lines or CSV",
            t::export,
        )
        .query::<t::DifferenceExportQuery>()
        .answers::<String>(ok),
        post("/api/v1/tenants/{tenant}/trials/{trial}/stop", "stop_trial", "Ends a trial before its time", t::stop).answers::<Trial>(ok),
    ]
}

fn of_plugins() -> Vec<Route> {
    const KEYS: &str = "/api/v1/tenants/{tenant}/plugins/keys";
    use plugins as p;
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get("/api/v1/tenants/{tenant}/plugins", "list_plugins", "The plugins of all revisions, newest first", p::list)
            .query::<p::ListQuery>()
            .answers::<p::PluginList>(ok),
        post("/api/v1/tenants/{tenant}/plugins/check", "check_plugin", "Says what a plugin's file is, and stores nothing", p::check)
            .body::<p::PluginUpload>()
            .answers::<p::PluginReport>(ok),
        get("/api/v1/tenants/{tenant}/plugins/failures", "list_plugin_failures", "Plugin calls that failed, newest first", p::failures)
            .query::<p::FailuresQuery>()
            .answers::<p::FailureList>(ok),
        get(
            "/api/v1/tenants/{tenant}/plugins/failures/{failure}",
            "read_plugin_failure",
            "A plugin call that failed, with what it was asked",
            p::failure,
        )
        .answers::<p::FailureWithInput>(ok),
        get("/api/v1/tenants/{tenant}/plugins/logs", "read_plugin_logs", "What plugins logged", p::lines)
            .query::<p::LinesQuery>()
            .answers::<p::LinePage>(ok),
        get(KEYS, "list_plugin_keys", "Whose signatures on plugins count", p::keys).answers::<p::Signing>(ok),
        put(KEYS, "require_plugin_signatures", "Says whether the tenant takes signed plugins alone", p::require_signatures)
            .body::<p::SigningWrite>(),
        post(KEYS, "add_plugin_key", "Adds a key whose signatures on plugins count", p::add_key)
            .body::<p::NewPluginKey>()
            .answers::<PluginKey>(created),
        delete(
            "/api/v1/tenants/{tenant}/plugins/keys/{key}",
            "remove_plugin_key",
            "Removes a key, by its id or name; what is active stays so",
            p::remove_key,
        ),
    ]
}

fn of_policies() -> Vec<Route> {
    use policies as p;
    let ok = StatusCode::OK;
    vec![
        post("/api/v1/tenants/{tenant}/policies/check", "check_policies", "Checks policies and their tests, and stores nothing", p::check)
            .body::<p::PolicySource>()
            .answers::<p::PolicyCheck>(ok),
        post("/api/v1/tenants/{tenant}/policies/format", "format_policies", "Lays policies out in the one way", p::format)
            .body::<p::PolicySource>()
            .answers::<p::PolicyFormat>(ok),
        post("/api/v1/tenants/{tenant}/policies/lint", "lint_policies", "What policies say that nobody can have meant", p::lint)
            .body::<p::PolicySource>()
            .answers::<p::PolicyLint>(ok),
        post("/api/v1/tenants/{tenant}/policies/test", "test_policies", "Runs the tests beside policies", p::test)
            .body::<p::PolicySource>()
            .answers::<p::PolicyTests>(ok),
        post("/api/v1/tenants/{tenant}/policies/explain", "explain_person", "Why somebody would have a role or not", p::explain)
            .body::<p::PolicyQuestion>()
            .answers::<Explanation>(ok),
        get("/api/v1/tenants/{tenant}/policies/diff", "diff_policies", "What differs between two revisions' policies", p::diff)
            .query::<p::DiffQuery>()
            .answers::<PolicyDifference>(ok),
    ]
}

fn of_accounts() -> Vec<Route> {
    use accounts as a;
    let ok = StatusCode::OK;
    vec![
        get("/api/v1/tenants/{tenant}/accounts", "list_accounts", "Accounts with their roles and the reasons", a::list)
            .query::<a::AccountQuery>()
            .answers::<a::AccountList>(ok),
        get("/api/v1/tenants/{tenant}/accounts/{account}", "read_account", "An account, by id or user name", a::read)
            .answers::<a::AccountAnswer>(ok),
        get("/api/v1/tenants/{tenant}/accounts/{account}/explain", "explain_role", "Why an account has a role or has not", a::explain)
            .query::<a::ExplainQuery>()
            .answers::<a::Explained>(ok),
        get("/api/v1/tenants/{tenant}/events", "list_events", "The tenant's history, in order and without gaps", a::events)
            .query::<a::EventQuery>()
            .answers::<a::EventList>(ok),
        get("/api/v1/tenants/{tenant}/handles", "list_handles", "Which group each handle stands for", handles::list)
            .answers::<handles::HandleList>(ok),
        post("/api/v1/tenants/{tenant}/handles/{handle}/confirm", "confirm_handle", "Says yes to a handle's group", handles::confirm)
            .answers::<HandleBinding>(ok),
        get("/api/v1/tenants/{tenant}/targets", "list_targets", "The systems that are told of events", targets::list)
            .answers::<targets::TargetList>(ok),
        put(
            "/api/v1/tenants/{tenant}/targets/{target}",
            "put_target",
            "Makes or changes a target; a new one's secret is shown once",
            targets::put,
        )
        .body::<targets::TargetWrite>()
        .answers::<targets::TargetAnswer>(ok),
        delete(
            "/api/v1/tenants/{tenant}/targets/{target}",
            "remove_target",
            "Removes a target: it is told of nothing any more, and what waited for it is gone",
            targets::delete,
        ),
    ]
}

fn of_reviews() -> Vec<Route> {
    use reviews as r;
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get("/api/v1/tenants/{tenant}/reviews", "list_reviews", "Access reviews, newest first", r::list)
            .query::<r::ListQuery>()
            .answers::<r::ReviewList>(ok),
        post("/api/v1/tenants/{tenant}/reviews", "create_review", "Sets an access review up", r::create)
            .body::<r::NewReview>()
            .answers::<Review>(created),
        get("/api/v1/tenants/{tenant}/reviews/key", "read_review_key", "The key that signs exports of reviews", r::key)
            .answers::<r::ExportKey>(ok),
        get("/api/v1/tenants/{tenant}/reviews/{review}", "read_review", "How far a review is, in counts", r::read).answers::<Review>(ok),
        get(
            "/api/v1/tenants/{tenant}/reviews/{review}/lines",
            "list_review_lines",
            "The roles under review with what is known of each, and what was said",
            r::lines,
        )
        .query::<r::LinesQuery>()
        .answers::<r::LineList>(ok),
        post(
            "/api/v1/tenants/{tenant}/reviews/{review}/decide",
            "decide_review_lines",
            "Says whether roles stay; again, until the review closes",
            r::decide,
        )
        .body::<r::Decision>()
        .answers::<Review>(ok),
        post("/api/v1/tenants/{tenant}/reviews/{review}/reassign", "reassign_review_lines", "Hands lines to somebody else", r::reassign)
            .body::<r::Reassignment>()
            .answers::<Review>(ok),
        post(
            "/api/v1/tenants/{tenant}/reviews/{review}/close",
            "close_review",
            "Closes a review before its time, or calls one off that is not open yet",
            r::close,
        )
        .body::<r::Closing>()
        .answers::<Review>(ok),
        get(
            "/api/v1/tenants/{tenant}/reviews/{review}/export",
            "export_review",
            "A review for auditors as signed JSON Lines or CSV",
            r::export,
        )
        .query::<r::ExportQuery>()
        .answers::<String>(ok),
    ]
}

fn of_governance() -> Vec<Route> {
    use governance as g;
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get("/api/v1/tenants/{tenant}/holds", "list_holds", "Changes that wait for a person, newest first", g::holds)
            .query::<g::HoldQuery>()
            .answers::<g::HoldList>(ok),
        get("/api/v1/tenants/{tenant}/holds/{hold}", "read_hold", "A hold and how many people are in it", g::hold).answers::<Hold>(ok),
        get("/api/v1/tenants/{tenant}/holds/{hold}/people", "list_held_people", "Who and what a hold keeps back", g::people)
            .query::<g::ListQuery>()
            .answers::<g::RulingList>(ok),
        post("/api/v1/tenants/{tenant}/holds/{hold}/release", "release_hold", "Lets what is held take effect, or a part of it", g::release)
            .body::<g::Release>()
            .answers::<g::HoldAnswered>(ok),
        post(
            "/api/v1/tenants/{tenant}/holds/{hold}/reject",
            "reject_hold",
            "Leaves what stands, or restores it, as a difference that somebody answers for",
            g::reject,
        )
        .body::<g::Rejection>()
        .answers::<g::HoldAnswered>(ok),
        get("/api/v1/tenants/{tenant}/approvals", "list_approvals", "Roles that wait for a person's yes, and what was said", g::approvals)
            .query::<g::ListQuery>()
            .answers::<g::RulingList>(ok),
        post("/api/v1/tenants/{tenant}/approvals/{approval}/approve", "approve_role", "Says yes to a role", g::approve)
            .body::<g::Approval>()
            .answers::<Ruling>(ok),
        post("/api/v1/tenants/{tenant}/approvals/{approval}/reject", "reject_role", "Says no to a role, also after a yes", g::refuse)
            .body::<g::Refusal>()
            .answers::<Ruling>(ok),
        get("/api/v1/tenants/{tenant}/exceptions", "list_exceptions", "Exceptions that give or forbid roles", g::exceptions)
            .query::<g::ExceptionQuery>()
            .answers::<g::RulingList>(ok),
        post(
            "/api/v1/tenants/{tenant}/accounts/{account}/exceptions",
            "make_exception",
            "Gives an account a role, or keeps one from it, beside the policies and for a time",
            g::make_exception,
        )
        .body::<g::NewException>()
        .answers::<Ruling>(created),
        delete("/api/v1/tenants/{tenant}/exceptions/{exception}", "end_exception", "Ends an exception before its time", g::end_exception),
    ]
}

fn of_history() -> Vec<Route> {
    use history as h;
    let ok = StatusCode::OK;
    vec![
        get("/api/v1/tenants/{tenant}/history/batches", "list_history_batches", "The sealed batches of the tenant's history", h::batches)
            .query::<h::BatchQuery>()
            .answers::<h::BatchPage>(ok),
        get(
            "/api/v1/tenants/{tenant}/history/head",
            "read_history_head",
            "The signed head of the tenant's history, to be kept elsewhere",
            h::head,
        )
        .answers::<h::HeadAnswer>(ok),
        post(
            "/api/v1/tenants/{tenant}/history/verify",
            "verify_history",
            "Verifies a part of the tenant's history; `next` says where to go on",
            h::verify,
        )
        .body::<h::VerifyRequest>()
        .answers::<Verified>(ok),
        get("/api/v1/tenants/{tenant}/history/roles/{role}", "list_role_holders", "Who had a role at some time, and why", h::holders)
            .query::<h::HeldQuery>()
            .answers::<h::HeldList>(ok),
        get(
            "/api/v1/tenants/{tenant}/accounts/{account}/roles",
            "list_roles_held",
            "Which roles an account had at some time, what state it was in, and why",
            h::roles,
        )
        .query::<h::HeldQuery>()
        .answers::<h::HeldList>(ok),
    ]
}

/// What a SCIM client may ask to see.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents query parameters that are read leniently, by name")]
struct ScimViewQuery {
    /// Only these attributes, separated by commas.
    attributes: Option<String>,
    /// All but these attributes, separated by commas.
    excluded_attributes: Option<String>,
}

/// Which resources a SCIM client asks for.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "documents query parameters that are read leniently, by name")]
struct ScimListQuery {
    /// A filter (RFC 7644 §3.4.2.2).
    filter: Option<String>,
    /// The first match to return, from 1.
    start_index: Option<i64>,
    /// How many to return.
    count: Option<i64>,
    /// The cursor of a page; empty for the first one (RFC 9865).
    cursor: Option<String>,
    /// The attribute to sort by.
    sort_by: Option<String>,
    /// `ascending` or `descending`.
    sort_order: Option<String>,
    /// Only these attributes, separated by commas.
    attributes: Option<String>,
    /// All but these attributes, separated by commas.
    excluded_attributes: Option<String>,
}
