//! The editor of policies and tests: one file at a time, checked as one types; what is saved is a new revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::tabs;
use crate::app::App;
use crate::diagnostic::Diagnostic;
use crate::http::error::{Error, Result};
use crate::http::query::ApiQuery;
use crate::http::workspace::assets;
use crate::http::workspace::form::{Sent, answer as answered};
use crate::http::workspace::page::{Page, Section, empty, hash as short, token};
use crate::http::workspace::path::with;
use crate::http::workspace::seat::{Rights, Seat};
use crate::http::workspace::words::counted;
use crate::model::{AdminAction, RevisionHash};
use crate::revision::{Files, is_rule};
use crate::store::StoreError;
use crate::tenancy::authoring::{self, Wanted};
use crate::tenancy::{self, TenancyError};

/// The most findings that are shown at once.
const FINDINGS_SHOWN: usize = 50;

/// What is edited.
#[derive(Deserialize, JsonSchema)]
pub struct EditQuery {
    /// The revision to begin from; the active one unless given.
    revision: Option<RevisionHash>,
    /// The file.
    path: Option<String>,
}

/// What is being edited: a revision, the file at hand, and others that were changed before it.
struct Draft {
    base: RevisionHash,
    path: String,
    text: String,
    others: BTreeMap<String, String>,
}

impl Draft {
    fn of(sent: &Sent) -> Result<Self> {
        // Browsers send line ends as CR LF, and files have LF.
        let plain = |text: &str| text.replace("\r\n", "\n");
        let path = sent.needed("path", "File")?.to_owned();
        let mut others: BTreeMap<String, String> =
            sent.all("other_path").map(str::to_owned).zip(sent.all("other_text").map(plain)).filter(|(path, _)| is_rule(path)).collect();
        others.remove(&path);
        let base = RevisionHash::from(sent.needed("revision", "Revision")?);
        if !is_rule(&path) || base.as_str().contains('\0') {
            let why = "only settings, policies and their tests are edited here: policies/NAME.cedar, policies/NAME.test.json, admin/…, tenant.toml";
            return Err(Error::bad_request(why, "a path is no rule's"));
        }
        Ok(Self { base, path, text: plain(sent.raw("text").unwrap_or_default()), others })
    }

    /// The changed files. A text area can't tell an empty file from one that is to go: an empty text removes it.
    fn changed(&self) -> impl Iterator<Item = (&String, &String)> {
        self.others.iter().chain([(&self.path, &self.text)])
    }

    fn written<T>(&self, files: &mut BTreeMap<String, T>, made: impl Fn(&str) -> T) {
        for (path, text) in self.changed() {
            if text.trim().is_empty() { drop(files.remove(path)) } else { drop(files.insert(path.clone(), made(text))) }
        }
    }
}

/// The rules of a revision: what can be edited.
async fn rules(app: &Arc<App>, seat: &Seat, base: &RevisionHash) -> Result<Files> {
    let tenant = &seat.tenant.id;
    let digests = app.store.revision_digests(tenant, base).await?.ok_or_else(|| Error::not_found("such revision"))?;
    let digests = digests.into_iter().filter(|(path, _)| is_rule(path)).collect();
    Ok(tenancy::stored_contents(app, tenant, digests).await?)
}

