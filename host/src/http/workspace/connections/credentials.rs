//! What a connection accepts: bearer tokens, the secrets of its OAuth client, the JWTs of an issuer. Made anew on the set-up's tab.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::super::form::{Sent, answer};
use super::super::page::{When, badge, columns, token};
use super::super::seat::{Rights, Seat};
use super::{MAY_ISSUE, Tab, at, one, unless};
use crate::app::App;
use crate::http::api::credentials::{IssuerWrite, checked};
use crate::http::error::Result;
use crate::http::query::At;
use crate::http::routes::{Route, get, post};
use crate::model::{AdminAction, ConnectionId, Instant, Issuer};
use crate::store::{Connection, TokenInfo};

pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/connections/{connection}/credentials", "credentials_page", "What a connection accepts", show),
        post(
            "/workspace/t/{tenant}/connections/{connection}/client/end",
            "end_client_form",
            "Ends a connection's OAuth client",
            end_client,
        ),
        post(
            "/workspace/t/{tenant}/connections/{connection}/issuer",
            "set_issuer_form",
            "Sets whose JWTs a connection accepts",
            set_issuer,
        ),
        post(
            "/workspace/t/{tenant}/connections/{connection}/issuer/end",
            "end_issuer_form",
            "Accepts an issuer's JWTs no more",
            end_issuer,
        ),
    ]
}

/// GET …/connections/{connection}/credentials
///
/// # Errors
/// 404.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    let (issuer, rights, now) = (app.store.issuer(&seat.tenant.id, &id).await?, seat.rights(&app).await?, app.clock.now());
    let body = html! {
        section.card {
            h2 { "Bearer tokens" }
            (list(&connection.tokens, now))
            (rotation(&seat, &connection, &rights, "token", "Make another token"))
        }
        section.card {
            h2 { "OAuth client" }
            @if connection.client_secrets.is_empty() {
                p { "It has no client: with one, the identity provider fetches short-lived tokens with an id and a secret (OAuth 2.0, client credentials)." }
            } @else {
                dl.pairs {
                    dt { "Client id" } dd { code { (connection.id) } }
                    dt { "Token URL" } dd { code { (seat.guest.urls.token(&connection.id)) } }
                }
                (list(&connection.client_secrets, now))
            }
            (rotation(&seat, &connection, &rights, "client", if connection.client_secrets.is_empty() { "Make a client" } else { "Make another secret" }))
            @if !connection.client_secrets.is_empty() && rights.may(AdminAction::ManageCredentials) {
                form.inline method="post" action=(at(&seat, &id, "client/end")) {
                    (token(&seat.guest))
                    button.danger { "End the client and all its secrets at once" }
                }
            }
        }
        section.card { h2 { "Issuer of JWTs" } (issuer_part(&seat, &connection, issuer.as_ref(), &rights)) }
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "credentials", beside: html! {}, body }.into_response())
}

