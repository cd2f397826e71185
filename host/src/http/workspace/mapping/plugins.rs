//! Plugins: the versions that revisions have, what their calls used, and those that failed. What a call says about people is shown to those
//! who write or manage plugins; everybody else sees that something failed, and how often.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Nothing, revision_link, tabs};
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At, page as page_of};
use crate::http::workspace::page::{Page, Section, When, badge, empty, hash, heading, more};
use crate::http::workspace::path::with;
use crate::http::workspace::seat::{Rights, Seat};
use crate::http::workspace::words::{self, PAGE_LINES, counted};
use crate::metrics::PluginFigures;
use crate::model::{AdminAction, Instant};
use crate::store::StoredPlugin;
use crate::store::records::{Failure, FailureQuery, Line, LineQuery};

/// Versions that are shown: the newest.
const VERSIONS_SHOWN: i64 = 20;
/// Lines of plugins' logs that are shown: the newest.
const LINES_SHOWN: i64 = 50;

/// Which failures.
#[derive(Deserialize, JsonSchema)]
pub struct PluginQuery {
    /// Only failures with a lower position.
    before: Option<i64>,
}

/// Whether somebody may see what plugins say about people.
fn sees_people(rights: &Rights) -> bool {
    [AdminAction::ManagePlugins, AdminAction::AuthorRevisions, AdminAction::ManageTenant].into_iter().any(|action| rights.may(action))
}

/// GET …/mapping/plugins
///
/// # Errors
/// The store's.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<PluginQuery>) -> Result<Response> {
    let (now, tenant) = (app.clock.now(), &seat.tenant.id);
    // What this process has gathered is written first, so that whoever made a request finds it.
    app.watch.flush(&*app.store, now).await?;
    let plugins = app.store.plugins(tenant, VERSIONS_SHOWN).await?;
    let asked = FailureQuery { before: query.before, ..FailureQuery::default() };
    let (failures, next) = page_of(app.store.failures(tenant, &asked, PAGE_LINES + 1).await?, PAGE_LINES, |failure| failure.position);
    let sees = sees_people(&seat.rights(&app).await?);
    let lines = if sees { app.store.lines(tenant, &LineQuery::default(), LINES_SHOWN).await? } else { Vec::new() };
    let here = seat.at("mapping/plugins");
    let body = html! {
        h1 { "Mapping" }
        (tabs(&seat, "mapping/plugins"))
        @if plugins.is_empty() {
            (empty("No plugin", &html! { "Accounts are mapped by the rules that come with Rolecall. A plugin, as a part of a revision, maps them and nominates roles as it likes." }))
        } @else { (versions(&app, &seat, &plugins, now)) }
        h2 { "Calls that failed" }
        @if failures.is_empty() { p { "None is kept: faults and refusals are, for as long as the tenant’s settings say." } }
        @else { (failed(&seat, &failures, (sees, now))) (more(next.map(|next| with(&here, &[("before", &next.to_string())])))) }
        @if sees && !lines.is_empty() { (logged(&lines, now)) }
        @if !sees { p.quiet { "What failing calls and logs say about people is shown to those who may manage plugins (managePlugins) or author revisions." } }
    };
    Ok(Page { seat: &seat, section: Section::Mapping, title: "Plugins", trail: &[], body }.into_response())
}

fn versions(app: &App, seat: &Seat, plugins: &[StoredPlugin], now: Instant) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "Plugin" } th scope="col" { "Hooks" } th scope="col" { "Calls since the server’s start" } th scope="col" { "In revisions" } } }
            tbody {
                @for StoredPlugin { plugin, created, revisions, active } in plugins {
                    tr {
                        td { (plugin.name) " " (plugin.version) " " @if *active { (badge("active")) } br; (hash(&plugin.digest)) " " span.quiet { (plugin.size / 1024) " KiB" } }
                        td { (plugin.hooks.join(", ")) }
                        td { @for (hook, figures) in app.metrics.plugin_figures(&seat.tenant.id, &plugin.name) { (used(hook, figures)) } }
                        td { (revisions) ", first " (When { at: *created, now }) }
                    }
                }
            }
        }
        p.quiet { "Figures are of this process, and of all versions of a name together." }
    }
}