fn text_of(files: &Files, path: &str) -> String {
    files.get(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// GET …/mapping/edit
///
/// # Errors
/// 404.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<EditQuery>) -> Result<Response> {
    let rights = seat.rights(&app).await?;
    let base = match query.revision {
        Some(base) if base.as_str().contains('\0') => return Err(Error::not_found("such revision")),
        Some(base) => Some(base),
        None => tenancy::active(&app, &seat.tenant.id).await?.hash,
    };
    let Some(base) = base else {
        let teaches = html! { "The first revision of a tenant is stored with " code { "rolecall tenant apply" } "; from then on its policies can be edited here." };
        let body = html! { h1 { "Mapping" } (tabs(&seat, "mapping/edit")) (empty("Nothing to edit yet", &teaches)) };
        return Ok(Page { seat: &seat, section: Section::Mapping, title: "Editor", trail: &[], body }.into_response());
    };
    let files = rules(&app, &seat, &base).await?;
    let first = || files.keys().find(|path| path.ends_with(".cedar")).or_else(|| files.keys().next()).cloned();
    let path = query.path.filter(|path| is_rule(path)).or_else(first).unwrap_or_else(|| "policies/access.cedar".to_owned());
    let draft = Draft { text: text_of(&files, &path), path, base, others: BTreeMap::new() };
    Ok(page(&seat, (&draft, &files, &rights), &html! {}))
}

fn page(seat: &Seat, (draft, files, rights): (&Draft, &Files, &Rights), said: &Markup) -> Response {
    let here = seat.at("mapping/edit");
    let body = html! {
        h1 { "Mapping" }
        (tabs(seat, "mapping/edit"))
        p { "From revision " a href=(seat.at(&format!("mapping/revisions/{}", draft.base))) { (short(draft.base.as_str())) }
            ". Saving stores a new revision, without effect until it is activated. An empty file is removed." }
        nav aria-label="Files of the revision" { p.actions {
            @for path in files.keys() {
                a.button href=(with(&here, &[("revision", draft.base.as_str()), ("path", path)])) aria-current=[(*path == draft.path).then_some("true")] { (path) }
            }
        } }
        form method="post" action=(here) {
            (token(&seat.guest))
            input type="hidden" name="revision" value=(draft.base);
            @for (path, text) in &draft.others {
                input type="hidden" name="other_path" value=(path);
                input type="hidden" name="other_text" value=(text);
            }
            @if !draft.others.is_empty() {
                p.note { "Changed as well, and not saved yet: " (draft.others.keys().map(String::as_str).collect::<Vec<_>>().join(", ")) }
            }
            label { "File " span.quiet { "(another name makes another file)" } input type="text" name="path" value=(draft.path) required; }
            label for="text" { (draft.path) }
            textarea #text.code name="text" data-editor=(draft.path) spellcheck="false" hx-post=(format!("{here}/check")) hx-trigger="input changed delay:400ms, load"
                hx-include="closest form" hx-target="#findings" hx-swap="outerHTML" hx-sync="this:replace" {
                // A browser drops the first line end of a text area.
                "\n" (draft.text)
            }
            (said)
            (findings(&[], &[], None))
            div.actions {
                @if rights.may(AdminAction::AuthorRevisions) { button.main { "Save as a new revision" } }
                @else { span.quiet { "Revisions are stored by those whom the admin policies let author them (authorRevisions); you may try texts out here." } }
                label { "Then edit" select name="next" { @for path in files.keys().filter(|path| **path != draft.path) { option value=(path) { (path) } } } }
                button formaction={ (here) "/other" } { "Keep this and edit that file too" }
            }
        }
        script src=(assets::url("editor.min.js")) defer {}
        script src=(assets::url("editor.js")) defer {}
    };
    let trail = [("Mapping", seat.at("mapping"))];
    Page { seat, section: Section::Mapping, title: "Editor", trail: &trail, body }.into_response()
}

/// POST …/mapping/edit/other
///
/// # Errors
/// 404.
pub async fn other(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let mut draft = Draft::of(&sent)?;
    let next = sent.get("next").filter(|path| is_rule(path)).unwrap_or(&draft.path).to_owned();
    let files = rules(&app, &seat, &draft.base).await?;
    if draft.text != text_of(&files, &draft.path) {
        draft.others.insert(draft.path.clone(), draft.text.clone());
    }
    draft.text = draft.others.remove(&next).unwrap_or_else(|| text_of(&files, &next));
    draft.path = next;
    let rights = seat.rights(&app).await?;
    Ok(page(&seat, (&draft, &files, &rights), &html! {}))
}

/// POST …/mapping/edit/check
///
/// # Errors
/// Those of the store.
pub async fn check(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let draft = match Draft::of(&sent) {
        Ok(draft) => draft,
        Err(error) => return Ok(Html(findings(&[], &[], Some(&error.told())).into_string()).into_response()),
    };
    let mut texts: BTreeMap<String, String> = rules(&app, &seat, &draft.base)
        .await?
        .into_iter()
        .map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    draft.written(&mut texts, str::to_owned);
    let wanted = || Wanted { texts: Some(texts.clone()), revision: Some(draft.base.clone()) };
    let tenant = &seat.tenant.id;
    let part = match authoring::check(&app, tenant, wanted()).await {
        Err(TenancyError::Broken(problems)) => findings(&of_file(problems, &draft.path), &[], None),
        Err(error) => return Err(error.into()),
        Ok((policies, roles)) => {
            let warnings = match authoring::lint(&app, tenant, wanted()).await {
                Ok(warnings) | Err(TenancyError::Broken(warnings)) => warnings,
                Err(error) => return Err(error.into()),
            };
            let tests = match authoring::test(&app, tenant, wanted()).await {
                Ok(tests) => tests,
                Err(TenancyError::Broken(problems)) => {
                    return Ok(Html(findings(&of_file(problems, &draft.path), &[], None).into_string()).into_response());
                }
                Err(error) => return Err(error.into()),
            };
            let failed: Vec<String> =
                tests.iter().filter_map(|case| Some(format!("{}: {}\n{}", case.file, case.name, case.diff.as_ref()?))).collect();
            let count = |number: usize, one: &str, many: &str| counted(i64::try_from(number).unwrap_or(i64::MAX), one, many);
            let told = format!(
                "Nothing is wrong with {} and {}; {} of {} pass.",
                count(policies, "policy", "policies"),
                count(roles, "role", "roles"),
                tests.len() - failed.len(),
                count(tests.len(), "policy test", "policy tests"),
            );
            let told = std::iter::once(told).chain(failed).collect::<Vec<_>>().join("\n");
            findings(&[], &of_file(warnings, &draft.path), Some(&told))
        }
    };
    Ok(Html(part.into_string()).into_response())
}

/// Those of the file at hand first.
fn of_file(mut problems: Vec<Diagnostic>, path: &str) -> Vec<Diagnostic> {
    problems.sort_by_key(|problem| problem.file != path);
    problems.truncate(FINDINGS_SHOWN);
    problems
}

/// What was found, each with line and caret; the editor's script marks those that name a line.
fn findings(errors: &[Diagnostic], warnings: &[Diagnostic], told: Option<&str>) -> Markup {
    let all = errors.iter().map(|one| ("error", one)).chain(warnings.iter().map(|one| ("warning", one)));
    html! {
        div #findings aria-live="polite" {
            @if let Some(told) = told { p.said { (told) } }
            ul.lines {
                @for (severity, found) in all {
                    li {
                        span class={ "badge " (if severity == "error" { "bad" } else { "warn" }) } { (severity) } " "
                        @match (found.line, found.column) {
                            (Some(line), Some(column)) => {
                                a href="#text" data-line=(line) data-column=(column) data-length=(found.length) data-severity=(severity) data-message=(found.message) {
                                    (found.file) ":" (line) ":" (column)
                                }
                            }
                            _ => code { (found.file) },
                        }
                        ": " (found.message)
                        @if let (Some(source), Some(column)) = (&found.source, found.column) {
                            pre { (source) "\n" (" ".repeat(column.saturating_sub(1))) ("^".repeat(found.length.max(1))) }
                        }
                        @if let Some(help) = &found.help { p.quiet { (help) } }
                    }
                }
            }
        }
    }
}