fn list(credentials: &[TokenInfo], now: Instant) -> Markup {
    html! {
        @if !credentials.is_empty() {
            table.stack {
                (columns(&["Id", "Made", "Last used", "Ends"]))
                tbody {
                    @for credential in credentials {
                        tr {
                            td { code { (credential.id) } }
                            td { "made " (When { at: credential.created, now }) }
                            td { @match credential.last_used { Some(at) => { "used " (When { at, now }) } None => span.quiet { "never used" } } }
                            td {
                                @match credential.expires {
                                    Some(at) if at <= now => (badge("ended")),
                                    Some(at) => { "ends " (When { at, now }) }
                                    None => span.quiet { "has no end" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn rotation(seat: &Seat, connection: &Connection, rights: &Rights, kind: &str, words: &str) -> Markup {
    unless(
        rights,
        AdminAction::ManageCredentials,
        MAY_ISSUE,
        html! {
            form.inline method="post" action=(at(seat, &connection.id, "set-up")) {
                (token(&seat.guest))
                input type="hidden" name="kind" value=(kind);
                button { (words) }
                span.quiet { "The one before stays good for a day." }
            }
        },
    )
}

fn issuer_part(seat: &Seat, connection: &Connection, issuer: Option<&Issuer>, rights: &Rights) -> Markup {
    let address = issuer.and_then(|issuer| issuer.jwks_uri.as_deref()).unwrap_or_default();
    let subject = issuer.and_then(|issuer| issuer.subject.as_deref()).unwrap_or_default();
    let form = html! {
        form method="post" action=(at(seat, &connection.id, "issuer")) {
            (token(&seat.guest))
            label { "Issuer (iss)" input type="text" name="issuer" value=(issuer.map_or("", |issuer| &issuer.issuer)) required; }
            label { "Audience (aud)" input type="text" name="audience" value=(issuer.map_or("", |issuer| &issuer.audience)) required; }
            label { "Address of its keys (JWKS)" input type="url" name="jwks_uri" value=(address) placeholder="https://…" required; }
            label { "Subject (sub), if it has to be one" input type="text" name="subject" value=(subject); }
            button { @if issuer.is_some() { "Change the issuer" } @else { "Accept this issuer’s JWTs" } }
        }
        @if issuer.is_some() {
            form.inline method="post" action=(at(seat, &connection.id, "issuer/end")) { (token(&seat.guest)) button.danger { "Accept them no more" } }
        }
        p.quiet { "Other claims, algorithms and keys that are given by hand: " code { "rolecall connection issuer" } "." }
    };
    html! {
        @match issuer {
            Some(issuer) => dl.pairs {
                dt { "Issuer" } dd { code { (issuer.issuer) } }
                dt { "Audience" } dd { code { (issuer.audience) } }
                dt { "Keys" } dd { (issuer.jwks_uri.as_deref().unwrap_or("given by hand")) }
                dt { "Algorithms" } dd { (issuer.algorithms.join(", ")) }
                dt { "Clock" } dd { "may be off by " (issuer.clock_skew_seconds) " s" }
                @for (claim, value) in &issuer.claims { dt { "Claim " (claim) } dd { (value) } }
            },
            None => p { "It accepts no JWTs: where the identity provider signs its own tokens, name who issues them." },
        }
        (unless(rights, AdminAction::ManageCredentials, MAY_ISSUE, form))
    }
}

/// POST …/connections/{connection}/client/end
///
/// # Errors
/// Those that no other input would avoid.
pub async fn end_client(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, _: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageCredentials).await?;
        app.store.remove_client(&seat.tenant.id, &id, &seat.principal().actor(), app.clock.now()).await?;
        Ok("The client has ended: its secrets, and the tokens that were given for them, are accepted no more.")
    };
    answer(&at(&seat, &id, "credentials"), done.await)
}

/// POST …/connections/{connection}/issuer
///
/// # Errors
/// Those that no other input would avoid.
pub async fn set_issuer(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageCredentials).await?;
        // What the form does not show stays as it was set elsewhere.
        let before = app.store.issuer(&seat.tenant.id, &id).await?;
        let wanted = IssuerWrite {
            issuer: sent.needed("issuer", "Issuer")?.to_owned(),
            audience: sent.needed("audience", "Audience")?.to_owned(),
            jwks_uri: Some(sent.needed("jwks_uri", "Address of its keys")?.to_owned()),
            jwks: None,
            algorithms: before.as_ref().map(|issuer| issuer.algorithms.clone()),
            clock_skew_seconds: before.as_ref().map(|issuer| issuer.clock_skew_seconds),
            subject: sent.get("subject").map(str::to_owned),
            claims: before.map(|issuer| issuer.claims).unwrap_or_default(),
        };
        let (issuer, keys) = checked(&app, wanted).await?;
        app.store.put_issuer(&seat.tenant.id, &id, &issuer, keys.as_deref(), &seat.principal().actor(), app.clock.now()).await?;
        Ok("JWTs of this issuer are accepted.")
    };
    answer(&at(&seat, &id, "credentials"), done.await)
}

/// POST …/connections/{connection}/issuer/end
///
/// # Errors
/// Those that no other input would avoid.
pub async fn end_issuer(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, _: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageCredentials).await?;
        app.store.remove_issuer(&seat.tenant.id, &id, &seat.principal().actor(), app.clock.now()).await?;
        Ok("JWTs of that issuer are accepted no more.")
    };
    answer(&at(&seat, &id, "credentials"), done.await)
}