fn used(hook: &str, figures: PluginFigures) -> Markup {
    let PluginFigures { calls, fuel, milliseconds, memory_bytes } = figures;
    let calls_or_one = calls.max(1);
    html! {
        div { (hook) ": " (calls) " good calls, " (fuel / calls_or_one) " fuel and " (milliseconds / calls_or_one) " ms a call, at most " (memory_bytes / 1024) " KiB" }
    }
}

fn failed(seat: &Seat, failures: &[Failure], (sees, now): (bool, Instant)) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "What" } th scope="col" { "Plugin" } @if sees { th scope="col" { "Whom and why" } } th scope="col" { "When" } } }
            tbody data-rows {
                @for failure in failures {
                    tr {
                        td { (badge(failure.kind.word())) " " code { (failure.code) } " in " (failure.asked.hook) }
                        td { (failure.asked.plugin) br; (hash(&failure.asked.digest)) }
                        @if sees {
                            td { a href=(seat.at(&format!("mapping/plugins/failures/{}", failure.id))) { (failure.detail.message) }
                                br; (words::person(seat, failure.account.as_str(), Some("the person"))) }
                        }
                        td { (counted(failure.times, "time", "times")) ", last " (When { at: failure.last_at, now }) }
                    }
                }
            }
        }
    }
}

fn logged(lines: &[(i64, Line)], now: Instant) -> Markup {
    html! {
        h2 { "What plugins logged" }
        ul.lines {
            @for (_, Line { at, asked, line }) in lines.iter().rev() {
                li { (badge(&line.level)) " " (line.message) " " span.quiet { (asked.plugin) ", " (asked.hook) ", " (When { at: *at, now }) } }
            }
        }
    }
}

/// GET …/mapping/plugins/failures/{failure}
///
/// # Errors
/// 404; 403.
pub async fn failure(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>, _: ApiQuery<Nothing>) -> Result<Response> {
    let now = app.clock.now();
    if !sees_people(&seat.rights(&app).await?) {
        return Err(Error::forbidden("what failing calls say about people is for those who may manage plugins or author revisions"));
    }
    app.watch.flush(&*app.store, now).await?;
    let (failure, input) = app.store.failure(&seat.tenant.id, &id).await?.ok_or_else(|| Error::not_found("such failure"))?;
    let detail = &failure.detail;
    let body = html! {
        (heading(&format!("{} in {}", failure.code, failure.asked.plugin), &html! {}))
        p.lead { (detail.message) }
        dl.pairs {
            dt { "Seen" } dd { (counted(failure.times, "time", "times")) ", first " (When { at: failure.first_at, now }) ", last " (When { at: failure.last_at, now }) }
            dt { "Kept until" } dd { (When { at: failure.until, now }) }
            dt { "Hook" } dd { (failure.asked.hook) }
            dt { "Revision" } dd { (revision_link(&seat, &failure.revision)) }
            dt { "Person" } dd { (words::person(&seat, failure.account.as_str(), None)) }
            @if let Some(path) = &detail.path { dt { "Concerns" } dd { code { (path) } } }
            dt { "Play it again" } dd { code { "rolecall plugin replay --tenant " (seat.tenant.id) " " (failure.id) } }
        }
        @if !detail.backtrace.is_empty() { h2 { "Where it was" } pre tabindex="0" { @for frame in &detail.backtrace { (serde_json::to_string(frame).unwrap_or_default()) "\n" } } }
        @if !detail.logs.is_empty() { h2 { "What it logged" } ul.lines { @for line in &detail.logs { li { (badge(&line.level)) " " (line.message) } } } }
        h2 { "What it was asked" }
        @match input {
            Ok(input) => { p.quiet { "Masked by the tenant’s rules." } pre tabindex="0" { (serde_json::to_string_pretty(&input).unwrap_or_default()) } }
            Err(why) => p { "It is not kept: " (why) },
        }
    };
    let trail = [("Mapping", seat.at("mapping")), ("Plugins", seat.at("mapping/plugins"))];
    Ok(Page { seat: &seat, section: Section::Mapping, title: "A call that failed", trail: &trail, body }.into_response())
}