/// POST …/mapping/edit
///
/// # Errors
/// Those that no other input would avoid.
pub async fn save(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    seat.ask(&app, AdminAction::AuthorRevisions).await?;
    let draft = Draft::of(&sent)?;
    let tenant = &seat.tenant.id;
    let mut files = app.store.revision(tenant, &draft.base).await?.ok_or(StoreError::Missing("revision"))?.files;
    draft.written(&mut files, |text| text.as_bytes().to_vec());
    let problem = match tenancy::store_revision(&app, tenant, files).await {
        Ok(checked) => {
            let said = format!("Stored; {} golden cases pass. It has no effect yet: simulate it, then activate it.", checked.golden_passed);
            return answered(&seat.at(&format!("mapping/revisions/{}", checked.hash)), Ok(said));
        }
        Err(TenancyError::Broken(problems)) => findings(&of_file(problems, &draft.path), &[], None),
        Err(TenancyError::Golden(cases)) => html! {
            @for case in cases.iter().filter(|case| case.diff.is_some()).take(FINDINGS_SHOWN) {
                p { code { (case.file) } ": " (case.name) }
                pre tabindex="0" { (case.diff.as_deref().unwrap_or_default()) }
            }
        },
        Err(error) => {
            let error = Error::from(error);
            if !error.status().is_client_error() {
                return Err(error);
            }
            html! { p { (error.told()) } }
        }
    };
    // The text is not lost: it comes back with what is wrong.
    let files = rules(&app, &seat, &draft.base).await?;
    let rights = seat.rights(&app).await?;
    let said = html! { div.said.bad role="alert" { "Nothing was stored." (problem) } };
    let mut response = page(&seat, (&draft, &files, &rights), &said);
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}
